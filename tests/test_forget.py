"""Images are erased from everything at a destination, and no later run brings them back."""

import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import boto3
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from PIL import ExifTags, Image

import featuremill
from featuremill._utils import paths as names
from featuremill.cli import main
from featuremill.dataset.exclusions import (
    FORGOTTEN,
    UNFINISHED,
    Forgotten,
    read_forgotten,
    require_finished,
)
from featuremill.dataset.lock import LOCK, Holder, Lease, hold
from featuremill.dataset.model_files import still_fits
from featuremill.dataset.tables import (
    Table,
    drop_paths,
    features_table,
    reduced_table,
    without_rows,
)
from featuremill.errors import ConfigError, DestinationBusyError, DestinationError, StorageError
from featuremill.export import explore
from featuremill.storage import Store, open_store
from featuremill.storage.local import LocalStore
from featuremill.workflows.check import CheckConfig, check
from featuremill.workflows.forget import pipeline as job
from featuremill.workflows.forget.targets import Unfinished
from featuremill.workflows.run.pipeline import run
from made_results import MadeResult, numbered, paths_in
from outputs import everything_in, features, offline
from remains import files_of, remains, versions_of
from stand_in import REGION, s3_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JANE, JOHN = "jane-doe-4711", "john-roe-0815"
"""In names that stand nowhere else."""


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Where the images were; they are not needed."""
    return str(tmp_path / "photos")


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server(page=10) as url:
        yield url


def failed(destination: Path) -> list[str]:
    """Names of the checks that fail."""
    return [each.name for each in check(CheckConfig(str(destination))).failed]


def jane(source: str) -> str:
    return f"{source}/people/{JANE}.jpg"


def john(source: str) -> str:
    return f"{source}/people/{JOHN}.jpg"


def small(destination: Path | str, source: str, endpoint_url: str | None = None) -> MadeResult:
    """A result of 12 images with Jane, embedded twice, and John, rejected; no report."""
    made = MadeResult(open_store(destination, endpoint_url=endpoint_url), source, endpoint_url)
    made.commit(0, [*numbered(source, 9), jane(source)])
    made.reduce()
    made.commit(1, [*numbered(source, 2), jane(source)], replaced=True)
    made.reject(2, [john(source), f"{source}/people/other.jpg"])
    made.leave_behind("status=ok/dead-run-00000", [jane(source)])
    made.reduce()
    return made


class TestOfTenThousandImages:
    @pytest.fixture
    def made(self, destination: Path, source: str) -> MadeResult:
        made = MadeResult(open_store(destination), source)
        paths = numbered(source, 9_998)
        for chunk in range(10):
            some = paths[chunk * 1000 : (chunk + 1) * 1000]
            made.commit(chunk, [*some, jane(source)] if chunk == 3 else some)
        made.reduce()
        made.commit(10, [*paths[:200], jane(source)], replaced=True)
        made.reject(11, [john(source)])
        made.leave_behind("status=ok/dead-run-00000", [jane(source)])
        # as a worker that is killed while it writes
        made.leave_behind(".dead-run-00001.parquet.tmp", [jane(source)])
        made.record.warnings.append(f"cannot read {jane(source)}: slow")
        made.report(made.reduce())
        return made

    @pytest.mark.slow
    def test_a_forgotten_path_stands_in_no_byte_of_any_file(
        self, made: MadeResult, destination: Path, source: str
    ) -> None:
        made.record.save(made.store)
        before = remains(files_of(destination), JANE, JOHN)
        assert {found.split("/")[0].split(":")[0] for found in before} == {
            "features",
            "reduced",
            "csv",
            "rejects.csv",
            "report.html",
            "runs",
        }
        erased = featuremill.forget(destination, [jane(source), john(source)])
        assert erased.rows == {"embedded": 1, "rejected": 1, "reduced": 1}
        assert erased.not_found == ()
        assert remains(files_of(destination), JANE, JOHN) == []

        left = sorted(numbered(source, 9_998))
        assert paths_in(made.features) == paths_in(made.reduced) == left
        with (destination / "csv/reduced.csv").open() as lines:
            assert sum(1 for _ in lines) == 1 + 9_998
        # one version is left, and any reader of Delta can read it
        assert len(features(destination)) == 9_998
        assert len(list((destination / "features/_delta_log").glob("*.json"))) == 1


class TestOfAVersionedBucket:
    @pytest.fixture
    def client(self, endpoint: str) -> Any:
        client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
        client.create_bucket(
            Bucket="album", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        client.put_bucket_versioning(Bucket="album", VersioningConfiguration={"Status": "Enabled"})
        return client

    @pytest.mark.slow
    def test_no_version_of_any_object_holds_a_forgotten_path(
        self, client: Any, endpoint: str
    ) -> None:
        source = "s3://album/photos"
        client.put_object(Bucket="album", Key=f"photos/people/{JANE}.jpg", Body=b"the image")
        for _ in range(2):
            client.put_object(Bucket="album", Key="results/mine.txt", Body=b"of somebody else")
        made = small("s3://album/results", source, endpoint_url=endpoint)
        made.report(made.reduce())
        assert len(remains(versions_of(client, "album"), JANE, JOHN)) > 8
        erased = featuremill.forget(
            "s3://album/results", [jane(source), john(source)], endpoint_url=endpoint
        )
        assert erased.versions is not None
        assert erased.versions > 8
        left = versions_of(client, "album")
        # the image itself is not a result
        assert {found.split(".jpg")[0] for found in remains(left, JANE, JOHN)} == {
            f"photos/people/{JANE}"
        }
        tables = [name for name in left if name.startswith(("results/features", "results/reduced"))]
        assert not [name for name in tables if name.endswith(" (deleted)")]
        assert len([name for name in left if name.startswith("results/mine.txt")]) == 2
        assert paths_in(made.features) == sorted(
            [*numbered(source, 9), f"{source}/people/other.jpg"]
        )

    def test_versions_that_may_not_be_listed_are_a_reason_to_begin_nothing(
        self, destination: Path, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(_: LocalStore) -> bool:
            raise StorageError("AccessDenied: not authorized to perform s3:ListBucketVersions")

        small(destination, source)
        monkeypatch.setattr(LocalStore, "keeps_versions", denied)
        before = everything_in(destination)
        with pytest.raises(DestinationError, match="s3:ListBucketVersions") as refused:
            featuremill.forget(destination, [jane(source)])
        assert "s3:DeleteObjectVersion" in refused.value.remedy
        assert everything_in(destination) == before


class TestACheckAfterwards:
    """Forgetting leaves a result as sound as it was: no run has to come between."""

    @pytest.fixture
    def made(self, destination: Path, source: str) -> MadeResult:
        made = MadeResult(open_store(destination), source)
        made.commit(0, [*numbered(source, 9), jane(source)])
        made.reject(1, [john(source), f"{source}/people/other.jpg"])
        made.report(made.reduce())
        ledger = made.record.ledger
        ledger.listed, ledger.embedded, ledger.rejected = 12, 10, 2
        made.record.save(made.store)
        assert failed(destination) == []
        return made

    def test_finds_the_result_sound_after_each_of_several(
        self, made: MadeResult, destination: Path, source: str
    ) -> None:
        for paths in ([jane(source)], [john(source), *numbered(source, 2)], numbered(source, 4)):
            featuremill.forget(destination, paths)
            assert failed(destination) == []
        # the fitted PCA holds sums over them, and is no longer what a run would leave
        assert still_fits(made.store, {}) is None

    def test_finds_it_sound_after_one_that_was_interrupted(
        self, made: MadeResult, destination: Path, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(job, "expunge", Mock(side_effect=StorageError("gone away")))
            with pytest.raises(StorageError, match="gone away"):
                featuremill.forget(destination, [jane(source)])
        featuremill.forget(destination, [john(source)])
        assert failed(destination) == []

    def test_still_finds_what_was_wrong_before(
        self, made: MadeResult, destination: Path, source: str
    ) -> None:
        made.commit(2, numbered(source, 1, 20))
        before = failed(destination)
        assert {"features.count", "pca.versions", "reduced.rows"} <= set(before)
        featuremill.forget(destination, [jane(source)])
        assert failed(destination) == before


class TestTheNextRun:
    def test_embeds_no_forgotten_image_and_counts_it_as_skipped(
        self, pictures: Path, tmp_path: Path, spark: "SparkSession"
    ) -> None:
        source, destination = tmp_path / "pictures", tmp_path / "results"
        copytree(pictures, source)
        label = min(source.iterdir())
        picture = min(label.iterdir()).rename(label / f"{JANE}.jpg")
        broken = label / f"{JOHN}.jpg"
        broken.write_bytes(b"\xff\xd8\xff not a picture")
        private = secretive(label / "holiday.jpg")
        first = run(offline(source, destination, n_components=5), spark=spark)
        assert (first.record.ledger.embedded, first.record.ledger.rejected) == (61, 1)
        # what a camera writes beside the pixels is read by nobody
        assert remains(files_of(destination), *private) == []
        assert remains(files_of(destination), JANE, JOHN) != []

        featuremill.forget(destination, [str(picture), str(broken)])
        assert remains(files_of(destination), JANE, JOHN) == []
        assert picture.exists()

        (label / "new.jpg").write_bytes((label / "holiday.jpg").read_bytes())
        leave_a_dead_lock(open_store(destination), new=True)
        second = run(offline(source, destination, n_components=5), spark=spark)
        # whoever takes over first makes the table refuse what the dead run may have under way
        fence = f"{second.record.run}-fence"
        assert DeltaTable(destination / "features").transaction_version(fence) == 0
        ledger = second.record.ledger
        ledger.check()
        assert second.record.skipped == {"forgotten": 2}
        assert (ledger.already_done, ledger.embedded, ledger.skipped) == (60, 1, 2)
        assert second.pca is not None
        assert second.pca.n_samples_ == 61
        assert remains(files_of(destination), JANE, JOHN, *private) == []
        checked = check(CheckConfig(str(destination), source=str(source)))
        assert [one.name for one in checked.failed] == []


def secretive(path: Path) -> list[str]:
    """Write a JPEG that tells where it was taken and by whom; returns what it tells."""
    secrets = ["Anna Tagesgeheimnis", "Kamera-SN-99417", "kommentar-im-bild", "48.20849"]
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = secrets[0]
    exif[ExifTags.Base.BodySerialNumber] = secrets[1]
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N"
    gps[ExifTags.GPS.GPSLatitude] = (48.0, 12.0, 30.56)
    gps[ExifTags.GPS.GPSAreaInformation] = secrets[3].encode()
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif, comment=secrets[2].encode())
    path.write_bytes(data.getvalue())
    assert remains({"": path.read_bytes()}, *secrets) == [f": {one}" for one in secrets]
    return [*secrets, "GPSLatitude", "Exif\0\0"]


class Killed(BaseException):
    """Stands for the end of the process."""


class TestAnInterruptedForget:
    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        """Function that lets so many changes be made at the destination, and none after."""
        left = [-1]

        def counted(kind: type, name: str) -> None:
            change = getattr(kind, name)

            def step(*args: Any, **kwargs: Any) -> Any:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return change(*args, **kwargs)

            monkeypatch.setattr(kind, name, step)

        for name in ("write", "remove", "create"):
            counted(LocalStore, name)
        for name in ("commit", "vacuum", "checkpoint"):
            counted(Table, name)
        # a process that is killed leaves its lock, and its claims
        monkeypatch.setattr(Lease, "release", lambda _: None)

        def allow(count: int) -> None:
            left[0] = count

        return allow

    @pytest.mark.slow
    def test_is_finished_by_the_next_from_wherever_it_was_killed(
        self, tmp_path: Path, source: str, steps: Callable[[int], None]
    ) -> None:
        small(tmp_path / "made", source)
        everyone = sorted([*numbered(source, 9), f"{source}/people/other.jpg"])
        all_steps = 0
        for allowed in range(100):
            all_steps = allowed
            destination = tmp_path / f"results-{allowed}"
            copytree(tmp_path / "made", destination)
            store = open_store(destination)
            steps(allowed)
            try:
                featuremill.forget(destination, [jane(source), john(source)])
            except Killed:
                steps(-1)
            else:
                break
            leave_a_dead_lock(store)
            # both tables can be read at every moment
            assert len(paths_in(features_table(store))) in (10, 11, 12)
            assert len(paths_in(reduced_table(store))) in (9, 10)
            if store.size(UNFINISHED) is not None:
                checked = check(CheckConfig(str(destination)))
                assert "lock" in [one.name for one in checked.failed]
                with pytest.raises(DestinationError, match="interrupted"):
                    require_finished(store)
                featuremill.forget(destination)
            else:
                featuremill.forget(destination, [jane(source), john(source)])
            require_finished(store)
            assert remains(files_of(destination), JANE, JOHN) == []
            assert paths_in(features_table(store)) == everyone
            assert paths_in(reduced_table(store)) == sorted(numbered(source, 9))
            assert jane(source) in read_forgotten(store)
        assert all_steps > 25

    def test_holds_runs_off_until_it_is_finished(
        self, destination: Path, source: str, pictures: Path
    ) -> None:
        small(destination, source)
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED_AT_THE_VACUUM, destination, jane(source)],
            capture_output=True,
            text=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert (destination / LOCK).exists()
        assert remains(files_of(destination), JANE) != []
        store = open_store(destination)
        network = json.loads(store.read("model/network.json"))
        with pytest.raises(DestinationError, match="interrupted") as refused:
            run(offline(pictures, destination, replace_model=True))
        assert refused.value.exit_code == 2
        assert f"featuremill forget {destination}" in refused.value.remedy
        assert json.loads(store.read("model/network.json")) == network
        done = CliRunner().invoke(main, ["forget", str(destination), "--yes"])
        assert done.exit_code == 0, done.output
        assert remains(files_of(destination), JANE) == []
        require_finished(store)

    @pytest.mark.parametrize(
        "command",
        [
            ["export", "DEST", "--to", "numpy", "-o", "OUT"],
            ["explore", "DEST"],
            ["transform", "SRC", "DEST", "-o", "OUT"],
            ["similar", "DEST", f"{JANE}.jpg"],
            ["duplicates", "DEST"],
            ["outliers", "DEST"],
            ["slides", "DEST", "-o", "OUT.pptx"],
            ["report", "DEST"],
        ],
        ids=lambda command: command[0],
    )
    def test_nothing_hands_its_images_on_until_then(
        self,
        command: list[str],
        destination: Path,
        source: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(explore, "find_program", lambda: "atlas")
        small(destination, source)
        note = Unfinished((jane(source),))
        open_store(destination).write(UNFINISHED, note.to_bytes())
        before = everything_in(tmp_path)
        places = {"DEST": destination, "SRC": source, "OUT": tmp_path / "out"}
        places["OUT.pptx"] = tmp_path / "out.pptx"
        refused = CliRunner().invoke(main, [str(places.get(word, word)) for word in command])
        assert refused.exit_code == 2
        assert f"Run `featuremill forget {destination}`" in refused.stderr
        assert everything_in(tmp_path) == before


_KILLED_AT_THE_VACUUM = """
import os, signal, sys
from featuremill import forget
from featuremill.dataset.tables import Table

