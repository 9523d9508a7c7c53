"""Images from S3, results to S3: over HTTP, against a stand-in for S3 in a process of its own."""

import json
import pickle
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner

from featuremill import load_features
from featuremill._utils import paths
from featuremill.cli import main
from featuremill.config import RunConfig
from featuremill.dataset.lock import LOCK
from featuremill.dataset.tables import DataFile, features_table, reduced_table
from featuremill.errors import ConfigError, DestinationError, InputError, SourceError, StorageError
from featuremill.storage import Store, open_store, s3_clients
from featuremill.storage.listing import Listing, Reference, Selection
from featuremill.workflows.run.pipeline import RunResult, run
from outputs import MODEL
from stand_in import REGION, maker_of_buckets, s3_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = 10
"""Keys in one answer to a listing; S3 itself gives a thousand."""

ODD_NAMES = [
    "a b.jpg",
    "a+b.jpg",
    "100%.jpg",
    "a%20b.jpg",
    "x.jpg#1",
    "q?a=1&b=2.jpg",
    'it\'s "so".jpg',
    "back\\slash.jpg",
    "a|b<c>{d}^~[e]`f.jpg",
    "*:;,=@!$().jpg",
    "épi.jpg",
    "e\u0301pi.jpg",
    "キウイ.jpg",
    "😀.jpg",
    "line\u2028.jpg",
]
NAMES_OBSTORE_CANNOT_ADDRESS = [
    "/slashes.jpg",
    "b//slashes.jpg",
    "./dot.jpg",
    "b/../dots.jpg",
    "tab\t.jpg",
    "bell\x07.jpg",
    "ends/",
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server(page=PAGE) as url:
        yield url


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    return boto3.client("s3", endpoint_url=endpoint, region_name=REGION)


@pytest.fixture(scope="module")
def new_bucket(client: Any) -> Callable[[], str]:
    return maker_of_buckets(client)


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    return new_bucket()


@pytest.fixture
def store(bucket: str, endpoint: str) -> Store:
    return open_store(f"s3://{bucket}/results", endpoint_url=endpoint)


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def keys(store: Store) -> list[str]:
    """Keys of all that a store lists."""
    bucket = f"{store.url}/".split("/")[2]
    return [
        paths.decode(entry.path).decode().removeprefix(f"s3://{bucket}/") for entry in store.list()
    ]


def path_of(bucket: str, key: str) -> str:
    return paths.encode(f"s3://{bucket}/{key}".encode())


class TestTheUrl:
    @pytest.mark.parametrize(
        ("given", "url"),
        [
            ("s3://fruits", "s3://fruits"),
            ("s3://fruits/", "s3://fruits"),
            ("s3a://fruits/2024/training/", "s3://fruits/2024/training"),
        ],
    )
    def test_names_a_bucket_and_a_prefix(self, given: str, url: str) -> None:
        assert open_store(given).url == url

    @pytest.mark.parametrize("wrong", ["s3://", "s3:///training", "gs://fruits", "https://x/y"])
    def test_is_refused_without_a_bucket_or_with_another_scheme(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match="s3://bucket/prefix"):
            open_store(wrong)

    def test_a_prefix_holds_what_lies_below_it_and_not_its_namesakes(self) -> None:
        source = open_store("s3://fruits/input")
        assert source.contains(open_store("s3://fruits/input/results"))
        assert source.contains(source)
        for other in ("s3://fruits/input2", "s3://fruits", "s3://other/input/results", "input"):
            assert not source.contains(open_store(other))
        assert open_store("s3://fruits").contains(source)


class TestListing:
    @pytest.mark.slow
    def test_goes_on_after_the_first_page(self, bucket: str, endpoint: str, client: Any) -> None:
        wanted = [f"input/{number:02d}.jpg" for number in range(3 * PAGE + 1)]
        for key in wanted:
            client.put_object(Bucket=bucket, Key=key, Body=b"")
        assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == PAGE
        assert keys(open_store(f"s3://{bucket}/input", endpoint_url=endpoint)) == wanted

    def test_gives_only_what_lies_below_the_prefix(
        self, bucket: str, endpoint: str, client: Any
    ) -> None:
        for key in ("input/a.jpg", "input2/b.jpg", "input.jpg", "other/input/c.jpg"):
            client.put_object(Bucket=bucket, Key=key, Body=b"")
        assert keys(open_store(f"s3://{bucket}/input", endpoint_url=endpoint)) == ["input/a.jpg"]
        assert len(keys(open_store(f"s3://{bucket}", endpoint_url=endpoint))) == 4

    def test_tells_size_and_etag(self, bucket: str, endpoint: str, client: Any) -> None:
        etag = client.put_object(Bucket=bucket, Key="in/Kiwi/1.jpg", Body=b"12345")["ETag"]
        [entry] = open_store(f"s3://{bucket}/in", endpoint_url=endpoint).list()
        assert entry.path == f"s3://{bucket}/in/Kiwi/1.jpg"
        assert (entry.size, entry.version, entry.problem) == (5, etag.strip('"'), "")

    def test_markers_of_folders_are_no_images(
        self, bucket: str, endpoint: str, client: Any
    ) -> None:
        for marker in ("in/", "in/Kiwi/", "in/Kiwi_$folder$"):
            client.put_object(Bucket=bucket, Key=marker, Body=b"")
        client.put_object(Bucket=bucket, Key="in/Kiwi/1.jpg", Body=b"1")
        source = open_store(f"s3://{bucket}/in", endpoint_url=endpoint)
        listing = Listing(source, Selection())
        assert list(listing) == [
            Reference(f"s3://{bucket}/in/Kiwi/1.jpg", "Kiwi", "c4ca4238a0b923820dcc509a6f75849b", 1)
        ]
        assert listing.skipped == {"folder marker": 3}


class TestFetching:
    def test_gives_every_key_its_own_bytes_and_version(
        self, bucket: str, endpoint: str, client: Any
    ) -> None:
        # the plain twins are what a careless client reads instead
        twins = ["ends", "slashes.jpg", "b/slashes.jpg", "dot.jpg", "dots.jpg", "a b.jpg"]
        wanted = {*ODD_NAMES, *NAMES_OBSTORE_CANNOT_ADDRESS, *twins}
        for key in wanted:
            client.put_object(Bucket=bucket, Key=key, Body=f"bytes of {key}".encode())
        store = open_store(f"s3://{bucket}", endpoint_url=endpoint)
        entries = list(store.list())
        assert {paths.decode(entry.path).decode() for entry in entries} == {
            f"s3://{bucket}/{key}" for key in wanted
        }
        for entry in entries:
            key = paths.decode(entry.path).decode().removeprefix(f"s3://{bucket}/")
            assert store.fetch(entry.path) == (f"bytes of {key}".encode(), entry.version)

    @pytest.mark.parametrize("key", ["none.jpg", "a//none.jpg"])
    def test_an_object_that_is_gone_concerns_that_image_only(
        self, bucket: str, endpoint: str, key: str
    ) -> None:
        store = open_store(f"s3://{bucket}", endpoint_url=endpoint)
        with pytest.raises(OSError, match=r"^gone since it was listed$"):
            store.fetch(path_of(bucket, key))

    def test_many_threads_share_the_clients_of_a_process(
        self, bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []
        original = s3_clients.Clients.__init__

        def counted(self: Any, *arguments: Any) -> None:
            made.append(arguments)
            original(self, *arguments)

        monkeypatch.setattr(s3_clients.Clients, "__init__", counted)
        stores = [open_store(f"s3://{bucket}/{n}", endpoint_url=endpoint) for n in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda store: store.size("none"), stores))
        assert len(made) == 1


class TestNames:
    def test_what_is_written_can_be_read_measured_listed_and_removed(self, store: Store) -> None:
        store.write("runs/1.json", b"one")
        store.write("runs/1.json", b"two!")
        assert store.read("runs/1.json") == b"two!"
        assert store.size("runs/1.json") == 4
        assert list(store.names("runs")) == ["runs/1.json"]
        store.remove("runs/1.json")
        store.remove("runs/1.json")
        assert store.size("runs/1.json") is None
        assert list(store.names("runs")) == []

    def test_a_name_that_is_not_there(self, store: Store) -> None:
        for read in (store.read, store.open):
            with pytest.raises(FileNotFoundError, match=r"no such object.*results/none"):
                read("none")

    def test_names_below_a_folder_leave_out_its_namesakes_and_markers(
        self, store: Store, bucket: str, client: Any
    ) -> None:
        for name in ("runs/b", "runs/a/c", "runs2/d", "runs.json"):
            store.write(name, b"")
        client.put_object(Bucket=bucket, Key="results/runs/", Body=b"")
        assert list(store.names("runs")) == ["runs/a/c", "runs/b"]

    def test_an_open_name_is_a_seekable_file(self, store: Store) -> None:
        content = bytes(range(256)) * 2_000
        store.write("big", content)
        with store.open("big") as file:
            assert file.seekable()
            assert file.seek(-10, 2) == len(content) - 10
            assert file.read() == content[-10:]
            assert file.seek(1_000) == file.tell() == 1_000
            assert file.read(300_000) == content[1_000:301_000]
            assert not file.closed
        assert file.closed

    def test_only_one_of_many_creates_a_name(self, store: Store) -> None:
        start = threading.Barrier(8)

        def create(number: int) -> bool:
            start.wait()
            return store.create("run.lock", str(number).encode())

        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(create, range(8)))
        assert created.count(True) == 1
        assert store.read("run.lock") == str(created.index(True)).encode()

    def test_a_large_stream_arrives_whole_when_its_block_ends(self, store: Store) -> None:
        part = bytes(1_000_003)
        with store.writer("csv/reduced.csv") as file:
            for _ in range(12):
                file.write(part)
            assert store.size("csv/reduced.csv") is None
        assert store.size("csv/reduced.csv") == 12 * len(part)

    def test_nothing_is_left_of_a_stream_whose_block_raises(
        self, store: Store, bucket: str, client: Any
    ) -> None:
        def fail() -> None:
            with store.writer("big") as file:
                file.write(bytes(11_000_000))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.size("big") is None
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)

    def test_a_prefix_that_cannot_hold_results_is_refused(self, bucket: str, endpoint: str) -> None:
        odd = open_store(f"s3://{bucket}/a//b", endpoint_url=endpoint)
        with pytest.raises(StorageError, match="empty path segment"):
            odd.create("run.lock", b"")


