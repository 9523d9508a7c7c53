"""A folder as a store: whatever lies in it is listed, and a file is written whole or not at all."""

import errno
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from deltalake.exceptions import DeltaError
from hypothesis import given, settings
from hypothesis import strategies as st

from featuremill._utils import paths
from featuremill.dataset.half_written import remove_half_written
from featuremill.errors import ConfigError, SourceError, StorageError
from featuremill.storage import Listed, open_store
from featuremill.storage.base import no_room
from featuremill.storage.local import LocalStore
from featuremill.storage.s3 import S3Store


def everything_in(folder: Path) -> list[str]:
    """Relative paths of all files, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def listed(folder: Path) -> dict[str, Listed]:
    """What a listing finds, by the path below the folder."""
    start = len(str(folder)) + 1
    return {entry.path[start:]: entry for entry in LocalStore(str(folder)).list()}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


class TestOpenStore:
    def test_a_plain_path_is_a_folder_and_becomes_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert open_store("images/") == LocalStore(str(tmp_path / "images"))
        assert open_store(Path("images")) == LocalStore(str(tmp_path / "images"))

    @pytest.mark.parametrize(
        ("url", "bucket", "prefix"),
        [
            ("s3://fruits", "fruits", ""),
            ("s3://fruits/", "fruits", ""),
            ("s3://fruits/a/b/", "fruits", "a/b"),
            ("s3a://fruits/a", "fruits", "a"),
            ("S3://fruits/a", "fruits", "a"),
        ],
    )
    def test_an_s3_url_is_a_bucket_and_a_prefix(self, url, bucket, prefix):
        store = open_store(url, endpoint_url="http://localhost:9000", region="eu-west-3")
        assert store == S3Store(bucket, prefix, "http://localhost:9000", "eu-west-3")

    @pytest.mark.parametrize(
        ("url", "problem", "remedy"),
        [
            ("", "an empty path", "Name a folder or s3://bucket/prefix"),
            ("  ", "an empty path", "Name a folder or s3://bucket/prefix"),
            ("file:///data", "'file:///data' is a file:// URL", "plain path"),
            ("gs://fruits/a", "'gs://fruits/a' has the scheme 'gs'", "s3://bucket/prefix"),
            ("HTTPS://a.b/c", "has the scheme 'https'", "s3://bucket/prefix"),
            ("s3://", "'s3://' names no bucket", "s3://bucket/prefix"),
            ("s3:///a", "'s3:///a' names no bucket", "s3://bucket/prefix"),
        ],
    )
    def test_anything_else_is_refused_with_a_remedy(self, url, problem, remedy):
        with pytest.raises(ConfigError) as refused:
            open_store(url)
        assert problem in refused.value.problem
        assert remedy in refused.value.remedy


class TestList:
    def test_the_order_is_that_of_the_names_as_bytes_folder_by_folder(self, tmp_path):
        expected = ["B.jpg", "a/2.jpg", "a/b/1.jpg", "a/c.jpg", "a.jpg", "b.jpg", "é.jpg"]
        for name in reversed(expected):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        assert list(listed(tmp_path)) == expected

    def test_size_and_version_are_those_of_the_file(self, tmp_path):
        file = tmp_path / "a.jpg"
        file.write_bytes(b"12345")
        first = listed(tmp_path)["a.jpg"]
        assert first.path == str(file)
        assert (first.size, first.problem) == (5, "")
        assert listed(tmp_path)["a.jpg"] == first

    def test_the_version_changes_with_the_size_and_with_the_time(self, tmp_path):
        file = tmp_path / "a.jpg"
        versions = set()
        for data, modified in ((b"one", 1), (b"two", 2), (b"three", 2)):
            file.write_bytes(data)
            os.utime(file, ns=(0, modified))
            versions.add(listed(tmp_path)["a.jpg"].version)
        assert len(versions) == 3

    def test_links_are_followed(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        (elsewhere / "kiwi").mkdir(parents=True)
        (elsewhere / "kiwi" / "0.jpg").write_bytes(b"kiwi")
        source = tmp_path / "source"
        source.mkdir()
        (source / "folder").symlink_to(elsewhere / "kiwi")
        (source / "file.jpg").symlink_to(elsewhere / "kiwi" / "0.jpg")
        found = listed(source)
        assert list(found) == ["file.jpg", "folder/0.jpg"]
        for entry in found.values():
            assert LocalStore(str(source)).fetch(entry.path) == (b"kiwi", entry.version)

    def test_a_folder_is_listed_where_it_is_and_through_the_first_of_its_links(self, tmp_path):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "0.jpg").touch()
        for link in "acd":
            (tmp_path / link).symlink_to("b")
        found = listed(tmp_path)
        assert list(found) == ["a/0.jpg", "b/0.jpg", "c", "d"]
        assert found["d"].problem == "a folder that an earlier link leads to"

    def test_thirty_levels_of_two_links_each_are_not_2_to_the_30_paths(self, tmp_path):
        levels = [tmp_path / ".levels" / str(number) for number in range(31)]
        for level in levels:
            level.mkdir(parents=True)
        for level, below in pairwise(levels):
            (level / "a").symlink_to(below)
            (level / "b").symlink_to(below)
        (levels[-1] / "x.jpg").touch()
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "start").symlink_to(levels[0])
        found = listed(tmp_path / "source")
        images = [name for name, entry in found.items() if not entry.problem]
        assert images == ["start/" + "a/" * 30 + "x.jpg"]
        assert {entry.problem for entry in found.values()} == {
            "",
            "a folder that an earlier link leads to",
        }
        assert len(found) == 31

    def test_a_link_in_a_hidden_folder_takes_nothing_from_one_that_is_seen(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "0.jpg").touch()
        (tmp_path / "source" / ".cache").mkdir(parents=True)
        (tmp_path / "source" / ".cache" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "source" / "kiwi").symlink_to(tmp_path / "elsewhere")
        found = listed(tmp_path / "source")
        assert not found["kiwi/0.jpg"].problem

    @pytest.mark.slow
    def test_folders_may_be_nested_deeper_than_python_may_recurse(self, tmp_path):
        name = "d/" * 1200 + "x.jpg"
        try:
            store = LocalStore(str(tmp_path))
            store.write(name, b"y")
            assert list(listed(tmp_path)) == [name]
            assert list(store.names("")) == [name]
            assert store.fetch(f"{tmp_path}/{name}").data == b"y"
        finally:
            # what takes temporary folders away goes no deeper than a thousand
            subprocess.run(["rm", "-r", tmp_path / "d"], check=False)

    def test_where_links_may_not_lead_out_those_that_do_are_told(self, tmp_path):
        source = tmp_path / "source"
        (source / "kiwi").mkdir(parents=True)
        (source / "kiwi" / "0.jpg").write_bytes(b"kiwi")
        secret = tmp_path / "source-of-others"
        secret.mkdir()
        (secret / "key").write_bytes(b"secret")
        (source / "a.jpg").symlink_to(secret / "key")
        (source / "b").symlink_to(secret)
        (source / "c.jpg").symlink_to("kiwi/0.jpg")
        (source / "d").symlink_to("kiwi")
        (source / "e").symlink_to(".")
        store = LocalStore(str(source), follow_links=False)
        found = {entry.path.rpartition("source/")[2]: entry for entry in store.list()}
        assert {name: entry.problem for name, entry in found.items()} == {
            "a.jpg": "a link out of the source",
            "b": "a link out of the source",
            "c.jpg": "",
            "d/0.jpg": "",
            "e": "a link back to a folder that holds it",
            "kiwi/0.jpg": "",
        }
        assert store.fetch(found["c.jpg"].path).data == b"kiwi"
        for name in ("a.jpg", "b/key"):
            with pytest.raises(OSError, match="a link out of the source"):
                store.fetch(f"{source}/{name}")

    @pytest.mark.parametrize(
        ("make", "problem"),
        [
            (lambda path: path.symlink_to("nowhere"), "a link to a file that does not exist"),
            (lambda path: path.symlink_to(path.name), "a link that leads back to itself"),
            (lambda path: path.symlink_to(".."), "a link back to a folder that holds it"),
            (lambda path: path.symlink_to("."), "a link back to a folder that holds it"),
            (lambda path: os.mkfifo(path), "not a regular file"),
        ],
        ids=["dangling link", "link loop", "link to grandparent", "link to parent", "fifo"],
    )
    def test_what_cannot_be_read_is_listed_with_the_problem(self, tmp_path, make, problem):
        folder = tmp_path / "kiwi"
        folder.mkdir()
        make(folder / "1.jpg")
        for good in ("0.jpg", "2.jpg"):
            (folder / good).touch()
        found = listed(tmp_path)
        assert list(found) == ["kiwi/0.jpg", "kiwi/1.jpg", "kiwi/2.jpg"]
        assert [entry.problem for entry in found.values()] == ["", problem, ""]
        assert found["kiwi/1.jpg"][1:3] == (0, "")

    def test_two_links_that_lead_to_each_other_are_reported(self, tmp_path):
        (tmp_path / "a.jpg").symlink_to("b.jpg")
        (tmp_path / "b.jpg").symlink_to("a.jpg")
        problems = [entry.problem for entry in listed(tmp_path).values()]
        assert problems == ["a link that leads back to itself"] * 2

    def test_a_folder_that_may_not_be_read_is_listed_as_one_problem(self, tmp_path, monkeypatch):
        for folder in ("apple", "locked", "pear"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "0.jpg").touch()
        forbid(monkeypatch, tmp_path / "locked")
        found = listed(tmp_path)
        assert list(found) == ["apple/0.jpg", "locked", "pear/0.jpg"]
        assert found["locked"].problem == "the folder cannot be read: Permission denied"

    def test_a_source_that_is_no_folder_is_refused(self, tmp_path, monkeypatch):
        file = tmp_path / "file"
        file.touch()
        locked = tmp_path / "locked"
        locked.mkdir()
        forbid(monkeypatch, locked)
        for path, problem in (
            (tmp_path / "missing", "does not exist"),
            (file, "is not a folder"),
            (locked, "cannot be read: Permission denied"),
        ):
            with pytest.raises(SourceError, match=problem) as refused:
                listed(path)
            assert str(path) in refused.value.problem
            assert refused.value.remedy


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Deny a folder, to the superuser too, whom permissions do not stop."""
    scandir = os.scandir

    def denied(path):
        if os.fsdecode(path) == str(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)