Table.vacuum = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
forget(sys.argv[1], sys.argv[2:])
"""


def leave_a_dead_lock(store: Store, *, new: bool = False) -> None:
    """Make the lock, and claims to it, those of a process that has ended."""
    dead = replace(Holder.this_process("dead-run"), pid=2**22 + 1).to_bytes()
    locks = [name for name in store.names("") if name.startswith(LOCK)]
    for name in [LOCK] if new else locks:
        store.write(name, dead)


class TestWhatIsRefused:
    def test_a_destination_that_a_run_holds(self, destination: Path, source: str) -> None:
        small(destination, source)
        with hold(open_store(destination), "a-run"):
            before = files_of(destination)
            with pytest.raises(DestinationBusyError, match="held by run a-run"):
                featuremill.forget(destination, [jane(source)])
            assert files_of(destination) == before

    def test_a_folder_without_results(self, tmp_path: Path) -> None:
        with pytest.raises(DestinationError, match="holds no features"):
            featuremill.forget(tmp_path, ["/a.jpg"])
        assert list(tmp_path.iterdir()) == []

    def test_no_image_at_all(self, destination: Path, source: str) -> None:
        small(destination, source)
        with pytest.raises(ConfigError, match="no image was named"):
            featuremill.forget(destination)

    @pytest.mark.parametrize("damaged", [b"", b"{}", b'{"salt": "xx", "hashes": []}', b"[]"])
    def test_a_list_of_forgotten_images_that_cannot_be_understood(
        self, destination: Path, damaged: bytes
    ) -> None:
        store = open_store(destination)
        store.write(FORGOTTEN, damaged)
        with pytest.raises(DestinationError, match="cannot be understood"):
            read_forgotten(store)


class TestTheHashes:
    def test_tell_a_forgotten_path_and_no_other(self) -> None:
        forgotten = Forgotten().adding(["/a/1.jpg", "/a/é.jpg"])
        assert "/a/1.jpg" in forgotten
        assert "/a/é.jpg" in forgotten
        assert "/a/2.jpg" not in forgotten
        assert "/a/1.jpg" not in Forgotten()

    def test_of_two_destinations_have_nothing_in_common(self) -> None:
        one, other = (Forgotten().adding(["/a/1.jpg"]) for _ in range(2))
        assert not one.hashes & other.hashes

    def test_grow_and_stay_when_more_is_forgotten(self, destination: Path, source: str) -> None:
        small(destination, source)
        featuremill.forget(destination, [jane(source)])
        featuremill.forget(destination, [john(source)])
        forgotten = read_forgotten(open_store(destination))
        assert len(forgotten) == 2
        assert jane(source) in forgotten
        assert john(source) in forgotten


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def made(self, destination: Path, source: str) -> MadeResult:
        return small(destination, source)

    def test_a_dry_run_says_what_would_go_and_touches_nothing(
        self, destination: Path, source: str
    ) -> None:
        before = everything_in(destination)
        done = CliRunner().invoke(
            main, ["forget", str(destination), jane(source), john(source), "--dry-run"]
        )
        assert done.exit_code == 0, done.output
        assert "would remove 1 embedded and 1 rejected rows" in done.stdout
        assert "would rewrite csv/reduced.csv, rejects.csv" in done.stdout
        assert "would remove all older versions of the tables, for all images" in done.stdout
        assert everything_in(destination) == before

    def test_asks_before_it_removes_anything(self, destination: Path, source: str) -> None:
        before = everything_in(destination)
        done = CliRunner().invoke(main, ["forget", str(destination), jane(source)], input="n\n")
        assert done.exit_code == 1
        assert "cannot be undone" in done.stderr
        assert "nothing was changed" in done.stdout
        assert everything_in(destination) == before
        done = CliRunner().invoke(main, ["forget", str(destination), jane(source)], input="Yes\n")
        assert done.exit_code == 0, done.output
        assert remains(files_of(destination), JANE) == []

    def test_where_nobody_can_answer_it_says_how_to_do_without(
        self, destination: Path, source: str
    ) -> None:
        before = everything_in(destination)
        done = CliRunner().invoke(main, ["forget", str(destination), jane(source)], input="")
        assert done.exit_code == 2
        assert "Give --yes" in done.stderr
        assert everything_in(destination) == before

    def test_interrupted_at_the_question_it_has_changed_nothing(
        self, destination: Path, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted() -> bool:
            raise KeyboardInterrupt

        before = everything_in(destination)
        monkeypatch.setattr(
            importlib.import_module("featuremill.cli.forget"), "_agreed", interrupted
        )
        done = CliRunner().invoke(main, ["forget", str(destination), jane(source)])
        assert done.exit_code == 130
        assert "Nothing was changed" in done.stderr
        assert everything_in(destination) == before

    def test_takes_a_list_and_says_what_it_removed(
        self, destination: Path, source: str, tmp_path: Path
    ) -> None:
        paths = tmp_path / "paths.txt"
        text = f"\ufeff{jane(source)}\r\n\n \t\u3000\r\n{john(source)}"
        paths.write_bytes(text.encode())
        command = ["forget", str(destination), "--list", str(paths), "--yes"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert "removed 1 embedded and 1 rejected rows" in done.stdout
        assert re.search(r"removed [1-9]\d* older files of the tables", done.stdout)
        assert "rewrote csv/reduced.csv, rejects.csv" in done.stdout
        again = CliRunner().invoke(main, command)
        assert again.exit_code == 0, again.output
        assert "nothing was changed" in again.stdout

    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            ("a.jpg\n".encode("utf-16"), "is UTF-16"),
            ("a.jpg\n".encode("utf-16-le"), "line 1: .* null byte"),
            (b"a.jpg\n\ns3:///b.jpg\n", "line 3: 's3:///b.jpg' names no bucket"),
            (b"a.jpg\r\nb\xff.jpg\r\n", "line 2: .* is not UTF-8"),
        ],
    )
    def test_a_list_that_is_not_text_or_no_path_is_refused_with_the_line(
        self, data: bytes, problem: str, destination: Path, tmp_path: Path
    ) -> None:
        paths = tmp_path / "paths.txt"
        paths.write_bytes(data)
        command = ["forget", str(destination), "--list", str(paths), "--yes"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2
        assert re.search(f"paths.txt(,|) {problem}", done.stderr), done.stderr

    @pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
    def test_a_list_may_have_the_bytes_of_a_name_that_is_no_text(
        self, destination: Path, source: str, made: MadeResult, tmp_path: Path
    ) -> None:
        file = f"{source}/people/{JANE}-\udcff.jpg"
        made.commit(3, [names.encode(os.fsencode(file))])
        paths = tmp_path / "paths.txt"
        paths.write_bytes(os.fsencode(file))
        command = ["forget", str(destination), "--list", str(paths), "--yes"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert "removed 1 embedded" in done.stdout

    def test_an_image_that_no_table_has_is_named_and_the_others_go(
        self, destination: Path, source: str
    ) -> None:
        typo = f"{source}/people/jane-do.jpg\u00a0"
        done = CliRunner().invoke(main, ["forget", str(destination), jane(source), typo, "--yes"])
        assert done.exit_code == 1
        # what cannot be seen is shown
        assert f"not found   '{source}/people/jane-do.jpg\\xa0'" in done.stdout
        assert remains(files_of(destination), JANE) == []
        # nothing is kept of what was never there
        assert len(read_forgotten(open_store(destination))) == 1

    @pytest.mark.parametrize("yes", [["--yes"], []])
    def test_where_none_of_the_images_is_there_nothing_changes_and_nobody_is_asked(
        self, destination: Path, source: str, yes: list[str]
    ) -> None:
        before = everything_in(destination)
        typo = f"{source}/people/jane-do.jpg"
        done = CliRunner().invoke(main, ["forget", str(destination), typo, *yes])
        assert done.exit_code == 1
        assert f"not found   {typo!r}" in done.stdout
        assert "nothing was changed" in done.stdout
        assert "cannot be undone" not in done.stderr
        assert not featuremill.forget(destination, [typo]).anything
        assert everything_in(destination) == before

    def test_an_image_that_only_older_versions_have_is_erased_from_them(
        self, destination: Path, source: str, made: MadeResult
    ) -> None:
        drop = drop_paths([jane(source)])
        for number, table in enumerate((made.features, made.reduced)):
            rows = partial(without_rows, table, f"pruned-{number}", drop)
            table.commit("pruned", number, [], removed=rows)
        assert jane(source) not in paths_in(made.features)
        assert remains(files_of(destination), JANE) != []
        done = CliRunner().invoke(main, ["forget", str(destination), jane(source), "--yes"])
        assert done.exit_code == 0, done.output
        assert remains(files_of(destination), JANE) == []

    def test_the_end_of_one_path_stands_for_the_path(self, destination: Path, source: str) -> None:
        end = f"people/{JANE}.jpg"
        done = CliRunner().invoke(main, ["forget", str(destination), end, "--dry-run"])
        assert done.exit_code == 0, done.output
        assert f"image       {jane(source)!r}\nfeatures    would remove 1 embedded" in done.stdout

    def test_the_end_of_several_paths_stands_for_none(
        self, made: MadeResult, destination: Path, source: str
    ) -> None:
        made.commit(7, [f"{source}/others/{JANE}.jpg"])
        done = CliRunner().invoke(main, ["forget", str(destination), f"{JANE}.jpg", "--dry-run"])
        assert done.exit_code == 1
        assert f"not found   '{JANE}.jpg'\n            there is " in done.stdout

    def test_a_dry_run_says_that_it_would_finish_an_earlier_forget(
        self, destination: Path, source: str
    ) -> None:
        note = Unfinished((jane(source),))
        open_store(destination).write(UNFINISHED, note.to_bytes())
        done = CliRunner().invoke(main, ["forget", str(destination), "--dry-run"])
        assert done.exit_code == 0, done.output
        assert "unfinished  an earlier forget was interrupted" in done.stdout
        assert "would remove 1 embedded" in done.stdout

    def test_a_file_may_be_named_from_the_working_directory(
        self, destination: Path, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path(source, "people").mkdir(parents=True)
        monkeypatch.chdir(Path(source, "people"))
        done = CliRunner().invoke(main, ["forget", str(destination), f"{JANE}.jpg", "--yes"])
        assert done.exit_code == 0, done.output
        assert remains(files_of(destination), JANE) == []

    def test_a_name_of_odd_bytes_is_found_as_the_table_has_it_and_as_the_file(
        self, destination: Path, source: str, made: MadeResult
    ) -> None:
        files = [f"{source}/people/100% {JANE}.jpg", f"{source}/people/tab\t{JANE}.jpg"]
        texts = [names.encode(file.encode()) for file in files]
        made.commit(3, texts)
        done = CliRunner().invoke(main, ["forget", str(destination), files[0], texts[1], "--yes"])
        assert done.exit_code == 0, done.output
        assert not set(texts) & set(paths_in(made.features))

    def test_a_list_from_standard_input_leaves_nobody_to_be_asked(self, destination: Path) -> None:
        done = CliRunner().invoke(main, ["forget", str(destination), "--list", "-"], input="/a\n")
        assert done.exit_code == 2
        assert "--yes" in done.stderr


def test_an_output_that_cannot_be_written_anew_is_removed(
    destination: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(destination, source)

    def fail(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(job.csv_files, "write_matrix", fail)
    featuremill.forget(destination, [jane(source)])
    assert not (destination / "csv/reduced.csv").exists()
    assert remains(files_of(destination), JANE) == []


def test_all_images_of_a_result_can_be_forgotten(destination: Path, source: str) -> None:
    made = small(destination, source)
    featuremill.forget(destination, paths_in(made.features))
    assert paths_in(made.features) == paths_in(made.reduced) == []
    assert (destination / "csv/reduced.csv").read_text() == '"path","label","pc_1","pc_2","pc_3"\n'


class TestPathsInTheReport:
    @pytest.fixture
    def made(self, destination: Path, source: str) -> MadeResult:
        made = small(destination, source)
        made.commit(3, ["/elsewhere/of/another/source/1.jpg"])
        made.record.warnings.append(f"no image of class Kiwi in {source}")
        made.report(made.reduce())
        return made

    def page(self, destination: Path) -> dict[str, bytes]:
        return {"report.html": (destination / "report.html").read_bytes()}

    def test_can_be_made_relative_to_the_source(
        self, made: MadeResult, destination: Path, source: str
    ) -> None:
        assert remains(self.page(destination), source)
        done = CliRunner().invoke(main, ["report", str(destination), "--relative-paths"])
        assert done.exit_code == 0, done.output
        page = self.page(destination)
        assert remains(page, source, str(destination), "/elsewhere/of") == []
        assert len(remains(page, f"people/{JANE}.jpg", f"people/{JOHN}.jpg", "source/1.jpg")) == 3

    def test_stay_as_the_run_was_asked_when_the_report_is_written_anew(
        self, made: MadeResult, destination: Path, source: str
    ) -> None:
        made.record.config = {**made.record.config, "relative_paths": True}
        made.record.save(made.store)
        featuremill.forget(destination, [jane(source)])
        assert remains(self.page(destination), source, JANE) == []
        assert remains(self.page(destination), f"people/{JOHN}.jpg")
