"""S3 that misbehaves: what passes is never seen, what stays is told, nothing is lost or doubled.

The store is moto's in a process of its own, behind a proxy (``faults.py``) that breaks requests.
"""

import itertools
import json
import os
import pickle
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest

from benchmarks.contenders.delayed_s3 import BUCKET as FOLDER_BUCKET
from benchmarks.options import HERE as BENCHMARKS
from faults import Fault, FaultyServer, faulty
from featuremill._utils import paths
from featuremill.config import RunConfig
from featuremill.dataset.tables import DataFile, features_table
from featuremill.errors import SourceError, StorageError
from featuremill.storage import Store, open_store, s3_clients
from featuremill.storage.listing import Listing, Selection
from featuremill.storage.s3 import S3Store
from featuremill.workflows.run.pipeline import RunResult
from outputs import MODEL
from stand_in import REGION, maker_of_buckets, s3_server

if TYPE_CHECKING:
    from conftest import WorkersOfATest

CONTENT = bytes(range(256)) * 16
PLAIN, ODD = "in/a b+c%é.jpg", "in/a//b.jpg"
"""The second is one that obstore cannot address, so that botocore reads it."""

PASSING = [
    # more often than either client tries by itself
    Fault("answer", status=503, code="SlowDown", first=5),
    Fault("answer", status=500, code="InternalError", first=5),
    Fault("answer", status=429, code="TooManyRequests", first=3),
    Fault("answer", status=400, code="RequestTimeout", first=3),
    Fault("reset", first=3),
    Fault("cut", first=3),
    Fault("short", first=3),
    Fault("silence", first=1),
    Fault("trickle", first=1),
]


def named(fault: Fault) -> str:
    return f"{fault.kind}-{fault.status}" if fault.kind == "answer" else fault.kind


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def behind(server: str) -> Iterator[FaultyServer]:
    with faulty(server) as proxy:
        yield proxy


@pytest.fixture
def proxy(behind: FaultyServer) -> FaultyServer:
    behind.plan()
    return behind


@pytest.fixture(scope="module")
def client(server: str) -> Any:
    return boto3.client("s3", endpoint_url=server, region_name=REGION)


@pytest.fixture(scope="module")
def new_bucket(client: Any) -> Callable[[], str]:
    return maker_of_buckets(client)


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    return new_bucket()


@pytest.fixture(scope="module")
def shared_bucket(new_bucket: Callable[[], str]) -> str:
    """For tests that need no bucket alone: a new one wants new clients, which take a while."""
    return new_bucket()


@pytest.fixture
def store(shared_bucket: str, proxy: FaultyServer) -> S3Store:
    """A prefix of its own."""
    return S3Store(shared_bucket, secrets.token_hex(4), endpoint_url=proxy.url)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of clients that are made from now on time out in parts of a second."""
    monkeypatch.setattr(s3_clients, "_STALL_SECONDS", 0.2)
    monkeypatch.setattr(s3_clients, "_OBJECT_SECONDS", 0.5)


@pytest.fixture(scope="module")
def hasty_bucket(new_bucket: Callable[[], str], behind: FaultyServer) -> str:
    """A bucket whose clients are hasty."""
    bucket = new_bucket()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(s3_clients, "_STALL_SECONDS", 0.2)
        patched.setattr(s3_clients, "_OBJECT_SECONDS", 0.5)
        behind.plan()
        assert open_store(f"s3://{bucket}", endpoint_url=behind.url).size("none") is None
    return bucket


@pytest.fixture
def impatient(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is tried again for long."""
    monkeypatch.setattr(s3_clients, "_PATIENCE_SECONDS", 0.5)


def path_of(bucket: str, key: str) -> str:
    return paths.encode(f"s3://{bucket}/{key}".encode())


def put(client: Any, bucket: str, key: str, content: bytes = CONTENT) -> str:
    """Put an object without any fault; returns its version."""
    return str(client.put_object(Bucket=bucket, Key=key, Body=content)["ETag"].strip('"'))