ODD_NAMES = [
    b"caf\xe9.jpg",
    b"\xff",
    b"new\nline.jpg",
    b"tab\t.jpg",
    b"100%.jpg",
    b"%41.jpg",
    b"x.jpg#1",
    b"x.jpg?v=1",
    b" leading and trailing ",
    b"back\\slash.jpg",
    b"...",
    "e\u0301 and é.jpg".encode(),
    b"n" * 255,
]


class TestFetch:
    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_a_file_of_any_name_is_fetched_by_the_path_it_is_listed_under(self, tmp_path, name):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        (folder / os.fsdecode(name)).write_bytes(name)
        store = LocalStore(str(tmp_path))
        (entry,) = store.list()
        assert entry.path == f"{tmp_path}/{paths.encode(name)}/{paths.encode(name)}"
        assert store.fetch(entry.path) == (name, entry.version)

    @settings(max_examples=50)
    @given(st.binary(min_size=1, max_size=100).filter(lambda name: not {0, 47} & set(name)))
    def test_a_file_of_any_name_is_fetched(self, name):
        if name in (b".", b".."):
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, os.fsdecode(name)).write_bytes(name)
            store = LocalStore(folder)
            (entry,) = store.list()
            assert store.fetch(entry.path) == (name, entry.version)

    def test_the_version_is_that_of_the_bytes_read_not_of_the_listing(self, tmp_path, store):
        file = tmp_path / "a.jpg"
        file.write_bytes(b"old")
        (old,) = store.list()
        file.write_bytes(b"newer")
        fetched = store.fetch(old.path)
        (new,) = store.list()
        assert fetched == (b"newer", new.version)
        assert fetched.version != old.version

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda path: None, "No such file"),
            (lambda path: path.symlink_to("nowhere"), "No such file"),
            (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
            (lambda path: path.mkdir(), "Is a directory"),
            (lambda path: os.mkfifo(path), "not a regular file"),
        ],
        ids=["gone", "dangling link", "link loop", "folder", "fifo"],
    )
    @pytest.mark.timeout(10)
    def test_what_took_a_files_place_gives_a_reason_and_waits_for_nothing(
        self, tmp_path, store, make, reason
    ):
        make(tmp_path / "a.jpg")
        with pytest.raises(OSError, match=reason) as failed:
            store.fetch(str(tmp_path / "a.jpg"))
        assert failed.value.strerror

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="open files cannot be counted")
    def test_a_failed_fetch_leaves_no_file_open(self, tmp_path, store):
        before = len(list(Path("/dev/fd").iterdir()))
        for _ in range(3):
            with pytest.raises(IsADirectoryError):
                store.fetch(str(tmp_path))
        assert len(list(Path("/dev/fd").iterdir())) == before