class TestCredentials:
    def test_a_pickled_store_holds_none_and_works_elsewhere(self, store: Store) -> None:
        store.write("a", b"content")
        pickled = pickle.dumps(store)
        assert b"testing" not in pickled
        assert pickle.loads(pickled) == store
        assert pickle.loads(pickled).read("a") == b"content"

    def test_a_table_gets_keys_region_and_endpoint(
        self, store: Store, bucket: str, endpoint: str
    ) -> None:
        uri, options = store.table("features")
        assert uri == f"s3://{bucket}/results/features"
        assert options == {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            # a redirect to another host ends at a proxy that is not there
            "proxy_url": "http://127.0.0.1:9",
            "proxy_excludes": "127.0.0.1",
        }

    def test_none_at_all(self, no_keys: None, bucket: str, endpoint: str) -> None:
        store = open_store(f"s3://{bucket}/in", endpoint_url=endpoint)
        with pytest.raises(SourceError, match="Unable to locate credentials\nSet AWS_PROFILE"):
            list(store.list())
        with pytest.raises(StorageError, match="Unable to locate credentials\nSet AWS_PROFILE"):
            store.fetch(path_of(bucket, "in/a.jpg"))
        with pytest.raises(StorageError, match="Unable to locate credentials\nSet AWS_PROFILE"):
            store.table("features")

    def test_a_profile_that_does_not_exist(
        self, bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "fruits")
        with pytest.raises(SourceError, match=r"profile \(fruits\) could not be found\nSet AWS_"):
            list(open_store(f"s3://{bucket}", endpoint_url=endpoint).list())


