"""Where results may go, and names of folders that are no plain text."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from featuremill._utils import paths
from featuremill.cli import main
from featuremill.dataset.ledger import load_latest
from featuremill.dataset.model_files import still_fits
from featuremill.errors import DestinationError
from featuremill.pca.incremental import load_kept
from featuremill.report.gather import REPORT, rewrite_report
from featuremill.storage.destination import require_folder, require_readable
from featuremill.storage.local import LocalStore
from featuremill.workflows.doctor import diagnose
from made_results import NETWORK_OF_ALL, MadeResult, numbered

NOT_UTF_8 = os.fsdecode(b"b\xff%41 src")
NUMPY = ("--to", "numpy", "-o", "{dest}-exported")
MISREAD = ["a\nb", "a\x7f", "\x01", "a%25", "a\\b", "\udcff"]
CHARACTERS = [chr(code) for code in (*range(1, 0xA1), 0x2028, 0x2029, 0xE9, 0x1F600)]


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def refused(*arguments: str | Path) -> str:
    """What the command said on its refusal."""
    answer = command(*arguments)
    assert answer.exit_code == 2, answer.output
    return answer.stderr


def made(folder: Path, source: str | Path = "/pictures") -> MadeResult:
    """A result of twelve images that are not there."""
    result = MadeResult(LocalStore(str(folder)), str(source))
    result.commit(0, numbered(paths.of_place(str(source)), 12))
    result.report(result.reduce())
    return result


def works(folder: str) -> bool:
    """Whether the Delta library makes a table in a folder and finds it again."""
    try:
        DeltaTable.create(folder, pa.schema([("a", pa.int64())]))
        DeltaTable(folder)
    except (DeltaError, UnicodeEncodeError):
        return False
    return True


def test_what_the_delta_library_misreads_is_refused_and_nothing_else(tmp_path: Path) -> None:
    for name in [*MISREAD, *(f"a{each}b" for each in CHARACTERS if each != "/"), "a%", "a%zz"]:
        folder = f"{tmp_path}/{name}"
        if works(folder):
            require_readable(LocalStore(folder))
        else:
            with pytest.raises(DestinationError, match="misreads"):
                require_readable(LocalStore(folder))


@pytest.mark.parametrize("name", MISREAD)
def test_a_run_does_not_begin_where_the_delta_library_would_fail(
    pictures: Path, tmp_path: Path, name: str
) -> None:
    said = refused("run", pictures, tmp_path / name, "--model", "embedded")
    assert "misreads" in said
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_was_moved_to_such_a_place_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "results")
    moved = (tmp_path / "results").rename(tmp_path / "re\udcff")
    for verb in ("check", "duplicates", "outliers"):
        assert "re%FF" in refused(verb, moved)


@pytest.fixture(params=["file", "file/below", "link"])
def no_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    return tmp_path / request.param


def test_what_can_be_no_folder_is_refused(no_folder: Path, pictures: Path, tmp_path: Path) -> None:
    made(tmp_path / "results")
    before = sorted(tmp_path.rglob("*"))
    for arguments in (
        ("run", pictures, no_folder, "--model", "embedded"),
        ("transform", pictures, no_folder, "-o", tmp_path / "out"),
        ("transform", pictures, tmp_path / "results", "-o", no_folder),
    ):
        said = refused(*arguments)
        assert "is a file" in said or "is a link to nothing" in said
        assert "Name a folder." in said
    [finding] = (each for each in diagnose(None, str(no_folder)) if each.what == "destination")
    assert finding.level == "fail"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_there_yet_or_is_reached_by_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("folder", "link", "link/new", "new/newer"):
        require_folder(LocalStore(str(tmp_path / name)))


def test_doctor_fails_a_pair_that_a_run_would_refuse(pictures: Path) -> None:
    answer = command("doctor", pictures, pictures, "--model", "embedded")
    assert answer.exit_code == 1
    assert "lies inside source" in answer.output


def test_the_results_of_a_transform_do_not_go_around_what_it_reads(
    pictures: Path, tmp_path: Path
) -> None:
    made(tmp_path / "all" / "results")
    (tmp_path / "more" / "images").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    results = tmp_path / "all" / "results"
    said = refused("transform", pictures, results, "-o", tmp_path / "all")
    assert f"contains {results}" in said
    said = refused("transform", tmp_path / "more" / "images", results, "-o", tmp_path / "more")
    assert f"contains {tmp_path / 'more' / 'images'}" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_source_that_is_not_utf_8_is_written_as_its_images_are(tmp_path: Path) -> None:
    store = made(tmp_path / "out", tmp_path / NOT_UTF_8).store
    record = load_latest(store)
    assert record is not None
    assert record.config["source"] == f"{tmp_path}/b%FF%2541 src"
    rewrite_report(store)
    assert "b%FF%2541 src" in store.read(REPORT).decode()
    rewrite_report(store, relative_paths=True)
    assert str(tmp_path) not in store.read(REPORT).decode()


def test_the_record_of_a_warning_about_such_a_folder_is_utf_8(tmp_path: Path) -> None:
    record = made(tmp_path / "out").record
    record.warnings.append("no image of class Durian in /b\udcff")
    record.save(LocalStore(str(tmp_path / "again")))
    again = load_latest(LocalStore(str(tmp_path / "again")))
    assert again is not None
    assert again.warnings == ["no image of class Durian in /b%FF"]


def test_an_image_is_found_by_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    made(tmp_path / "out", tmp_path / NOT_UTF_8)
    for image in (tmp_path / NOT_UTF_8 / "class 3/000003.jpg", f"{NOT_UTF_8}/class 3/000003.jpg"):
        answer = command("similar", tmp_path / "out", image)
        assert answer.exit_code == 0, answer.output
    assert "'z%FF' is neither" in refused("similar", tmp_path / "out", "z\udcff")


DAMAGED = {
    "model/network.json": ("{}", '{"name": 1}', "[]", "no JSON"),
    "model/pca.json": ("{}", '{"network": {}}', "[]", "no JSON"),
    "runs/zz.json": ('{"x": 1}', "[]", "no JSON"),
}
READERS = {
    "model/network.json": (["similar", "{dest}", "x.jpg"], ["export", "{dest}", *NUMPY]),
    "model/pca.json": (["report", "{dest}"], ["export", "{dest}", *NUMPY]),
    "runs/zz.json": (["report", "{dest}"], ["export", "{dest}", *NUMPY]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_or_foreign_file_is_named_with_what_to_do(
    name: str, pictures: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "results"
    made(dest)
    commands = [[word.format(dest=dest) for word in words] for words in READERS[name]]
    if name == "model/network.json":
        commands.append(["transform", str(pictures), str(dest), "-o", str(tmp_path / "out")])
        commands.append(["run", str(pictures), str(dest), "--model", "embedded"])
    for text in DAMAGED[name]:
        (dest / name).write_text(text)
        for words in commands:
            said = refused(*words)
            assert name in said
            assert "file" in said.splitlines()[-1]


def test_a_damaged_description_is_no_pca_to_keep(tmp_path: Path) -> None:
    store = made(tmp_path).store
    for text in DAMAGED["model/pca.json"]:
        store.write("model/pca.json", text.encode())
        with pytest.raises(DestinationError, match=r"pca\.json is damaged"):
            load_kept(store, NETWORK_OF_ALL, {}, "Fit one.")
        assert still_fits(store, {}) is None