class TestWrite:
    def test_what_is_written_is_read_back_and_folders_are_made(self, tmp_path, store):
        store.write("runs/1.json", b"{}")
        assert store.read("runs/1.json") == b"{}"
        assert store.size("runs/1.json") == 2
        with store.open("runs/1.json") as file:
            file.seek(1)
            assert file.read() == b"}"
        assert everything_in(tmp_path) == ["runs/1.json"]

    def test_writing_again_replaces_all_of_it(self, store):
        store.write("a", b"long content")
        store.write("a", b"short")
        assert store.read("a") == b"short"

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    @pytest.mark.parametrize("before", [None, b"old"])
    def test_a_writer_that_fails_leaves_what_was_there_and_nothing_else(
        self, tmp_path, store, error, before
    ):
        if before is not None:
            store.write("csv/a", before)

        def fail() -> None:
            with store.writer("csv/a") as file:
                file.write(b"half of ")
                file.flush()
                raise error

        with pytest.raises(error):
            fail()
        assert everything_in(tmp_path) == ([] if before is None else ["csv/a"])
        assert before is None or store.read("csv/a") == before

    def test_a_file_appears_only_when_its_writer_ends(self, store):
        with store.writer("a") as file:
            file.write(b"first, ")
            file.flush()
            assert store.size("a") is None
            file.write(b"second")
        assert store.read("a") == b"first, second"

    def test_what_killed_writers_left_is_told_from_every_other_file(self, tmp_path, store):
        for name in ("report.html", ".hidden", ".report.html.tmp", "csv/reduced.csv"):
            store.write(name, b"whole")
        writers = [store.writer("csv/reduced.csv"), store.writer("report.html")]
        for writer in writers:
            writer.__enter__().write(b"half of")
        [begun], [csv] = store.half_written(""), store.half_written("csv")
        assert begun.startswith(".report.html.")
        assert csv.startswith("csv/.reduced.csv.")
        assert remove_half_written(store) == 2
        assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4
        assert remove_half_written(store) == 0

    def test_a_name_may_be_as_long_as_the_file_system_takes(self, store):
        name = "é" * 125 + ".jpg"
        assert len(name.encode()) == 254
        store.write(name, b"written")
        assert list(store.names("")) == [name]

    def test_create_writes_only_what_is_not_there(self, tmp_path, store):
        assert store.create("run.lock", b"mine") is True
        assert store.create("run.lock", b"yours") is False
        assert store.read("run.lock") == b"mine"
        assert everything_in(tmp_path) == ["run.lock"]

    def test_of_eight_threads_that_create_one_name_one_does(self, tmp_path, store):
        start = threading.Barrier(8)

        def create(thread: int, name: str) -> bool:
            start.wait()
            return store.create(name, b"%d" % thread * 1000)

        with ThreadPoolExecutor(8) as pool:
            for trial in range(20):
                won = list(pool.map(create, range(8), [f"lock{trial}"] * 8))
                assert won.count(True) == 1
                assert store.read(f"lock{trial}") == b"%d" % won.index(True) * 1000
        assert len(everything_in(tmp_path)) == 20

    @pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
    def test_permissions_are_those_of_any_new_file(self, tmp_path, store, mask):
        with umask(mask):
            store.write("written", b"")
            store.create("created", b"")
            with store.writer("streamed") as file:
                file.write(b"")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert modes == dict.fromkeys(("written", "created", "streamed"), 0o666 & ~mask)

    def test_writing_leaves_the_umask_alone(self, store):
        with umask(0o027):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda number: store.write(f"{number}", b""), range(200)))
            assert os.umask(0o027) == 0o027

    @pytest.mark.parametrize(
        "write",
        [
            lambda store: store.write("file/a", b""),
            lambda store: store.create("file/a", b""),
            lambda store: store.write("folder", b""),
            lambda store: store.remove("folder"),
        ],
        ids=["write below a file", "create below a file", "write over a folder", "remove a folder"],
    )
    def test_what_cannot_be_written_names_the_place_and_a_remedy(self, tmp_path, store, write):
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        with pytest.raises(StorageError) as failed:
            write(store)
        assert re.match(f"cannot (write|remove) {tmp_path}/f", failed.value.problem)
        assert failed.value.remedy
        assert everything_in(tmp_path) == ["file"]