class CannedS3:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.authorizations: list[str] = []
        self.tokens: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                outer.authorizations.append(self.headers["Authorization"])
                outer.tokens.append(self.headers["x-amz-security-token"])
                status, body = outer.answers.pop(0) if outer.answers else (200, b"content")
                self.send_response(status)
                self.send_header("ETag", '"etag"')
                self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def canned() -> Iterator[CannedS3]:
    s3 = CannedS3()
    thread = threading.Thread(target=s3.server.serve_forever, args=(0.01,))
    thread.start()
    yield s3
    s3.server.shutdown()
    thread.join()
    s3.server.server_close()


class TestTheChain:
    """What the AWS credential chain gives must reach every request."""

    @pytest.fixture
    def process_keys(
        self, no_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[str], None]:
        """Makes a profile whose temporary keys come from a process, and are about to expire."""
        answer = tmp_path / "keys.json"
        config = tmp_path / "config"
        config.write_text(
            f"[profile fruits]\nregion = ap-south-1\ncredential_process = cat '{answer}'\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_PROFILE", "fruits")

        def issue(token: str) -> None:
            keys = {
                "Version": 1,
                "AccessKeyId": "ASIATEMPORARY",
                "SecretAccessKey": "secret",
                "SessionToken": token,
                "Expiration": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
            }
            answer.write_text(json.dumps(keys))

        issue("first")
        return issue

    def test_a_profile_gives_temporary_keys_and_the_region(
        self, canned: CannedS3, process_keys: Callable[[str], None]
    ) -> None:
        store = open_store("s3://fruits", endpoint_url=canned.url)
        assert store.fetch("s3://fruits/a.jpg") == (b"content", "etag")
        assert store.fetch("s3://fruits/a//b.jpg") == (b"content", "etag")
        assert canned.tokens == ["first", "first"]
        for authorization in canned.authorizations:
            assert "Credential=ASIATEMPORARY/" in authorization
            assert "/ap-south-1/s3/" in authorization
        _, options = store.table("features")
        assert options["AWS_SESSION_TOKEN"] == "first"
        assert options["AWS_REGION"] == "ap-south-1"

    def test_renewed_keys_reach_later_requests(
        self,
        canned: CannedS3,
        process_keys: Callable[[str], None],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(s3_clients, "_ASK_FOR_CREDENTIALS", timedelta(seconds=0))
        store = open_store("s3://fruits", endpoint_url=canned.url)
        store.read("a")
        process_keys("second")
        assert store.table("features")[1]["AWS_SESSION_TOKEN"] == "second"
        # obstore asks for credentials at most ten times a second
        deadline = time.monotonic() + 5
        while canned.tokens[-1] != "second" and time.monotonic() < deadline:
            store.read("a")
        assert canned.tokens[-1] == "second"
        assert capfd.readouterr() == ("", "")

    def test_keys_are_asked_for_again_before_they_can_have_expired(self) -> None:
        from botocore.credentials import RefreshableCredentials

        renewed_before_end = RefreshableCredentials._mandatory_refresh_timeout
        assert s3_clients._ASK_FOR_CREDENTIALS.total_seconds() <= renewed_before_end

    def test_the_region_is_the_buckets_own_whatever_was_said(
        self, bucket: str, endpoint: str
    ) -> None:
        store = open_store(f"s3://{bucket}", endpoint_url=endpoint, region="us-west-2")
        assert store.table("features")[1]["AWS_REGION"] == REGION

    @pytest.mark.parametrize(("said", "used"), [("us-west-2", "us-west-2"), (None, "us-east-1")])
    def test_a_store_that_tells_no_region_takes_the_one_given(
        self, canned: CannedS3, said: str | None, used: str
    ) -> None:
        store = open_store("s3://fruits", endpoint_url=canned.url, region=said)
        store.read("a")
        assert f"/{used}/s3/" in canned.authorizations[0]
        assert store.table("features")[1]["AWS_REGION"] == used

    def test_the_endpoint_may_come_from_the_environment(
        self, canned: CannedS3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", canned.url)
        store = open_store("s3://fruits")
        assert store.read("a") == b"content"
        assert store.table("features")[1]["AWS_ENDPOINT_URL"] == canned.url


class TestTrouble:
    def test_a_store_that_asks_for_patience_is_asked_again(self, canned: CannedS3) -> None:
        slow_down = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
        canned.answers = [(503, slow_down), (500, b"")]
        store = open_store("s3://fruits", endpoint_url=canned.url)
        assert store.fetch("s3://fruits/a.jpg").data == b"content"
        assert len(canned.authorizations) == 3

    def test_expired_keys_end_the_task_rather_than_reject_every_image(
        self, canned: CannedS3
    ) -> None:
        expired = b"<Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>"
        # for each object twice, since the credential chain is asked for other keys once
        canned.answers = [(400, expired)] * 4
        store = open_store("s3://fruits", endpoint_url=canned.url)
        for key in ("a.jpg", "a//b.jpg"):
            with pytest.raises(StorageError, match=r"ExpiredToken.*expired\.\n.*aws sso login"):
                store.fetch(f"s3://fruits/{key}")

    def test_a_bucket_that_does_not_exist(self, endpoint: str) -> None:
        store = open_store("s3://no-such-bucket/in", endpoint_url=endpoint)
        with pytest.raises(SourceError, match=r"list s3://no-such-bucket/in: .*\(NoSuchBucket\)"):
            list(store.list())
        with pytest.raises(StorageError, match=r"NoSuchBucket: .*\nCheck the bucket's name"):
            store.create("run.lock", b"")
        with pytest.raises(StorageError, match=r"NoSuchBucket: .*\nCheck the bucket's name"):
            store.fetch("s3://no-such-bucket/in/a.jpg")

    def test_a_store_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        store = open_store("s3://fruits/in", endpoint_url="http://127.0.0.1:1")
        with pytest.raises(SourceError, match=r"Could not connect.*\nCheck .* --endpoint-url"):
            list(store.list())
        with pytest.raises(StorageError, match=r"Could not connect.*\nCheck .* --endpoint-url"):
            store.read("a")

    def test_an_endpoint_without_a_scheme(self) -> None:
        store = open_store("s3://fruits/in", endpoint_url="localhost:9000")
        with pytest.raises(SourceError, match="Invalid endpoint: localhost:9000"):
            list(store.list())

    def test_the_command_line_refuses_a_source_that_cannot_be_listed(
        self, tmp_path: Path, endpoint: str
    ) -> None:
        arguments = ["s3://no-such-bucket/in", str(tmp_path / "out"), "--model", MODEL]
        result = CliRunner().invoke(main, ["run", *arguments, "--endpoint-url", endpoint])
        assert result.exit_code == 2
        assert "error: cannot list s3://no-such-bucket/in" in result.stderr
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("destination", ["s3://no-such-bucket/out", "s3://{bucket}/a//b"])
    def test_a_destination_that_cannot_be_written_is_refused(
        self, pictures: Path, bucket: str, endpoint: str, destination: str
    ) -> None:
        where = destination.format(bucket=bucket)
        config = RunConfig(str(pictures), where, model=MODEL, endpoint_url=endpoint)
        with pytest.raises(DestinationError, match=where):
            run(config)


class TestPermissions:
    @pytest.fixture
    def only(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
        """Makes this process a user who may do only some things."""
        iam = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")

        def become(*actions: str) -> None:
            name = f"user-{'-'.join(actions).replace(':', '')}"
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
            _check_permissions_after(endpoint, "0")

        yield become
        _check_permissions_after(endpoint, "inf")

    def test_listing_denied(self, bucket: str, endpoint: str, only: Callable[..., None]) -> None:
        only("s3:GetObject")
        store = open_store(f"s3://{bucket}/in", endpoint_url=endpoint)
        with pytest.raises(SourceError, match=r"AccessDenied.*\nCheck .*permissions"):
            list(store.list())

    def test_reading_denied_concerns_that_image(
        self, bucket: str, endpoint: str, client: Any, only: Callable[..., None]
    ) -> None:
        client.put_object(Bucket=bucket, Key="in/a.jpg", Body=b"")
        only("s3:ListBucket")
        store = open_store(f"s3://{bucket}/in", endpoint_url=endpoint)
        assert keys(store) == ["in/a.jpg"]
        with pytest.raises(OSError, match=r"^AccessDenied: "):
            store.fetch(path_of(bucket, "in/a.jpg"))

    def test_a_destination_for_reading_only_is_refused(
        self, pictures: Path, bucket: str, endpoint: str, only: Callable[..., None]
    ) -> None:
        only("s3:ListBucket", "s3:GetObject")
        where = f"s3://{bucket}/out"
        config = RunConfig(str(pictures), where, model=MODEL, endpoint_url=endpoint)
        with pytest.raises(
            DestinationError, match=f"cannot write {where}/run.lock.tried: AccessDenied"
        ):
            run(config)

    def test_keys_that_nobody_has(
        self, bucket: str, endpoint: str, only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        only("s3:*")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
        store = open_store(f"s3://{bucket}/in", endpoint_url=endpoint)
        with pytest.raises(SourceError, match=r"InvalidAccessKeyId.*\nSet AWS_PROFILE") as refused:
            list(store.list())
        assert isinstance(refused.value, InputError)
        with pytest.raises(StorageError, match=r"InvalidAccessKeyId.*\nSet AWS_PROFILE"):
            store.fetch(path_of(bucket, "in/a.jpg"))


def _check_permissions_after(endpoint: str, requests: str) -> None:
    url = f"{endpoint}/moto-api/reset-auth"
    plain = {"Content-Type": "text/plain"}
    with urllib.request.urlopen(urllib.request.Request(url, requests.encode(), plain)):
        pass


def upload(client: Any, bucket: str, folder: Path, prefix: str) -> int:
    """Put every file of a folder of pictures below a prefix; tells how many there are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        key = f"{prefix}/{path.relative_to(folder).as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return len(files)


@pytest.fixture(scope="module")
def run_bucket(new_bucket: Callable[[], str]) -> str:
    return new_bucket()


@pytest.fixture(scope="module")
def config(run_bucket: str, endpoint: str, client: Any, pictures: Path) -> RunConfig:
    upload(client, run_bucket, pictures, "pictures")
    picture = next(pictures.rglob("*.jpg")).read_bytes()
    client.put_object(Bucket=run_bucket, Key="pictures/Odd/a//b%\t😀.jpg", Body=picture)
    client.put_object(Bucket=run_bucket, Key="pictures/Odd/empty.jpg", Body=b"")
    client.put_object(Bucket=run_bucket, Key="pictures/", Body=b"")
    return RunConfig(
        f"s3://{run_bucket}/pictures",
        f"s3://{run_bucket}/results",
        n_components=5,
        model=MODEL,
        precision="fp32",
        endpoint_url=endpoint,
    )


@pytest.fixture(scope="module")
def result(config: RunConfig, spark: "SparkSession") -> RunResult:
    return run(config, spark=spark)


@pytest.fixture(scope="module")
def destination(result: RunResult, endpoint: str) -> Store:
    return open_store(result.destination, endpoint_url=endpoint)


class TestARun:
    @pytest.mark.slow
    def test_accounts_for_every_object(self, result: RunResult) -> None:
        ledger = result.record.ledger
        assert (ledger.listed, ledger.embedded, ledger.rejected, ledger.skipped) == (63, 61, 1, 1)
        assert result.record.status == "finished"

    def test_leaves_features_that_everyone_can_read(
        self, result: RunResult, destination: Store, endpoint: str
    ) -> None:
        frame = load_features(result.destination, endpoint_url=endpoint)
        assert len(frame) == 61
        assert {len(features) for features in frame["features"]} == {1280}
        assert f"{result.record.config['source']}/Odd/a//b%25%09😀.jpg" in set(frame["path"])
        assert sum(file.rows for file in features_table(destination).files()) == 62
        assert sum(file.rows for file in reduced_table(destination).files()) == 61

    def test_leaves_every_output_and_no_lock(self, result: RunResult, destination: Store) -> None:
        assert destination.read("csv/reduced.csv").count(b"\n") == 62
        assert b"Odd/empty.jpg" in destination.read("rejects.csv")
        # on a busy machine the first chunk is cut before all images were listed
        assert json.loads(destination.read(f"runs/{result.record.run}.json"))["chunks"] >= 1
        assert destination.read("report.html").count(b"data:image/") >= 4
        assert destination.size(LOCK) is None

    def test_again_embeds_nothing(
        self, result: RunResult, config: RunConfig, spark: "SparkSession"
    ) -> None:
        again = run(config, spark=spark).record.ledger
        assert (again.already_done, again.already_rejected, again.embedded) == (61, 1, 0)

    def test_from_s3_to_a_folder(
        self, config: RunConfig, tmp_path: Path, spark: "SparkSession"
    ) -> None:
        here = RunConfig(
            config.source,
            str(tmp_path / "results"),
            reduce=False,
            model=MODEL,
            precision="fp32",
            endpoint_url=config.endpoint_url,
        )
        assert run(here, spark=spark).record.ledger.embedded == 61
        assert len(load_features(tmp_path / "results")) == 61

    def test_from_a_folder_to_s3(
        self, pictures: Path, run_bucket: str, endpoint: str, spark: "SparkSession"
    ) -> None:
        there = RunConfig(
            str(pictures),
            f"s3://{run_bucket}/from-here",
            reduce=False,
            model=MODEL,
            precision="fp32",
            endpoint_url=endpoint,
        )
        assert run(there, spark=spark).record.ledger.embedded == 60
        assert len(load_features(there.destination, endpoint_url=endpoint)) == 60

    def test_commits_of_two_runs_at_once_are_both_kept(self, destination: Store) -> None:
        table = features_table(destination)
        before = len(table.files())
        files = [f"status=ok/{run}-00000.parquet" for run in ("left", "right")]
        for name in files:
            destination.write(f"{table.folder}/{name}", b"some bytes")
        with ThreadPoolExecutor(2) as pool:
            for run_id, name in zip(("left", "right"), files, strict=True):
                pool.submit(table.commit, run_id, 0, [DataFile(name, 1, 10, {"status": "ok"})])
        assert len(table.files()) == before + 2