class TestPatience:
    def test_pauses_grow_differ_and_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr(s3_clients, "time", SimpleNamespace(monotonic=lambda: now))
        runs = []
        for _ in range(20):
            now, waited = 0.0, []
            for pause in s3_clients.pauses():
                now += pause
                waited.append(pause)
            runs.append(waited)
        assert all(90 < sum(waited) <= 120 for waited in runs)
        assert max(waited[0] for waited in runs) < 1 < np.mean([waited[-1] for waited in runs])
        assert len({waited[3] for waited in runs}) == 20

    def test_a_request_that_took_minutes_is_tried_once_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 0.0
        monkeypatch.setattr(s3_clients, "time", SimpleNamespace(monotonic=lambda: now))
        pauses = s3_clients.pauses()
        now = 300.0
        assert next(pauses) < 1
        assert next(pauses, None) is None


class TestFetching:
    @pytest.mark.slow
    @pytest.mark.parametrize("key", [PLAIN, ODD])
    @pytest.mark.parametrize("fault", PASSING, ids=named)
    def test_a_fault_that_passes_is_never_seen(
        self,
        hasty_bucket: str,
        client: Any,
        proxy: FaultyServer,
        hasty: None,
        fault: Fault,
        key: str,
    ) -> None:
        version = put(client, hasty_bucket, key)
        store = open_store(f"s3://{hasty_bucket}", endpoint_url=proxy.url)
        proxy.plan(fault)
        assert store.fetch(path_of(hasty_bucket, key)) == (CONTENT, version)
        assert proxy.faults() == {fault.kind: fault.first}

    @pytest.mark.parametrize("key", [PLAIN, ODD])
    def test_a_silent_connection_is_given_up_long_before_the_object(
        self,
        bucket: str,
        client: Any,
        proxy: FaultyServer,
        key: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # the object's own five minutes would end this test
        monkeypatch.setattr(s3_clients, "_STALL_SECONDS", 0.2)
        put(client, bucket, key)
        proxy.plan(Fault("silence", first=1))
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        assert store.fetch(path_of(bucket, key)).data == CONTENT

    @pytest.mark.slow
    @pytest.mark.parametrize("key", [PLAIN, ODD])
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault("answer", status=500, code="InternalError"), "^(InternalError: |.*InternalErr)"),
            (Fault("answer", status=403, code="AccessDenied"), "AccessDenied"),
            (Fault("answer", status=404, code="NoSuchKey"), "^gone since it was listed$"),
            (Fault("trickle"), "timed out"),
            (Fault("reset"), "error sending request|[Cc]onnection"),
        ],
        ids=lambda value: named(value) if isinstance(value, Fault) else "",
    )
    def test_a_fault_that_stays_concerns_that_image_only(
        self,
        hasty_bucket: str,
        client: Any,
        proxy: FaultyServer,
        impatient: None,
        fault: Fault,
        reason: str,
        key: str,
    ) -> None:
        put(client, hasty_bucket, key)
        store = open_store(f"s3://{hasty_bucket}", endpoint_url=proxy.url)
        proxy.plan(fault)
        with pytest.raises(OSError, match=reason) as rejected:
            store.fetch(path_of(hasty_bucket, key))
        assert key not in str(rejected.value)
        if fault.status in (403, 404):
            assert len(proxy.asked("GET")) == 1

    @pytest.mark.parametrize("fault", [Fault("reset", ".*"), Fault("answer", ".*")], ids=named)
    def test_a_store_that_is_away_is_no_fault_of_its_images(
        self, bucket: str, client: Any, proxy: FaultyServer, impatient: None, fault: Fault
    ) -> None:
        put(client, bucket, PLAIN)
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        store.fetch(path_of(bucket, PLAIN))
        proxy.plan(fault)
        with pytest.raises(StorageError, match=f"cannot read s3://{bucket}: "):
            store.fetch(path_of(bucket, PLAIN))

    @pytest.mark.parametrize("key", [PLAIN, ODD])
    def test_a_store_that_has_gone_is_no_fault_of_its_images(
        self, bucket: str, client: Any, server: str, impatient: None, key: str
    ) -> None:
        put(client, bucket, key)
        with faulty(server) as proxy:
            store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
            assert store.fetch(path_of(bucket, key)).data == CONTENT
        with pytest.raises(StorageError, match=f"cannot read s3://{bucket}: "):
            store.fetch(path_of(bucket, key))

    @pytest.mark.parametrize("key", [PLAIN, ODD])
    def test_an_image_that_changes_is_whole_and_has_the_version_of_its_bytes(
        self, bucket: str, client: Any, proxy: FaultyServer, key: str
    ) -> None:
        put(client, bucket, key)
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        [listed] = store.list()
        version = put(client, bucket, "in2/new.jpg", CONTENT[::-1])
        assert version != listed.version
        # the old content breaks off, and then there is another
        proxy.plan(
            Fault("cut", name="/in/", first=1),
            Fault("other", name="/in/", other=f"{bucket}/in2/new.jpg"),
        )
        assert store.fetch(listed.path) == (CONTENT[::-1], version)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyServer]:
    """2,500 objects in pages of 1,000, behind a proxy."""
    folder = tmp_path_factory.mktemp("objects") / "objects"
    folder.mkdir()
    for number in range(2_500):
        folder.joinpath(f"{number:04d}.jpg").touch()
    script = [sys.executable, BENCHMARKS / "contenders" / "delayed_s3.py", folder]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(script, **pipes) as process:
        assert process.stdout is not None
        with faulty(process.stdout.readline().strip()) as proxy:
            yield proxy
        process.communicate()