class TestNames:
    def test_all_files_below_a_folder_are_named_from_the_root_sorted(self, store):
        for name in ("t/b/2", "t/a", "t/_log/0.json", "other"):
            store.write(name, b"")
        assert list(store.names("t")) == ["t/_log/0.json", "t/a", "t/b/2"]

    def test_a_folder_that_is_missing_has_none(self, store):
        assert list(store.names("nowhere")) == []

    def test_what_is_missing_has_no_size_cannot_be_read_and_may_be_removed(self, store):
        store.write("file", b"")
        for name in ("missing", "no/where", "file/below"):
            assert store.size(name) is None
        with pytest.raises(FileNotFoundError):
            store.read("missing")
        with pytest.raises(FileNotFoundError):
            store.open("missing")
        store.remove("missing")

    def test_a_removed_file_is_gone(self, store):
        store.write("a", b"")
        store.remove("a")
        assert store.size("a") is None


class TestContains:
    @pytest.mark.parametrize(
        ("other", "contained"),
        [
            ("images", True),
            ("images/out", True),
            ("images/not/there/yet", True),
            ("images-out", False),
            ("", False),
            ("link-to-images/out", True),
            ("images/link-out", False),
        ],
    )
    def test_links_are_resolved_first(self, tmp_path, other, contained):
        (tmp_path / "images").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "link-to-images").symlink_to("images")
        (tmp_path / "images" / "link-out").symlink_to(tmp_path / "elsewhere")
        source = LocalStore(str(tmp_path / "images"))
        assert source.contains(LocalStore(str(tmp_path / other))) is contained

    def test_the_root_folder_holds_everything(self, tmp_path):
        assert LocalStore("/").contains(LocalStore(str(tmp_path)))

    def test_a_folder_holds_no_bucket(self):
        assert not LocalStore("/").contains(S3Store("bucket", ""))


