"""`cloud upload`: every kind of source, resumed, verified, and refused where it must be."""

import base64
import hashlib
import http.server
import io
import os
import random
import re
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from featuremill._utils import threads
from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.dry_run import DryRun
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer import upload as transfer
from featuremill.cloud.transfer.https import _Redirects
from featuremill.cloud.transfer.included import NOT_INCLUDED
from featuremill.cloud.transfer.known import KNOWN
from featuremill.cloud.transfer.sources import (
    HIDDEN,
    LARGEST,
    Entry,
    LeftOut,
    Source,
    open_source,
)
from featuremill.cloud.transfer.upload import Kept, Uploaded, upload
from featuremill.errors import CloudError, ConfigError, SourceError
from featuremill.storage.archive_bounds import Agree
from tests.cloud.scripted import answering
from tests.cloud.stack import describe

PICTURES = {
    "Apple/0.jpg": b"an apple",
    "Apple/1.jpg": b"another apple",
    "Pêche jaune/0.jpg": b"a peach" * 1000,
}


@pytest.fixture
def stack(aws: Aws) -> Place:
    """A stack of which there is only the bucket."""
    region = {"LocationConstraint": aws.region}
    aws.client("s3").create_bucket(Bucket="pictures", CreateBucketConfiguration=region)
    place = Place("featuremill", aws.region, "123456789012", {"Bucket": "pictures"})
    describe(aws, place.outputs)
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pictures on disk."""
    for name, data in PICTURES.items():
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return tmp_path / "photos"


class Serving(http.server.BaseHTTPRequestHandler):
    """A server of one file: with ranges, without, or with a connection that breaks."""

    content = b""
    mode = "plain"

    def do_GET(self) -> None:
        start, last = 0, len(self.content) - 1
        asked = self.headers["Range"] if self.mode == "ranges" else None
        if asked:
            start, last = map(int, asked.removeprefix("bytes=").split("-"))
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last - start + 1))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        self.end_headers()
        data = self.content[start : last + 1]
        self.wfile.write(data[: len(data) // 2] if self.mode == "breaks" else data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve bytes under a name; gives the address."""
    handler = type("Handler", (Serving,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()

        def served(name: str, content: bytes, mode: str = "plain") -> str:
            handler.content, handler.mode = content, mode
            return f"http://127.0.0.1:{server.server_port}/{name}"

        yield served
        server.shutdown()


def tar_of(files: dict[str, bytes] | list[tuple[str, bytes]], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items() if isinstance(files, dict) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def one_file(name: str, data: bytes) -> Source:
    class One(Source):
        def entries(self, agree: Agree = bool) -> Iterator[Entry | LeftOut]:
            yield Entry(name, len(data), lambda: data)

    return One("one file", "folder")


def send(aws: Aws, stack: Place, source: str | Source, to: str = "input") -> Uploaded:
    source = open_source(source) if isinstance(source, str) else source
    return upload(aws, stack, source, to)


def objects(aws: Aws, prefix: str = "input/") -> dict[str, bytes]:
    s3 = aws.client("s3")
    listed = s3.list_objects_v2(Bucket="pictures", Prefix=prefix).get("Contents", [])
    return {
        entry["Key"].removeprefix(prefix): s3.get_object(Bucket="pictures", Key=entry["Key"])[
            "Body"
        ].read()
        for entry in listed
    }


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_tar_is_sent_without_unpacking_it(
    aws: Aws, stack: Place, tmp_path: Path, mode: str
) -> None:
    archive = tmp_path / "photos.tar.gz"  # the content tells the compression, not the name
    archive.write_bytes(tar_of(PICTURES, mode))
    assert send(aws, stack, str(archive)).sent == 3
    assert objects(aws) == PICTURES
    assert list(tmp_path.iterdir()) == [archive]


def test_a_folder_and_a_zip_are_sent_alike(
    aws: Aws, stack: Place, folder: Path, tmp_path: Path
) -> None:
    assert send(aws, stack, str(folder)).sent == 3
    (tmp_path / "photos.zip").write_bytes(zip_of(PICTURES))
    done = send(aws, stack, str(tmp_path / "photos.zip"))
    assert (done.sent, done.there) == (0, 3)
    assert objects(aws) == PICTURES


def test_an_archive_at_an_address_is_sent_as_it_arrives(
    aws: Aws, stack: Place, serve: Callable[..., str]
) -> None:
    assert send(aws, stack, serve("photos.tar.gz", tar_of(PICTURES))).sent == 3
    assert objects(aws) == PICTURES


def test_a_zip_at_an_address_is_read_by_ranges(
    aws: Aws, stack: Place, serve: Callable[..., str]
) -> None:
    assert send(aws, stack, serve("photos.zip?x=1", zip_of(PICTURES), "ranges")).sent == 3
    assert objects(aws) == PICTURES


def test_a_zip_whose_server_gives_no_ranges_is_refused_with_what_to_do(
    aws: Aws, stack: Place, serve: Callable[..., str]
) -> None:
    with pytest.raises(SourceError, match="only as a whole") as caught:
        send(aws, stack, serve("photos.zip", zip_of(PICTURES)))
    assert ".tar.gz" in caught.value.remedy


def test_what_is_there_is_not_sent_again_and_what_differs_is(
    aws: Aws, stack: Place, folder: Path
) -> None:
    send(aws, stack, str(folder))
    (folder / "Apple/0.jpg").write_bytes(b"an Apple")  # of the same size
    (folder / "Apple/2.jpg").write_bytes(b"new")
    done = send(aws, stack, str(folder))
    assert (done.sent, done.there, done.files) == (2, 2, 4)
    assert objects(aws)["Apple/0.jpg"] == b"an Apple"


def test_where_a_key_makes_the_etag_no_md5_the_sha256_tells(aws: Aws, stack: Place) -> None:
    data = b"encrypted with a key of one's own"
    source = one_file("0.jpg", data)
    send(aws, stack, source)
    listed = {"0.jpg": Kept(len(data), "what S3 answers for aws:kms")}
    assert transfer.send(aws, "pictures", "input", listed, source)[0].there == 1
    other = one_file("0.jpg", data.upper())
    assert transfer.send(aws, "pictures", "input", listed, other)[0].sent == 1


def test_an_upload_that_broke_says_how_to_go_on_and_goes_on(
    aws: Aws, stack: Place, serve: Callable[..., str]
) -> None:
    many = {f"Apple/{number}.jpg": os.urandom(200_000) for number in range(40)}
    address = serve("photos.tar", tar_of(many, "w"), "breaks")
    with pytest.raises(CloudError, match=r"closed at .* bytes \(after \d+ files\)") as caught:
        send(aws, stack, address)
    assert "run the same command again to resume" in caught.value.remedy
    there = len(objects(aws))
    assert 0 < there < 40
    done = send(aws, stack, serve("photos.tar", tar_of(many, "w")))
    assert (done.there, done.sent) == (there, 40 - there)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_an_archive_cut_short_is_not_taken_for_whole(
    aws: Aws, stack: Place, tmp_path: Path, mode: str
) -> None:
    whole = tar_of(PICTURES, mode)
    (tmp_path / "photos.tar.gz").write_bytes(whole[:-4])
    with pytest.raises((SourceError, CloudError), match="cannot be read"):
        send(aws, stack, str(tmp_path / "photos.tar.gz"))


def test_a_file_changed_meanwhile_is_noticed_at_the_end(
    aws: Aws, stack: Place, folder: Path
) -> None:
    outcome, expected = transfer.send(aws, "pictures", "input", {}, open_source(str(folder)))
    aws.client("s3").put_object(Bucket="pictures", Key="input/Apple/0.jpg", Body=b"AN APPLE")
    now = transfer.listing(aws, "pictures", "input")
    with pytest.raises(CloudError, match=r"lacks or has changed 1 of 3 files: Apple/0\.jpg"):
        transfer.verified("s3://pictures/input", outcome, expected, now)


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/passwd", "a/../../b.jpg", "a\\..\\..\\b"])
def test_names_that_lead_out_of_the_archive_are_refused(
    aws: Aws, stack: Place, tmp_path: Path, name: str
) -> None:
    (tmp_path / "evil.tar").write_bytes(tar_of({name: b"x"}, "w"))
    with pytest.raises(SourceError, match="leads out of its folder"):
        send(aws, stack, str(tmp_path / "evil.tar"))
    assert objects(aws) == {}


def test_what_stays_behind_is_counted(aws: Aws, stack: Place, folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    with open(folder / "film.mp4", "wb") as film:
        film.truncate(LARGEST + 1)
    done = send(aws, stack, str(folder))
    assert dict(done.left_out) == {HIDDEN: 3, "larger than 256 MiB": 1}
    assert objects(aws) == PICTURES


@pytest.mark.parametrize(
    "left",
    [
        "$RECYCLE.BIN/S-1-5/0.jpg",
        "Apple/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg",
        "Apple/ehthumbs.db",
        "Apple/Icon\r",
        "Apple/0.jpg:Zone.Identifier",
        "Trip.photoslibrary/resources/derivatives/0.jpg",
    ],
)
def test_what_systems_leave_among_pictures_stays_behind(tmp_path: Path, left: str) -> None:
    kept = ["Apple/0.jpg", "Trip.photoslibrary/originals/0.jpg", "notes.txt"]
    (tmp_path / "photos.tar").write_bytes(tar_of(dict.fromkeys([*kept, left], b"x"), "w"))
    found = list(open_source(str(tmp_path / "photos.tar")).entries())
    assert [each.name for each in found if isinstance(each, Entry)] == kept
    assert LeftOut(left, HIDDEN) in found


def test_links_in_an_archive_stay_behind(aws: Aws, stack: Place, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("empty.jpg"))
    assert send(aws, stack, str(tmp_path / "a.tar")).left_out == {"a link or a device": 1}
    assert objects(aws) == {"empty.jpg": b""}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        target = zipfile.ZipInfo("link.jpg")
        target.external_attr = 0o120777 << 16
        zipped.writestr(target, "/etc/passwd")
    assert [type(each) for each in open_source(str(tmp_path / "a.zip")).entries()] == [LeftOut]


@pytest.fixture
def outside(tmp_path: Path, folder: Path) -> Path:
    """What is no part of the folder, and what in it leads there, and elsewhere."""
    secrets = tmp_path / "secrets"
    (secrets / "below").mkdir(parents=True)
    (secrets / "key.jpg").write_bytes(b"a private key")
    (secrets / "below" / "0.jpg").write_bytes(b"another")
    (folder / "file.jpg").symlink_to(secrets / "key.jpg")
    (folder / "more").symlink_to(secrets)
    (folder / "up.jpg").symlink_to("../secrets/key.jpg")
    (folder / "passwd.jpg").symlink_to("/etc/passwd")
    (folder / "via").symlink_to(folder / "more" / "below")
    (folder / "inside.jpg").symlink_to(folder / "Apple" / "0.jpg")
    return secrets


def test_links_out_of_a_folder_stay_behind_and_are_counted(
    aws: Aws, stack: Place, folder: Path, outside: Path
) -> None:
    done = send(aws, stack, str(folder))
    assert done.left_out == {"a link out of the source": 5}
    assert objects(aws) == {**PICTURES, "inside.jpg": b"an apple"}


def test_a_folder_that_is_a_link_itself_is_sent(
    aws: Aws, stack: Place, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "linked").symlink_to(folder)
    assert send(aws, stack, str(tmp_path / "linked")).sent == 3
    assert objects(aws) == PICTURES


def test_links_are_followed_where_that_is_asked_for(
    aws: Aws,
    stack: Place,
    folder: Path,
    outside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project_file.save(stack, tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["cloud", "upload", "photos", "--endpoint-url", str(aws.endpoint_url)]
    result = CliRunner().invoke(main, command)
    assert "left out: 5 a link out of the source" in result.stdout
    result = CliRunner().invoke(main, [*command, "--follow-links"])
    assert result.exit_code == 0, result.output
    assert objects(aws)["file.jpg"] == b"a private key"
    assert objects(aws)["more/below/0.jpg"] == b"another"


def test_a_link_that_takes_a_files_place_meanwhile_is_not_sent(
    aws: Aws, stack: Place, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"a private key")
    entries = [each for each in open_source(str(folder)).entries() if isinstance(each, Entry)]
    (folder / "Apple" / "0.jpg").unlink()
    (folder / "Apple" / "0.jpg").symlink_to(tmp_path / "key")
    (first,) = [each for each in entries if each.name == "Apple/0.jpg"]
    with pytest.raises(SourceError, match=r"Apple/0\.jpg' cannot be read"):
        first.read()


# Addresses


@contextmanager
def noting(host: str = "127.0.0.1", to: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server that leads elsewhere, or answers; and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302 if to else 200)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://{host}:{server.server_port}", asked
        server.shutdown()


def test_a_redirect_is_judged_before_it_is_followed() -> None:
    with (
        noting("127.0.0.2") as (there, asked),
        noting(to=f"{there}/secret.tar?token=1") as (here, _),
    ):
        with pytest.raises(SourceError, match="which is not encrypted") as refused:
            list(open_source(f"{here}/photos.tar").entries())
        assert asked == []
    assert f"leads to {there}/secret.tar?…, which" in refused.value.problem


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:9/admin",
        "http://localhost/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://router/",
        "https://nas.local./",
        "https://ada:secret@example.org/",
        "ftp://example.org/a.tar",
        "file:///etc/passwd",
    ],
)
def test_a_public_server_leads_to_nothing_private(to: str) -> None:
    asked = urllib.request.Request("https://pictures.example/photos.tar")
    with pytest.raises(SourceError, match=r"photos\.tar leads to ") as refused:
        _Redirects().redirect_request(asked, io.BytesIO(), 302, "", HTTPMessage(), to)
    assert "secret" not in str(refused.value)


def test_a_public_server_may_lead_to_another() -> None:
    asked = urllib.request.Request("https://pictures.example/photos.tar", headers={"Range": "x"})
    to = "https://codeload.example/photos.tar"
    followed = _Redirects().redirect_request(asked, io.BytesIO(), 302, "", HTTPMessage(), to)
    assert followed is not None
    assert (followed.full_url, followed.get_header("Range")) == (to, "x")


@pytest.mark.parametrize(
    "address",
    ["https://ada:secret@example.org/a.tar", "https://ada@example.org/a.tar", "https://[::1/a.tar"],
)
def test_an_address_with_a_password_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigError, match="or it holds a password") as refused:
        open_source(address)
    assert "secret" not in str(refused.value)


def test_what_signs_an_address_is_not_repeated(aws: Aws, stack: Place) -> None:
    with answering(403) as endpoint:
        source = open_source(f"{endpoint.address}/photos.tar?X-Amz-Signature=secret")
        with pytest.raises(SourceError, match="the server answered 403") as refused:
            send(aws, stack, source)
    assert "secret" not in str(refused.value)
    shown: list[str] = []
    upload(DryRun("eu-west-1", tell=shown.append), stack, source)
    assert "secret" not in "".join(shown)
    with pytest.raises(SourceError) as refused:
        list(open_source("http://127.0.0.1:9/photos.tar?token=secret").entries())
    assert "secret" not in str(refused.value)


def test_of_a_name_that_is_twice_in_an_archive_the_later_counts(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    later_sent = threading.Event()

    class Slow(Aws):
        """Takes its time for the first file, so that the second could overtake it."""

        def call(self, service: str, operation: str, /, **parameters: Any) -> Any:
            if parameters.get("Body") == b"old":
                later_sent.wait(0.3)
            answer = super().call(service, operation, **parameters)
            if parameters.get("Body") == b"new":
                later_sent.set()
            return answer

    (tmp_path / "a.tar").write_bytes(tar_of([("0.jpg", b"old"), ("0.jpg", b"new")], "w"))
    send(Slow(aws.region, endpoint_url=aws.endpoint_url), stack, str(tmp_path / "a.tar"))
    assert objects(aws) == {"0.jpg": b"new"}


def test_other_objects_in_the_folder_are_told(aws: Aws, stack: Place, folder: Path) -> None:
    for key in ("input/old.jpg", "input/Apple/"):  # the second: the console's mark of a folder
        aws.client("s3").put_object(Bucket="pictures", Key=key, Body=b"")
    assert send(aws, stack, str(folder)).others == 1
    assert send(aws, stack, str(folder), "input/autumn").others == 0
    assert objects(aws, "input/autumn/") == PICTURES


def test_the_known_data_set_loses_the_folder_of_its_archive(
    serve: Callable[..., str],
) -> None:
    known = open_source("fruits-360")
    assert known.where == KNOWN["fruits-360"].address
    assert known.where.startswith("https://codeload.github.com/fruits-360/")
    files = {f"fruits-360-100x100-2f981c8/{name}": data for name, data in PICTURES.items()}
    files["pax_global_header"] = b""
    address = serve("x.tar.gz", tar_of(files))
    assert {each.name for each in Source(address, known.kind, known.strip).entries()} == set(
        PICTURES
    )


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_data_set_can_be_opened_and_says_what_it_is(name: str) -> None:
    known = open_source(name, include=("Training/*",))
    assert known.where.startswith("https://")
    assert known.include == ("Training/*",)
    with pytest.raises(ConfigError) as unknown:
        open_source("fruits-361")
    assert f"{name} ({KNOWN[name].about})" in unknown.value.remedy


def test_data_sets_from_repositories_are_pinned_to_a_commit() -> None:
    for known in KNOWN.values():
        if "codeload.github.com" in known.address:
            assert re.search(r"/tar\.gz/[0-9a-f]{40}$", known.address)


# A part of a source

SPLIT = {
    "Training/Apple/0.jpg": b"an apple",
    "Training/Pêche jaune/0.jpg": b"a peach",
    "Test/Apple/1.jpg": b"another apple",
    "papers/fruit.pdf": b"a paper",
}


def split(kind: str, folder: Path) -> str:
    """A source of that kind, as the public data sets are laid out."""
    if kind == "folder":
        for name, data in SPLIT.items():
            (folder / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "set" / name).write_bytes(data)
        return str(folder / "set")
    file = folder / f"set.{kind}"
    file.write_bytes(zip_of(SPLIT) if kind == "zip" else tar_of(SPLIT))
    return str(file)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize(
    ("include", "sent"),
    [
        (["Training/*"], {"Training/Apple/0.jpg", "Training/Pêche jaune/0.jpg"}),
        (["*/Apple/*"], {"Training/Apple/0.jpg", "Test/Apple/1.jpg"}),
        # as macOS spells it
        (["*/Pe\u0302che jaune/*", "Test/*"], {"Training/Pêche jaune/0.jpg", "Test/Apple/1.jpg"}),
    ],
    ids=["training", "apples", "two"],
)
def test_a_part_of_a_source_is_sent_and_the_rest_is_counted(
    aws: Aws, stack: Place, tmp_path: Path, kind: str, include: list[str], sent: set[str]
) -> None:
    done = send(aws, stack, open_source(split(kind, tmp_path), include=tuple(include)))
    assert objects(aws) == {name: SPLIT[name] for name in sent}
    assert done.left_out == {NOT_INCLUDED: len(SPLIT) - len(sent)}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_a_pattern_that_names_nothing_is_refused_with_the_folders_that_there_are(
    aws: Aws, stack: Place, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(SourceError, match=r"--include training/\* names no file of") as refused:
        send(aws, stack, open_source(split(kind, tmp_path), include=("training/*",)))
    assert "Its folders are Test, Training, papers" in refused.value.remedy
    assert objects(aws) == {}


def test_folders_are_named_from_where_they_differ(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of({f"set/fruits/{n}": d for n, d in SPLIT.items()}))
    with pytest.raises(SourceError) as refused:
        [*open_source(str(tmp_path / "a.zip"), include=("Training/*",)).entries()]
    assert "set/fruits/Test, set/fruits/Training, set/fruits/papers" in refused.value.remedy


def test_of_several_patterns_each_must_name_something(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    source = open_source(split("zip", tmp_path), include=("Test/*", "Validation/*"))
    with pytest.raises(CloudError, match=r"--include Validation/\* names no file") as refused:
        send(aws, stack, source)
    assert "after 1 files" in refused.value.problem
    assert objects(aws) == {"Test/Apple/1.jpg": b"another apple"}


def test_of_a_zip_at_an_address_only_the_part_is_fetched(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(1).randbytes
    large = {f"Test/{n}.jpg": noise(1 << 20) for n in range(8)} | {"Training/0.jpg": b"an apple"}
    address, fetched = serve("a.zip", zip_of(large), "ranges"), []
    sent = Serving.do_GET

    def noted(self: Serving) -> None:
        fetched.append(self.headers["Range"])
        sent(self)

    monkeypatch.setattr(Serving, "do_GET", noted)
    [entry] = [
        each
        for each in Source(address, "zip", include=("Training/*",)).entries()
        if isinstance(each, Entry)
    ]
    assert (entry.name, entry.read()) == ("Training/0.jpg", b"an apple")
    spans = [tuple(map(int, each.removeprefix("bytes=").split("-"))) for each in fetched if each]
    assert sum(last - start + 1 for start, last in spans) < 4 << 20


def test_the_command_takes_a_part(
    aws: Aws, stack: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_file.save(stack, tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["cloud", "upload", split("zip", tmp_path), "--include", "Training/*"]
    done = CliRunner().invoke(main, [*command, "--endpoint-url", str(aws.endpoint_url)])
    assert done.exit_code == 0, done.output
    assert "2 files" in done.stdout
    assert f"left out: 2 {NOT_INCLUDED}" in done.stdout


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("nowhere", "nowhere does not exist"),
        ("", "SRC is empty"),
        ("q" * 5_000, "File name too long"),
        ("http://example.org/a.zip", "is no https address"),
        ("s3://bucket/a.zip", "is no https address"),
        ("https://example.org/page", "neither a folder nor an archive"),
    ],
)
def test_what_is_no_source_is_refused_before_any_call(where: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        open_source(where)
    assert caught.value.remedy


@pytest.mark.parametrize("to", ["results", "code/x", "", "input/../code", "inputs"])
def test_only_the_folder_for_images_may_be_filled(to: str) -> None:
    place = Place("featuremill", "eu-west-1", "123456789012", {"Bucket": "pictures"})
    with pytest.raises(ConfigError, match="must be input or a folder below it"):
        upload(Aws("eu-west-1"), place, Source("photos", "folder"), to)


def test_an_empty_source_is_refused(aws: Aws, stack: Place, tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"x")
    with pytest.raises(SourceError, match="no file to send: 1 hidden"):
        send(aws, stack, str(tmp_path))


def test_a_folders_own_files_about_the_stack_stay_behind(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    for name in (project_file.FILE, project_file.ESTIMATE_FILE, "0.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert send(aws, stack, str(tmp_path)).sent == 1
    assert set(objects(aws)) == {"0.jpg"}


def test_a_zip_with_a_password_is_refused_with_the_remedy(tmp_path: Path) -> None:
    content = bytearray(zip_of({"0.jpg": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    (tmp_path / "secret.zip").write_bytes(content)
    with pytest.raises(SourceError, match="password") as caught:
        list(open_source(str(tmp_path / "secret.zip")).entries())
    assert caught.value.remedy == "Unpack it and upload the folder."


def test_a_bucket_that_is_gone_is_explained(aws: Aws, stack: Place, folder: Path) -> None:
    aws.client("s3").delete_bucket(Bucket="pictures")
    with pytest.raises(CloudError, match="NoSuchBucket"):
        send(aws, stack, str(folder))


def test_memory_is_bounded_whatever_the_source_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IN_FLIGHT", 1000)
    held, most, lock = 0, 0, threading.Lock()

    def jobs() -> Iterator[int]:
        nonlocal held, most
        for number in range(300):
            with lock:
                held += 1
                most = max(most, held)
            yield number

    def do(number: int) -> int:
        nonlocal held
        with lock:
            held -= 1
        return number

    assert sorted(threads.each(jobs(), do, lambda _: 100)) == list(range(300))
    assert most <= 11  # ten of a hundred bytes, and the one that waits


def test_the_command_says_what_it_did_and_what_stayed_behind(
    aws: Aws, stack: Place, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    project_file.save(stack, tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["cloud", "upload", "photos", "--endpoint-url", str(aws.endpoint_url)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "3 files, 0.0 MB: 3 sent, 0 there already" in result.stdout
    assert "left out: 1 hidden" in result.stdout


def test_s3_is_told_the_sha256_of_each_file(aws: Aws, stack: Place, folder: Path) -> None:
    send(aws, stack, str(folder))
    where = {"Bucket": "pictures", "Key": "input/Apple/0.jpg"}
    head = aws.client("s3").head_object(**where, ChecksumMode="ENABLED")
    sha256 = base64.b64encode(hashlib.sha256(b"an apple").digest()).decode()
    assert head["ChecksumSHA256"] == sha256


def test_a_dry_run_shows_every_call_and_makes_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {"Bucket": "pictures"}
    project_file.save(Place("featuremill", "eu-west-1", "123456789012", outputs), tmp_path)
    monkeypatch.chdir(tmp_path)
    with answering() as endpoint:
        command = ["cloud", "upload", "--dry-run", "--endpoint-url", endpoint.address]
        results = [CliRunner().invoke(main, [*command, each]) for each in ("photos", "fruits-360")]
    for result in results:
        assert result.exit_code == 0, result.output
        assert "s3.put_object" in result.stdout
        assert "nothing was called" in result.stdout
    assert endpoint.requests == []
