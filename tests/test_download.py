"""Downloads against a real HTTP server in a thread, well-behaved or not."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from featuremill.errors import ModelError
from featuremill.models import download
from featuremill.models.download import cache_dir, fetch, mirrored

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Mirror:
    """What the server serves, how it misbehaves, and which ranges it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    honours_range: bool = True
    declares_length: bool = True
    statuses: list[int] = field(default_factory=list)
    """Answers to give before the first good one."""
    cuts: list[int] = field(default_factory=list)
    """Bytes after which to hang up, one for each of the next good answers."""
    ranges: list[str | None] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        start = start if self.honours_range else 0
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if self.declares_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/weights.h5"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF_S", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.h5"


def part_of(target: Path) -> Path:
    return target.with_name("weights.h5.part")


def test_a_file_arrives_whole_and_reports_its_progress(mirror: Mirror, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(mirror.url, target, SHA256, len(CONTENT), lambda *now: seen.append(now))
    assert path == target
    assert target.read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not part_of(target).exists()


def test_a_file_in_the_cache_is_not_fetched_again(mirror: Mirror, target: Path) -> None:
    for _ in range(2):
        fetch(mirror.url, target, SHA256, len(CONTENT))
    assert len(mirror.ranges) == 1


def test_a_cache_that_is_only_read_is_left_untouched(mirror: Mirror, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert list(target.parent.iterdir()) == [target]


def test_a_damaged_file_in_the_cache_is_replaced(mirror: Mirror, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT


def test_an_interrupted_download_goes_on_where_it_stopped(mirror: Mirror, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert mirror.ranges == ["bytes=1000-"]
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_read_from_the_start(mirror: Mirror, target: Path) -> None:
    mirror.honours_range = False
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_truncated_transfer_is_resumed(
    mirror: Mirror, target: Path, declares_length: bool
) -> None:
    mirror.declares_length = declares_length
    mirror.cuts = [500_000, 100_000]
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert mirror.ranges == [None, "bytes=500000-", "bytes=600000-"]
    assert target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(mirror: Mirror, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT + b"more")
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert mirror.ranges == [None]
    assert target.read_bytes() == CONTENT


def test_a_refused_range_starts_over(mirror: Mirror, target: Path) -> None:
    mirror.statuses = [416]
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert mirror.ranges == ["bytes=1000-", None]


def test_a_busy_server_is_asked_again(mirror: Mirror, target: Path) -> None:
    mirror.statuses = [503, 429, 500]
    fetch(mirror.url, target, SHA256, len(CONTENT))
    assert target.read_bytes() == CONTENT


def test_patience_ends_after_three_retries_and_keeps_what_arrived(
    mirror: Mirror, target: Path
) -> None:
    mirror.cuts = [10, 10, 10, 10]
    with pytest.raises(
        ModelError, match=r"tried 4 times: the connection closed at 40 of 1,048,576"
    ):
        fetch(mirror.url, target, SHA256, len(CONTENT))
    assert part_of(target).read_bytes() == CONTENT[:40]
    assert not target.exists()


def test_a_missing_file_is_not_asked_for_twice(mirror: Mirror, target: Path) -> None:
    mirror.statuses = [404]
    with pytest.raises(ModelError, match="404"):
        fetch(mirror.url, target, SHA256, len(CONTENT))
    assert len(mirror.ranges) == 1


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_wrong_checksum_names_both_and_leaves_nothing(
    mirror: Mirror, target: Path, declares_length: bool
) -> None:
    mirror.declares_length = declares_length
    mirror.content = CONTENT[::-1]
    found = hashlib.sha256(mirror.content).hexdigest()
    with pytest.raises(ModelError, match=rf"{found}, expected {SHA256}"):
        fetch(mirror.url, target, SHA256, len(CONTENT))
    assert not target.exists()
    assert not part_of(target).exists()


def test_a_login_page_does_not_overwrite_what_arrived(mirror: Mirror, target: Path) -> None:
    mirror.honours_range, mirror.content = False, b"<html>Please sign in</html>"
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    with pytest.raises(ModelError, match=r"offers 27 bytes, expected 1,048,576"):
        fetch(mirror.url, target, SHA256, len(CONTENT))
    assert part_of(target).read_bytes() == CONTENT[:1000]


def test_a_server_that_sends_too_much_is_cut_off(mirror: Mirror, target: Path) -> None:
    mirror.declares_length, mirror.content = False, CONTENT * 8
    seen: list[int] = []
    with pytest.raises(ModelError, match="not the file expected"):
        fetch(mirror.url, target, SHA256, len(CONTENT), lambda now, _: seen.append(now))
    assert seen[-1] == len(CONTENT) + 1


def test_offline_the_error_names_every_way_out(target: Path) -> None:
    with pytest.raises(ModelError) as error:
        fetch("http://127.0.0.1:9/weights.h5", target, SHA256, len(CONTENT))
    for way_out in ("--model embedded", "--weights FILE", "FEATUREMILL_WEIGHTS_URL"):
        assert way_out in error.value.remedy


def test_only_http_is_spoken(target: Path) -> None:
    with pytest.raises(ModelError, match="neither http nor https"):
        fetch("file:///etc/passwd", target, SHA256, len(CONTENT))


def test_no_password_or_signature_is_repeated(mirror: Mirror, target: Path) -> None:
    mirror.statuses = [404]
    for url in ("https://ada:secret@mirror.example/w.h5", f"{mirror.url}?sign=secret"):
        with pytest.raises(ModelError) as refused:
            fetch(url, target, SHA256, len(CONTENT))
        assert "secret" not in str(refused.value)


def test_a_cache_that_cannot_be_written_is_named(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="Cannot write to") as error:
        fetch(mirror.url, tmp_path / "file" / "weights.h5", SHA256, len(CONTENT))
    assert "FEATUREMILL_CACHE" in error.value.remedy


def test_two_downloads_at_once_fetch_the_file_once(mirror: Mirror, target: Path) -> None:
    threads = [
        threading.Thread(target=fetch, args=(mirror.url, target, SHA256, len(CONTENT)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(mirror.ranges) == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FEATUREMILL_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/featuremill"),
        ({"XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/featuremill"),
        ({"HOME": "/c"}, "/c/.cache/featuremill"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("FEATUREMILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


def test_a_mirror_replaces_all_but_the_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    public = "https://storage.example.com/a/b/weights.h5"
    monkeypatch.delenv("FEATUREMILL_WEIGHTS_URL", raising=False)
    assert mirrored(public) == public
    monkeypatch.setenv("FEATUREMILL_WEIGHTS_URL", "https://intranet.example.com/models/")
    assert mirrored(public) == "https://intranet.example.com/models/weights.h5"