class TestListing:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "fault",
        [Fault("answer"), Fault("reset"), Fault("cut"), Fault("short"), Fault("silence")],
        ids=named,
    )
    def test_every_page_may_fail_at_first(
        self, folder: FaultyServer, hasty: None, fault: Fault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_clients, "_made", {})
        store = open_store(f"s3://{FOLDER_BUCKET}", endpoint_url=folder.url)
        folder.plan(Fault(fault.kind, "LIST", first=1))
        listing = Listing(store, Selection())
        found = [reference.path for reference in listing]  # type: ignore[union-attr]
        assert found == [f"s3://{FOLDER_BUCKET}/{number:04d}.jpg" for number in range(2_500)]
        assert folder.faults() == {fault.kind: 3}

    @pytest.mark.slow
    def test_a_page_that_never_comes_ends_the_listing_with_a_reason(
        self, folder: FaultyServer, impatient: None
    ) -> None:
        store = open_store(f"s3://{FOLDER_BUCKET}", endpoint_url=folder.url)
        folder.plan(Fault("answer", "LIST"))
        with pytest.raises(
            SourceError, match=r"cannot list s3://pictures: .*SlowDown.*\nCheck the network"
        ):
            list(Listing(store, Selection()))


LOST = [
    Fault(kind, method, first=1, arrives=arrives)
    for kind in ("answer", "reset")
    for method in ("PUT", "HEAD", "POST|DELETE", "GET")
    for arrives in (False, True)
    if arrives <= (method not in ("HEAD", "GET"))
]


