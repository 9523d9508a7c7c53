"""Stores that speak S3 and not all of it, as localbucket and Ceph do; what records may decide."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

import featuremill
from faults import Fault, FaultyServer, faulty
from featuremill.cli import main
from featuremill.dataset.lock import LOCK, hold
from featuremill.dataset.tables import features_table
from featuremill.errors import ConfigError, DestinationError, FeaturemillError, StorageError
from featuremill.export.results import open_results
from featuremill.report.gather import REPORT, rewrite_report
from featuremill.search.embedded import load
from featuremill.storage import open_store
from made_results import MadeResult, numbered, paths_in
from stand_in import REGION, maker_of_buckets, s3_server

NO_BULK_DELETE = Fault("answer", method="POST", name="^[^/]+/?$", status=501, code="NotImplemented")
"""localbucket 1.2, Alibaba's OSS, gateways in front of file systems."""
NO_DELETE = Fault("answer", method="DELETE", status=403, code="AccessDenied")
NO_CONDITIONS = Fault("unconditional", method="PUT", condition=True)
"""Ceph 16 in a bucket that keeps versions."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with s3_server() as url, faulty(url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def client(server: FaultyServer) -> Any:
    return boto3.client("s3", endpoint_url=server.url, region_name=REGION)


@pytest.fixture(scope="module")
def new_bucket(client: Any) -> Callable[[], str]:
    return maker_of_buckets(client)


@pytest.fixture
def bucket(server: FaultyServer, new_bucket: Callable[[], str]) -> str:
    server.plan()
    return new_bucket()


def versions_in(client: Any, bucket: str) -> list[str]:
    answer = client.list_object_versions(Bucket=bucket)
    return [each["Key"] for kind in ("Versions", "DeleteMarkers") for each in answer.get(kind, ())]


def keep_versions(client: Any, bucket: str) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


class TestAStoreWithoutTheRequestThatDeletesMany:
    @pytest.mark.slow
    def test_gets_results_gives_its_lock_back_and_forgets(
        self, server: FaultyServer, bucket: str
    ) -> None:
        server.plan(NO_BULK_DELETE)
        source, url = f"s3://{bucket}/photos", f"s3://{bucket}/out"
        store = open_store(url, endpoint_url=server.url)
        for _ in range(2):
            with hold(store, "mine") as dead_run:
                assert dead_run is None
                made = MadeResult(store, source, server.url)
                made.commit(0, numbered(source, 10))
                made.reduce()
                # which removes the files that the first one is of
                made.reduce()
                made.reduced.vacuum()
            assert store.size(LOCK) is None
        assert paths_in(made.reduced) == sorted(numbered(source, 10) * 2)
        erased = featuremill.forget(url, numbered(source, 1), endpoint_url=server.url)
        assert erased.rows["embedded"] == 2
        assert numbered(source, 1)[0] not in paths_in(made.features)

    def test_gives_up_earlier_versions_one_by_one(
        self, server: FaultyServer, client: Any, bucket: str
    ) -> None:
        keep_versions(client, bucket)
        server.plan(NO_BULK_DELETE)
        store = open_store(f"s3://{bucket}", endpoint_url=server.url)
        for content in (b"1", b"2", b"3"):
            store.write("kept", content)
        store.write("gone", b"1")
        store.remove("gone")
        assert store.purge("") == 4
        assert versions_in(client, bucket) == ["kept"]
        assert store.read("kept") == b"3"


class TestALockThatCannotBeRemoved:
    def test_is_found_out_before_it_is_written(self, server: FaultyServer, bucket: str) -> None:
        server.plan(NO_DELETE)
        store = open_store(f"s3://{bucket}/out", endpoint_url=server.url)
        with pytest.raises(DestinationError, match=r"cannot remove .*AccessDenied") as refused:
            hold(store, "mine").__enter__()
        assert "Choose a destination you may write to" in refused.value.remedy
        assert store.size(LOCK) is None

    def test_is_said_at_the_end_of_a_run_that_went_well(
        self, server: FaultyServer, bucket: str
    ) -> None:
        store = open_store(f"s3://{bucket}/out", endpoint_url=server.url)
        with (
            pytest.raises(StorageError, match="run mine has ended, but its lock") as said,
            hold(store, "mine"),
        ):
            server.plan(NO_DELETE)
        assert "AccessDenied" in said.value.problem
        assert f"Remove {store.url}/{LOCK} before the next run" in said.value.remedy

    def test_is_told_beside_a_failure_that_came_first(
        self, server: FaultyServer, bucket: str
    ) -> None:
        store, told = open_store(f"s3://{bucket}/out", endpoint_url=server.url), list[str]()

        def fail() -> None:
            server.plan(NO_DELETE)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), hold(store, "mine", told.append):
            fail()
        assert "its lock cannot be removed" in told[0]


def test_a_bucket_with_versions_whose_store_ignores_conditions_is_refused_and_left_empty(
    server: FaultyServer, client: Any, bucket: str
) -> None:
    keep_versions(client, bucket)
    server.plan(NO_CONDITIONS)
    with pytest.raises(DestinationError, match="keeps versions") as refused:
        hold(open_store(f"s3://{bucket}/out", endpoint_url=server.url), "mine").__enter__()
    assert "conditional writes (If-None-Match)" in refused.value.problem
    assert "Name a bucket that never kept versions" in refused.value.remedy
    assert versions_in(client, bucket) == []


class TestARedirectOfAnObject:
    """It leads to another host, and is judged before anything is asked there."""

    @pytest.fixture
    def asked(self) -> list[str]:
        return []

    @pytest.fixture
    def endpoint(self, asked: list[str]) -> Iterator[str]:
        def inner(request: BaseHTTPRequestHandler) -> None:
            asked.append(request.path)
            request.send_response(200)
            request.send_header("ETag", '"1"')
            request.send_header("Last-Modified", "Mon, 30 Nov 2026 10:00:00 GMT")
            request.send_header("Content-Length", "6")
            request.end_headers()
            request.wfile.write(b"secret")

        with answering(inner) as port:

            def outer(request: BaseHTTPRequestHandler) -> None:
                of_an_object = request.path.count("/") > 1
                request.send_response(307 if of_an_object else 200)
                request.send_header("Location", f"http://127.0.0.1:{port}/private")
                request.send_header("Content-Length", "0")
                request.end_headers()

            with answering(outer) as other:
                yield f"http://localhost:{other}"

    def test_a_redirect_to_another_host_is_not_followed(
        self, endpoint: str, asked: list[str]
    ) -> None:
        store = open_store("s3://photos", endpoint_url=endpoint)
        for read in (store.read, store.size, lambda name: store.fetch(f"s3://photos/{name}").data):
            with pytest.raises((StorageError, OSError), match="leads to another address"):
                read("a.jpg")
        assert asked == []

    @pytest.mark.slow
    def test_is_not_followed_by_delta_either(self, endpoint: str, asked: list[str]) -> None:
        from deltalake import DeltaTable

        store = open_store("s3://photos", endpoint_url=endpoint)
        _, options = features_table(store).store.table("features")
        with pytest.raises(OSError, match=r"127\.0\.0\.1:9|error sending request"):
            DeltaTable("s3://photos/features", storage_options=options)
        assert asked == []


class TestARecordOfOthers:
    """It names the store that the images were read through; requests are signed with our keys."""

    @pytest.fixture
    def asked(self) -> list[str]:
        return []

    @pytest.fixture
    def results(self, tmp_path: Path, asked: list[str]) -> Iterator[Path]:
        def answer(request: BaseHTTPRequestHandler) -> None:
            asked.append(request.path)
            request.send_error(404)

        with answering(answer) as port:
            made = MadeResult(
                open_store(tmp_path), "s3://theirs/photos", f"http://127.0.0.1:{port}"
            )
            made.commit(0, numbered("s3://theirs/photos", 10))
            pca = made.reduce()
            made.report(pca)
            asked.clear()
            yield tmp_path

    def test_sends_no_request_anywhere_but_says_how_to(
        self, results: Path, asked: list[str]
    ) -> None:
        store = open_store(results)
        endpoint = json.loads(next(results.glob("runs/*.json")).read_bytes())["config"][
            "endpoint_url"
        ]
        rewrite_report(store)
        assert f"give --endpoint-url {endpoint}" in (results / REPORT).read_text()
        path = numbered("s3://theirs/photos", 1)[0]
        source = open_results(store).source()
        assert source is not None
        for images in (source, load(store.url).store_of(path)):
            with pytest.raises(StorageError, match=f"give --endpoint-url {endpoint}"):
                images.fetch(path)
        featuremill.forget(results, [path])
        assert asked == []

    def test_is_followed_where_the_option_says_so(self, results: Path, asked: list[str]) -> None:
        endpoint = json.loads(next(results.glob("runs/*.json")).read_bytes())["config"][
            "endpoint_url"
        ]
        answer = CliRunner().invoke(main, ["report", str(results), "--endpoint-url", endpoint])
        assert answer.exit_code == 0
        assert asked


class TestAPassword:
    @pytest.mark.parametrize(
        ("url", "endpoint"),
        [
            ("s3://photos", "https://jane:hunter2@store.example"),
            ("s3://photos", "http://hunter2@store.example"),
            ("s3a://key:hunter2@photos/out", None),
            ("gs://jane:hunter2@photos", None),
        ],
    )
    def test_in_an_address_is_refused_and_not_repeated(
        self, url: str, endpoint: str | None
    ) -> None:
        with pytest.raises(ConfigError, match="holds a name or a password") as refused:
            open_store(url, endpoint_url=endpoint)
        assert "hunter2" not in str(refused.value)
        assert "AWS_PROFILE" in refused.value.remedy

    def test_stands_in_no_error(self) -> None:
        error = FeaturemillError("cannot reach http://jane:hunter2@proxy:3128/x", "Ask a@b.org.")
        assert str(error) == "cannot reach http://proxy:3128/x\nAsk a@b.org."

    def test_a_password_of_the_environment_is_in_no_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://jane:hunter2@127.0.0.1:9")
        monkeypatch.setattr("featuremill.storage.s3_clients._PATIENCE_SECONDS", 0.0)
        with pytest.raises(FeaturemillError) as failed:
            list(open_store("s3://photos").list())
        assert "hunter2" not in str(failed.value)


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[int]:
    """Port of a server that gives this answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        do_HEAD = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