def test_a_store_travels_to_other_processes(store):
    store.write("a", b"content")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"content"


NO_LINKS = """
#include <errno.h>
int link(const char *from, const char *to) { errno = CODE; return -1; }
int linkat(int a, const char *from, int b, const char *to, int flags) { errno = CODE; return -1; }
"""

TWO_COMMITS = """
import sys
from featuremill.dataset.lock import hold
from featuremill.storage import open_store
from made_results import MadeResult, numbered, paths_in

store = open_store(sys.argv[1])
with hold(store, "mine"):
    made = MadeResult(store, "/photos")
    made.commit(0, numbered("/photos", 10))
    made.commit(1, numbered("/photos", 10, 10))
    made.reduce()
print(len(paths_in(made.features)), len(paths_in(made.reduced)))
"""


class TestAFileSystemWithoutHardLinks:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get
    )
    def test_takes_the_lock_and_every_commit(self, tmp_path, number):
        """exFAT, mounted buckets and SMB; refused in the system's own functions, as Delta asks."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler to take links away with")
        library = tmp_path / "no_links.so"
        source = tmp_path / "no_links.c"
        source.write_text(NO_LINKS.replace("CODE", str(number)))
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        environment = {"LD_PRELOAD": str(library), "PYTHONPATH": str(Path(__file__).parent)}
        command = [sys.executable, "-c", TWO_COMMITS, str(tmp_path / "out")]
        said = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stdout) == (0, "20 20\n"), said.stderr
        assert not list((tmp_path / "out").glob("run.lock*"))

    def test_never_keeps_a_name_half_written(self, store, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "link", Mock(side_effect=OSError(errno.EOPNOTSUPP, "no links")))
        assert store.create("run.lock", b"1")
        assert not store.create("run.lock", b"2")
        assert store.read("run.lock") == b"1"
        assert everything_in(tmp_path) == ["run.lock"]


class TestNoRoom:
    """There are bytes free, and yet no file can be written: the message says what is missing."""

    @pytest.fixture
    def room(self):
        return SimpleNamespace(f_bavail=2 << 18, f_frsize=4096, f_files=65_536, f_favail=0)

    def failing(self, monkeypatch, store, number, room):
        monkeypatch.setattr(os, "statvfs", lambda _: room)
        monkeypatch.setattr(os, "replace", Mock(side_effect=OSError(number, os.strerror(number))))
        with pytest.raises(StorageError, match=r"cannot write .*report\.html: ") as failed:
            store.write("report.html", b"1")
        return str(failed.value)

    def test_no_inode_is_left(self, monkeypatch, store, room):
        said = self.failing(monkeypatch, store, errno.ENOSPC, room)
        assert "no inode left for another file (0 of 65,536 are free; 2.0 GiB are)" in said
        assert "many small ones first" in said

    def test_no_byte_is_left_and_inodes_are_not_counted(self, monkeypatch, store, room):
        """As Btrfs does not."""
        room.f_files, room.f_bavail = 0, 0
        said = self.failing(monkeypatch, store, errno.ENOSPC, room)
        assert "No space left on device (0 MiB are free)" in said

    def test_a_quota_is_used_up(self, monkeypatch, store, room):
        said = self.failing(monkeypatch, store, errno.EDQUOT, room)
        assert "the quota of this user or folder is used up" in said
        assert "quota -s" in said

    def test_no_inode_is_left_for_a_commit_of_delta(self, monkeypatch, room, tmp_path):
        monkeypatch.setattr(os, "statvfs", lambda _: room)
        said = no_room(DeltaError("Generic error: No space left (os error 28)"), tmp_path / "new")
        assert said is not None
        assert "no inode left" in said[0]
        assert no_room(DeltaError("version 4 already exists"), tmp_path) is None