class TestNames:
    @pytest.mark.parametrize(
        "fault", LOST, ids=lambda f: f"{f.kind}-{f.method}-{'arrives' if f.arrives else 'lost'}"
    )
    def test_what_is_written_is_there_once_whatever_got_lost(
        self, store: Store, proxy: FaultyServer, fault: Fault
    ) -> None:
        proxy.plan(fault)
        store.write("a", b"one")
        with store.writer("b") as file:
            file.write(b"two")
        assert store.create("run.lock", b"mine")
        assert not store.create("run.lock", b"another's")
        assert [store.read(name) for name in ("a", "b", "run.lock")] == [b"one", b"two", b"mine"]
        assert [store.size("a"), store.size("none")] == [3, None]
        with store.open("a") as opened:
            assert opened.read() == b"one"
        store.remove("a")
        assert list(store.names("")) == ["b", "run.lock"]
        assert proxy.faults()[fault.kind] > 0

    def test_anothers_object_is_not_taken_for_ones_own_when_an_answer_was_lost(
        self, store: S3Store, client: Any, proxy: FaultyServer
    ) -> None:
        put(client, store.bucket, f"{store.prefix}/run.lock", b"another's")
        proxy.plan(Fault("reset", "PUT", first=1))
        assert not store.create("run.lock", b"mine")
        assert store.read("run.lock") == b"another's"

    def test_a_store_that_refuses_conditions_is_refused(
        self, store: Store, proxy: FaultyServer
    ) -> None:
        proxy.plan(Fault("answer", "PUT", condition=True, status=501, code="NotImplemented"))
        with pytest.raises(
            StorageError, match=r"ignores conditional writes \(If-None-Match\).*\n.*S3"
        ):
            store.create("run.lock", b"mine")

    def test_a_store_that_ignores_conditions_is_refused(
        self, bucket: str, proxy: FaultyServer
    ) -> None:
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        proxy.plan(Fault("unconditional", "PUT", condition=True))
        with pytest.raises(
            StorageError, match=r"ignores conditional writes \(If-None-Match\).*\n.*S3"
        ):
            store.create("run.lock", b"mine")
        assert store.size("run.lock") is None


class TestCommits:
    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["answer", "reset"])
    @pytest.mark.parametrize("arrives", [False, True])
    def test_a_commit_whose_answer_is_lost_is_made_exactly_once(
        self, store: Store, proxy: FaultyServer, kind: str, arrives: bool
    ) -> None:
        proxy.plan(
            Fault(kind, "PUT", "_delta_log/", first=1, arrives=arrives, status=500),
            Fault("answer", "GET|LIST", "features", first=1),
        )
        table = features_table(store)
        table.create()
        for number in range(2):
            name = f"status=ok/run-{number}.parquet"
            store.write(f"{table.folder}/{name}", b"some bytes")
            table.commit("run", number, [DataFile(name, 1, 10, {"status": "ok"})])
        assert [file.name for file in table.files()] == [
            "status=ok/run-1.parquet",
            "status=ok/run-0.parquet",
        ]
        assert proxy.faults()[kind] >= 3
        log = list(store.names(f"{table.folder}/_delta_log"))
        added = [
            json.loads(line)["add"]["path"]
            for name in log
            for line in store.read(name).splitlines()
            if b'"add"' in line
        ]
        assert sorted(added) == ["status=ok/run-0.parquet", "status=ok/run-1.parquet"]


class _Metadata(BaseHTTPRequestHandler):
    """What a machine or a container of AWS asks for its role's keys."""

    def do_PUT(self) -> None:
        self._answer(b"session", {"x-aws-ec2-metadata-token-ttl-seconds": "300"})

    def do_GET(self) -> None:
        machine = self.path.startswith("/latest/")
        word = self.headers["x-aws-ec2-metadata-token" if machine else "Authorization"]
        if word != ("session" if machine else "from the file"):
            self.send_error(401)
        elif self.path.endswith("/security-credentials/"):
            self._answer(b"role", {})
        else:
            keys = {
                "Code": "Success",
                "AccessKeyId": "ASIAROLE",
                "SecretAccessKey": "from the role",
                "Token": "of the role",
                "Expiration": (datetime.now(UTC) + timedelta(hours=6)).isoformat(),
            }
            self._answer(json.dumps(keys).encode(), {})

    def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def metadata() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class TestCredentials:
    @pytest.fixture
    def no_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    @pytest.fixture
    def log_in(
        self, no_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[str], None]:
        """Writes keys into the file that a profile takes them from."""
        file = tmp_path / "credentials"
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        monkeypatch.setenv("AWS_PROFILE", "fruits")

        def write(key_id: str) -> None:
            keys = f"aws_access_key_id = {key_id}\naws_secret_access_key = not to be told\n"
            file.write_text(f"[fruits]\n{keys}aws_session_token = token of {key_id}\n")

        return write

    @pytest.fixture
    def credentials(
        self,
        request: pytest.FixtureRequest,
        log_in: Callable[[str], None],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[tuple[str, str]]:
        """Puts keys where only one member of the chain finds them; gives their id and token."""
        if request.param == "profile":
            log_in("AKIAPROFILE")
            yield "AKIAPROFILE", "token of AKIAPROFILE"
            return
        monkeypatch.delenv("AWS_PROFILE")
        if request.param == "environment":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRON")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not to be told")
            yield "AKIAENVIRON", ""
            return
        with metadata() as url:
            if request.param == "instance":
                monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
                monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
            else:
                token = tmp_path / "token"
                token.write_text("from the file")
                monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/keys")
                monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
            yield "ASIAROLE", "of the role"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "credentials", ["profile", "environment", "instance", "container"], indirect=True
    )
    def test_an_image_is_read_here_and_where_the_description_is_sent(
        self, credentials: tuple[str, str], bucket: str, client: Any, proxy: FaultyServer
    ) -> None:
        put(client, bucket, PLAIN)
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        assert store.fetch(path_of(bucket, PLAIN)).data == CONTENT
        description = pickle.dumps(store)
        for secret in (*filter(None, credentials), "not to be told", "from the role"):
            assert secret.encode() not in description
        program = (
            "import pickle, sys; store = pickle.load(sys.stdin.buffer);"
            f"sys.stdout.buffer.write(store.fetch({path_of(bucket, PLAIN)!r}).data)"
        )
        there = subprocess.run(
            [sys.executable, "-c", program],
            input=description,
            stdout=subprocess.PIPE,
            check=True,
            env=dict(os.environ),
        )
        assert there.stdout == CONTENT
        asked = proxy.asked("GET", "in/")
        assert [(each["key_id"], each["token"]) for each in asked] == [credentials] * 2

    @pytest.mark.parametrize(
        "use",
        [
            lambda store: store.fetch(path_of(store.bucket, PLAIN)).data == CONTENT,
            lambda store: store.fetch(path_of(store.bucket, ODD)).data == CONTENT,
            lambda store: len(list(store.list())) == 2,
            lambda store: store.create("run.lock", b"mine"),
            lambda store: store.size(PLAIN) == len(CONTENT),
            lambda store: features_table(store).create() is None,
        ],
        ids=["obstore", "botocore", "listing", "writing", "HEAD", "Delta"],
    )
    def test_keys_that_expire_meanwhile_are_asked_for_again(
        self,
        log_in: Callable[[str], None],
        bucket: str,
        client: Any,
        proxy: FaultyServer,
        use: Callable[[Any], bool],
    ) -> None:
        log_in("ASIAOLD")
        for key in (PLAIN, ODD):
            put(client, bucket, key)
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        assert store.size("none") is None
        proxy.plan(Fault("answer", ".*", key_id="ASIAOLD", status=400, code="ExpiredToken"))
        log_in("ASIANEW")
        assert use(store)
        assert proxy.asked()[-1]["token"] == "token of ASIANEW"

    def test_keys_that_nobody_renews_are_told_with_the_remedy(
        self, log_in: Callable[[str], None], bucket: str, client: Any, proxy: FaultyServer
    ) -> None:
        log_in("ASIAOLD")
        put(client, bucket, PLAIN)
        store = open_store(f"s3://{bucket}", endpoint_url=proxy.url)
        proxy.plan(Fault("answer", ".*", status=403, code="ExpiredToken"))
        for use in (lambda: store.fetch(path_of(bucket, PLAIN)), lambda: store.table("features")):
            with pytest.raises(StorageError, match=r"ExpiredToken.*\n.*`aws sso login`"):
                use()


@pytest.fixture(scope="module")
def many_pictures(new_bucket: Callable[[], str], client: Any, pictures: Path) -> str:
    """A bucket with 300 pictures below ``pictures/``, the sixty five times."""
    bucket = new_bucket()
    files = sorted(pictures.rglob("*.jpg"))
    for copy, file in itertools.product(range(5), files):
        put(client, bucket, f"pictures/{file.parent.name}/{copy} {file.name}", file.read_bytes())
    return bucket


def embedded(source: str, destination: str, endpoint: str, workers: "WorkersOfATest") -> RunResult:
    options = {"reduce": False, "model": MODEL, "precision": "fp32", "endpoint_url": endpoint}
    return workers.run(RunConfig(source, destination, **options))  # type: ignore[arg-type]


def rows(destination: Store) -> dict[str, tuple[str, list[float]]]:
    """Path to version and features of every image embedded; each must be there once."""
    table = features_table(destination)
    found = [
        row
        for file in table.files(status="ok")
        for batch in table.read(file, ["path", "version", "features"])
        for row in batch.to_pylist()
    ]
    by_path = {row["path"]: (row["version"], row["features"]) for row in found}
    assert len(by_path) == len(found)
    return by_path


class TestARun:
    @pytest.mark.slow
    @pytest.mark.long
    def test_under_every_fault_equals_one_without(
        self,
        many_pictures: str,
        server: str,
        proxy: FaultyServer,
        tmp_path: Path,
        workers: "WorkersOfATest",
    ) -> None:
        source, folder = f"s3://{many_pictures}/pictures", str(tmp_path / "undisturbed")
        assert embedded(source, folder, server, workers).record.ledger.embedded == 300
        expected = rows(open_store(folder))
        gone, changed, other = sorted(expected)[7], sorted(expected)[77], sorted(expected)[78]
        proxy.plan(
            Fault("answer", name=f"^{gone[5:]}$", status=404, code="NoSuchKey"),
            Fault("other", name=f"^{changed[5:]}$", other=other[5:]),
            Fault("answer", name="pictures/", share=0.1),
            Fault("reset", name="pictures/", share=0.1),
            Fault("cut", name="pictures/", share=0.05),
            Fault("short", name="pictures/", share=0.05),
            Fault("answer", "LIST|HEAD", first=1, status=500),
            Fault("answer", "PUT", "parquet$", first=1, status=500),
            Fault("reset", "PUT", "_delta_log|run.lock", first=1, arrives=True),
            seed=7,
        )
        result = embedded(source, f"s3://{many_pictures}/{tmp_path.name}", proxy.url, workers)
        assert {"answer", "reset", "cut", "short", "other"} <= set(proxy.faults())
        ledger = result.record.ledger
        assert result.record.rejects == {"fetch: gone since it was listed": 1}
        assert (ledger.listed, ledger.embedded, ledger.rejected) == (300, 299, 1)
        del expected[gone]
        expected[changed] = expected[other]
        found = rows(open_store(result.destination, endpoint_url=server))
        assert {path: version for path, (version, _) in found.items()} == {
            path: version for path, (version, _) in expected.items()
        }
        for path, (_, features) in expected.items():
            np.testing.assert_allclose(found[path][1], features, atol=1e-5)

    def test_in_which_nothing_may_be_read_stops_before_it_rejects_everything(
        self, many_pictures: str, proxy: FaultyServer, tmp_path: Path, workers: "WorkersOfATest"
    ) -> None:
        source = f"s3://{many_pictures}/pictures"
        proxy.plan(Fault("answer", name="pictures/", status=403, code="AccessDenied"))
        with pytest.raises(StorageError, match=r"none of .* AccessDenied.*\n.*s3:GetObject"):
            embedded(source, str(tmp_path / "out"), proxy.url, workers)
        assert not list(tmp_path.rglob("*.parquet"))
