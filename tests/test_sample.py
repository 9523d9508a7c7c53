"""A sample holds what its seed says, class by class, and arrives whole or goes on later."""

import errno
import json
import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from featuremill.cli import main
from featuremill.errors import DestinationError, RunError, SourceError, StorageError
from featuremill.storage.local import LocalStore
from featuremill.storage.s3 import S3Store
from featuremill.workflows.sample import SampleConfig, choice, sample
from featuremill.workflows.sample.transfer import MARKER
from outputs import everything_in
from stand_in import REGION, s3_server

SIZES = {"Apple": 60, "Pear": 30, "Kiwi": 10}


def fill(folder: Path, sizes: dict[str, int]) -> Path:
    """Files that look like images by their names; what is in them does not matter here."""
    for label, count in sizes.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"{number}.jpg").write_bytes(f"{label} {number}".encode() * 3)
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    return fill(tmp_path / "photos", SIZES)


@pytest.fixture
def dest(tmp_path) -> Path:
    return tmp_path / "small"


def take(source: Path | str, dest: Path | str, **options: Any) -> set[str]:
    """Names of what a sample brought to a folder."""
    sample(SampleConfig(str(source), str(dest), **options))
    return names_in(Path(dest))


def would_take(source: Path, **options: Any) -> Counter[str]:
    """Images of each class that a sample would take."""
    config = SampleConfig(str(source), str(source.with_name("none")), dry_run=True, **options)
    return Counter({one.label: one.taken for one in sample(config).classes})


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def labels(names: set[str]) -> Counter[str]:
    return Counter(name.split("/")[-2] for name in names)


def featuremill(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# How many of each class


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"per_class": 10}, {"Apple": 10, "Pear": 10, "Kiwi": 10}),
        ({"per_class": 20}, {"Apple": 20, "Pear": 20, "Kiwi": 10}),
        ({"fraction": 0.1}, {"Apple": 6, "Pear": 3, "Kiwi": 1}),
        ({"fraction": 0.25}, {"Apple": 15, "Pear": 8, "Kiwi": 3}),
        ({"fraction": 0.001}, {"Apple": 1, "Pear": 1, "Kiwi": 1}),
        ({"fraction": 1.0}, SIZES),
        ({"total": 10}, {"Apple": 6, "Pear": 3, "Kiwi": 1}),
        ({"total": 3}, {"Apple": 1, "Pear": 1, "Kiwi": 1}),
        ({"total": 2}, {"Apple": 1, "Pear": 1, "Kiwi": 0}),
        ({"total": 99}, {"Apple": 59, "Pear": 30, "Kiwi": 10}),
        ({"total": 1000}, SIZES),
    ],
    ids=str,
)
def test_a_size_says_what_each_class_gives(source, size, expected):
    assert would_take(source, **size) == expected


@given(st.lists(st.integers(1, 300), min_size=1, max_size=12), st.integers(1, 500))
def test_a_total_is_met_fairly_and_grows_without_taking_back(sizes, total):
    available = {f"class {number}": size for number, size in enumerate(sizes)}
    dealt, larger = (
        choice.quotas(available, SampleConfig("s", "d", total=wanted))
        for wanted in (total, total + 1)
    )
    assert sum(dealt.values()) == min(total, sum(sizes))
    assert all(dealt[name] <= size for name, size in available.items())
    assert all(dealt[name] <= larger[name] for name in available)
    if total >= len(sizes):
        assert min(dealt.values()) >= 1


def test_a_total_is_shared_by_what_is_nearest_to_the_classes_shares():
    # 12.6, 1.26 and 0.14 of 14, and one at least
    available = {"large": 90, "small": 9, "single": 1}
    dealt = choice.quotas(available, SampleConfig("s", "d", total=14))
    assert dealt == {"large": 12, "small": 1, "single": 1}


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"per_class": 20}, "1 class holds (Kiwi) fewer than 20 images: all were taken"),
        ({"total": 101}, "there are 100 images, fewer than 101: all were taken"),
        ({"total": 1}, "2 of 3 classes gave no image"),
        (
            {"per_class": 1, "random_classes": 4},
            "there are 3 classes, fewer than 4: all were taken",
        ),
    ],
)
def test_a_warning_tells_what_could_not_be_done_as_asked(source, dest, options, warning):
    taken = sample(SampleConfig(str(source), str(dest), dry_run=True, **options))
    assert taken.warnings == (warning,)


# Which images


def test_the_seed_decides_which(source, tmp_path):
    first = take(source, tmp_path / "first", per_class=5, seed=1)
    assert labels(first) == {"Apple": 5, "Pear": 5, "Kiwi": 5}
    assert take(source, tmp_path / "again", per_class=5, seed=1) == first
    assert take(source, tmp_path / "other", per_class=5, seed=2) != first


def test_neither_the_place_of_the_source_nor_the_order_of_its_listing_matters(
    source, tmp_path, monkeypatch
):
    first = take(source, tmp_path / "first", total=20)
    moved = tmp_path / "else" / "where"
    shutil.copytree(source, moved)
    ordered = LocalStore.list
    monkeypatch.setattr(LocalStore, "list", lambda store: iter([*ordered(store)][::-1]))
    assert take(moved, tmp_path / "second", total=20) == first


def test_the_ranks_of_today_are_those_of_tomorrow():
    # by another rule all samples of all seeds would change
    assert choice.rank("Apple/0.jpg", 7, "image").hex() == "07d79e1999892f33"


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ({"per_class": 3}, {"per_class": 12}),
        ({"fraction": 0.1}, {"fraction": 0.3}),
        ({"total": 7}, {"total": 8}),
        ({"per_class": 9, "random_classes": 1}, {"per_class": 9, "random_classes": 2}),
    ],
    ids=str,
)
def test_a_larger_sample_holds_the_smaller_one(source, tmp_path, small, large):
    smaller, larger = (take(source, tmp_path / str(o), seed=3, **o) for o in (small, large))
    assert smaller < larger


def test_an_added_image_displaces_one_at_most(source, tmp_path):
    before = take(source, tmp_path / "before", per_class=8)
    for number in range(5):
        (source / "Pear" / f"new {number}.jpg").write_bytes(b"new")
    after = take(source, tmp_path / "after", per_class=8)
    assert len(before - after) <= 5
    assert all(name.startswith("Pear/new") for name in after - before)


def test_candidates_that_are_dropped_early_would_not_have_been_taken(source, tmp_path, monkeypatch):
    held = take(source, tmp_path / "held", per_class=3)
    monkeypatch.setattr(choice, "_PRUNED_FROM", 0)
    assert take(source, tmp_path / "dropped", per_class=3) == held


def test_classes_by_name(source, dest):
    assert set(labels(take(source, dest, per_class=2, classes=("Kiwi", "Pear")))) == {
        "Kiwi",
        "Pear",
    }


def test_classes_drawn_by_the_seed(source):
    drawn = {tuple(would_take(source, per_class=1, random_classes=1, seed=s)) for s in range(20)}
    assert drawn == {("Apple",), ("Pear",), ("Kiwi",)}


def test_globs(source, dest):
    taken = take(source, dest, per_class=60, include=("[AP]*",), exclude=("*7.jpg",))
    assert labels(taken) == {"Apple": 54, "Pear": 27}
    assert not any(name.endswith("7.jpg") for name in taken)


def test_what_is_no_image_is_left_out_and_counted(source, dest):
    (source / "notes.txt").write_text("")
    (source / "Apple" / "gone.jpg").symlink_to("nowhere")
    (source / "Apple" / "tab\t.jpg").write_bytes(b"")
    taken = sample(SampleConfig(str(source), str(dest), fraction=1.0))
    assert taken.left_out == {
        ".txt": 1,
        "a link to a file that does not exist": 1,
        "a name that not every storage can hold": 1,
    }
    assert taken.images == len(names_in(dest)) == 100


@pytest.fixture
def linked(source, tmp_path) -> Path:
    """A source with links out of it, to a file and to a folder, and one that stays in it."""
    secret = tmp_path / "home"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    (source / "Apple" / "cat.jpg").symlink_to(secret / "key")
    (source / "more").symlink_to(secret)
    (source / "Kiwi" / "same.jpg").symlink_to("0.jpg")
    return source


@pytest.mark.parametrize("mode", ["copy", "symlink", "hardlink"])
def test_links_out_of_the_source_are_left_out_and_counted(linked, dest, mode):
    taken = sample(SampleConfig(str(linked), str(dest), fraction=1.0, mode=mode))
    assert taken.left_out == {"a link out of the source": 2}
    assert taken.images == len(names_in(dest)) == 101
    assert not [name for name in names_in(dest) if b"secret" in (dest / name).read_bytes()]


def test_links_out_of_the_source_are_followed_where_that_is_asked_for(linked, dest):
    asked = featuremill("sample", linked, dest, "--fraction", "1", "--follow-links")
    assert asked.exit_code == 0
    assert {"Apple/cat.jpg", "more/key", "Kiwi/same.jpg"} < names_in(dest)


def test_a_link_that_took_an_images_place_since_it_was_listed_is_not_followed(
    source, dest, tmp_path, monkeypatch
):
    (tmp_path / "key").write_bytes(b"secret")
    fetch = LocalStore.fetch

    def replaced(store, path):
        if path.endswith("Kiwi/0.jpg") and not Path(path).is_symlink():
            Path(path).unlink()
            Path(path).symlink_to(tmp_path / "key")
        return fetch(store, path)

    monkeypatch.setattr(LocalStore, "fetch", replaced)
    with pytest.raises(RunError, match=r"Kiwi/0\.jpg: a link out of the source"):
        take(source, dest, fraction=1.0)
    assert "Kiwi/0.jpg" not in names_in(dest)


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ])
@pytest.mark.parametrize("mode", ["copy", "symlink"])
def test_a_name_that_the_destination_refuses_is_left_out(source, dest, monkeypatch, mode, code):
    odd = "Kiwi/a:b.jpg"
    (source / odd).write_bytes(b"odd")
    refuse_colons(monkeypatch, code)
    arguments = ["sample", source, dest, "--fraction", "1", "--mode", mode]
    asked = featuremill(*arguments)
    assert asked.exit_code == 0, asked.output
    assert "1 image was left out" in asked.output
    assert "1 a name that the destination cannot hold" in asked.output
    assert len(names_in(dest)) == 100


def test_a_destination_that_takes_no_name_at_all_is_an_error(source, dest, monkeypatch):
    refuse_colons(monkeypatch, errno.EINVAL, of="jpg")
    with pytest.raises(StorageError, match="cannot write"):
        take(source, dest, fraction=1.0)


def refuse_colons(monkeypatch, code: int, of: str = ":") -> None:
    """Have the file system refuse names, as one of Windows does."""

    def refusing(call):
        def refused(path, *arguments, **options):
            if of in Path(path).name and "small" in str(path):
                raise OSError(code, os.strerror(code), str(path))
            return call(path, *arguments, **options)

        return refused

    monkeypatch.setattr(Path, "open", refusing(Path.open))
    monkeypatch.setattr(Path, "symlink_to", refusing(Path.symlink_to))


# Copies and links

NAMES = [
    "Apple/a b.jpg",
    "Apple/A B.jpg",
    "Apple/été.jpg",
    "apple/a b.jpg",
    "Äpfel 100%/x#1.jpg",
    "キウイ/深い/夜.jpg",
    "deep/er/Pear/q?a=1&b=2.jpg",
    "deep/Pear/back\\slash.jpg",
]


@pytest.fixture
def named(tmp_path) -> Path:
    """Images with names of all kinds."""
    folder = tmp_path / "named"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"image %d" % number)
    return folder


def test_copies_keep_path_and_content(named, dest):
    assert take(named, dest, fraction=1.0) == set(NAMES)
    for name in NAMES:
        assert (dest / name).read_bytes() == (named / name).read_bytes()
        assert not (dest / name).samefile(named / name)


def test_folders_of_the_same_name_are_one_class_wherever_they_lie(named):
    counts = would_take(named, fraction=1.0)
    assert counts["Pear"] == 2
    assert counts["Apple"] == 3


def test_symbolic_links_lead_to_the_images(named, dest):
    assert take(named, dest, fraction=1.0, mode="symlink") == set(NAMES)
    assert all((dest / name).readlink() == named / name for name in NAMES)


def test_hard_links_are_the_images(named, dest):
    (named / "Apple" / "link.jpg").symlink_to(named / NAMES[0])
    assert take(named, dest, fraction=1.0, mode="hardlink") == {*NAMES, "Apple/link.jpg"}
    assert all((dest / name).samefile(named / name) for name in NAMES)
    assert not (dest / "Apple/link.jpg").is_symlink()


def test_images_that_lie_directly_in_the_source_change_their_label_and_that_is_said(source, dest):
    taken = sample(SampleConfig(str(source / "Kiwi"), str(dest), per_class=2))
    assert taken.warnings == (
        f"2 images lie directly in {source / 'Kiwi'}:"
        " there their label is Kiwi, in the sample it is small",
    )


# Refused


def assert_refused(result: Result, problem: str, remedy: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert problem in result.stderr
    assert remedy in result.stderr


@pytest.mark.parametrize(
    ("options", "problem", "remedy"),
    [
        ([], "no size was given", "--per-class, --fraction, --total"),
        (["--total", "1", "--fraction", "1"], "--fraction 1.0 and --total 1", "Give one of"),
        (["--per-class", "0"], "--per-class is 0", "larger"),
        (["--total", "-3"], "--total is -3", "larger"),
        (["--fraction", "10"], "--fraction is 10.0", "--fraction 0.1"),
        (["--fraction", "nan"], "--fraction is nan", "--fraction 0.1"),
        (["--total", "1", "--random-classes", "0"], "--random-classes is 0", "larger"),
        (["--total", "1", "--random-classes", "2", "--classes", "Pear"], "both given", "one of"),
        (["--total", "1", "--seed", "-1"], "--seed is -1", "number"),
        (["--total", "1", "--mode", "move"], "--mode is 'move'", "copy, symlink, hardlink"),
        (["--total", "1", "--classes", "Aple"], "no image of class Aple", "such as Apple."),
        (["--total", "1", "--classes", "Fig"], "no image of class Fig", "such as Apple, Kiwi"),
        (["--total", "1", "--include", "*.png"], "100 not selected", "--include"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_makes_no_sense(source, dest, options, problem, remedy):
    assert_refused(featuremill("sample", source, dest, *options), problem, remedy)
    assert not dest.exists()


def test_a_source_that_is_not_there_or_holds_nothing(source, dest, tmp_path):
    missing = featuremill("sample", tmp_path / "none", dest, "--total", "1")
    assert_refused(missing, "does not exist", "existing folder")
    shutil.rmtree(source)
    source.mkdir()
    assert_refused(featuremill("sample", source, dest, "--total", "1"), "holds no image", "Name")
    assert not dest.exists()


@pytest.mark.parametrize("also", [[], ["--dry-run"]], ids=["", "dry run"])
def test_a_destination_that_is_not_empty(source, dest, also):
    (dest / "below").mkdir(parents=True)
    (dest / "below" / "thesis.txt").write_text("years of work")
    before = everything_in(dest)
    refused = featuremill("sample", source, dest, "--total", "1", *also)
    assert_refused(refused, "is not empty: it holds below/thesis.txt", "new folder")
    assert everything_in(dest) == before


def test_an_empty_folder_is_filled_also_where_the_file_manager_has_been_there(source, dest):
    (dest / "sub").mkdir(parents=True)
    (dest / ".DS_Store").write_bytes(b"")
    assert len(take(source, dest, total=4)) == 4 + 1


def test_a_finished_sample_is_not_taken_for_an_unfinished_one(source, dest):
    arguments = ("sample", source, dest, "--total", "3")
    assert featuremill(*arguments).exit_code == 0
    assert_refused(featuremill(*arguments), "is not empty", "new folder")


def test_a_destination_inside_the_source_or_that_is_a_file(source, dest):
    refused = featuremill("sample", source, source / "small", "--total", "1")
    assert_refused(refused, "lies inside source", "outside")
    dest.write_text("a file")
    assert_refused(featuremill("sample", source, dest, "--total", "1"), "cannot write", "Choose")


def test_links_need_folders_on_both_sides_and_hard_links_one_file_system(source, dest, monkeypatch):
    for where in (("s3://fruits", dest), (source, "s3://fruits")):
        refused = featuremill("sample", *where, "--total", "1", "--mode", "symlink")
        assert_refused(refused, "not both folders", "--mode copy")
    devices = iter([1, 2])
    monkeypatch.setattr("featuremill.workflows.sample.pipeline._device", lambda _: next(devices))
    refused = featuremill("sample", source, dest, "--total", "1", "--mode", "hardlink")
    assert_refused(refused, "different file systems", "--mode symlink")


def test_two_names_that_a_file_system_takes_for_one(named, dest, monkeypatch):
    by_name = LocalStore.size
    monkeypatch.setattr(LocalStore, "size", lambda store, name: by_name(store, name.lower()))
    with pytest.raises(DestinationError, match="would be one file"):
        take(named, dest, fraction=1.0)
    assert names_in(dest) == set()
    assert len(take(named, dest, fraction=1.0, exclude=("apple/*", "*A B.jpg"))) == 6


# Interruptions


@pytest.fixture
def ctrl_c_after(monkeypatch) -> Callable[[int], None]:
    """Makes the image after so many meet a Ctrl-C."""

    def interrupt(images: int) -> None:
        create = LocalStore.create
        left = iter(range(images))

        def interrupted(store: LocalStore, name: str, data: bytes) -> bool:
            if name != MARKER and next(left, None) is None:
                raise KeyboardInterrupt
            return create(store, name, data)

        monkeypatch.setattr(LocalStore, "create", interrupted)

    return interrupt


def test_an_interrupted_sample_goes_on_with_the_same_command(
    source, dest, ctrl_c_after, monkeypatch
):
    arguments = ("sample", source, dest, "--total", "30")
    ctrl_c_after(10)
    stopped = featuremill(*arguments)
    assert stopped.exit_code == 130
    assert "run the same command again to resume" in stopped.stderr
    monkeypatch.undo()
    assert MARKER in names_in(dest)
    there = {name: seen for name, seen in everything_in(dest).items() if name.endswith(".jpg")}
    assert len(there) == 10
    (dest / "Apple" / f".0.jpg.{'0' * 16}.tmp").write_bytes(b"begun by a process that was killed")

    finished = featuremill(*arguments)

    assert finished.exit_code == 0, finished.output
    assert "written     30 images" in finished.stdout
    assert "10 of them before" in finished.stdout
    assert there.items() <= everything_in(dest).items()
    assert len(names_in(dest)) == 30
    assert not any(name.startswith(".") for name in names_in(dest))


@pytest.mark.parametrize("foreign", ["Apple/mine.jpg", "Pear/0.jpg"])
def test_it_does_not_go_on_beside_what_is_of_no_sample(
    source, dest, ctrl_c_after, monkeypatch, foreign
):
    ctrl_c_after(5)
    arguments = ("sample", source, dest, "--fraction", "1")
    assert featuremill(*arguments).exit_code == 130
    monkeypatch.undo()
    (dest / foreign).parent.mkdir(exist_ok=True)
    (dest / foreign).write_bytes(b"something else")
    before = everything_in(dest)
    refused = featuremill(*arguments)
    assert_refused(refused, f"1 files that are not part of this one, such as {foreign}", "same")
    assert everything_in(dest) == before


def test_an_image_that_vanishes_is_named_and_the_others_are_there(source, dest, monkeypatch):
    fetch = LocalStore.fetch

    def vanishing(store: LocalStore, path: str) -> Any:
        if path.endswith("Kiwi/3.jpg"):
            raise FileNotFoundError(2, "No such file or directory")
        return fetch(store, path)

    monkeypatch.setattr(LocalStore, "fetch", vanishing)
    with pytest.raises(RunError, match=r"1 of 100 .* Kiwi/3.jpg: No such file"):
        take(source, dest, fraction=1.0)
    assert len(names_in(dest)) == 99 + 1
    monkeypatch.undo()
    assert len(take(source, dest, fraction=1.0)) == 100


def test_what_another_writes_meanwhile_is_not_overwritten(source, dest, monkeypatch):
    fetch = LocalStore.fetch

    def busy(store: LocalStore, path: str) -> Any:
        (dest / "Kiwi").mkdir(exist_ok=True)
        (dest / "Kiwi" / "0.jpg").write_bytes(b"of another")
        return fetch(store, path)

    monkeypatch.setattr(LocalStore, "fetch", busy)
    with pytest.raises(StorageError, match="was not overwritten"):
        take(source, dest, fraction=1.0, classes=("Kiwi",))
    assert (dest / "Kiwi" / "0.jpg").read_bytes() == b"of another"


def test_a_copy_that_is_not_as_long_as_its_image_is_noticed(source, dest, monkeypatch):
    create = LocalStore.create
    monkeypatch.setattr(LocalStore, "create", lambda store, name, data: create(store, name, b"cut"))
    with pytest.raises(StorageError, match=r"4 of 4 files are missing .* or have another size"):
        take(source, dest, total=4)
    assert MARKER in names_in(dest)


# What is printed


def test_a_dry_run_shows_the_table_and_writes_nothing(source, dest):
    (source / "notes.txt").write_text("")
    shown = featuremill("sample", source, dest, "--per-class", "20", "--dry-run")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "class       available        taken         MB",
        "Apple              60           20       0.00",
        "Kiwi               10           10       0.00",
        "Pear               30           20       0.00",
        "together          100           50       0.00",
        "left out    1 .txt",
        "nothing was written (--dry-run)",
    ]
    assert not dest.exists()


def test_scripts_get_json(source, dest):
    said = json.loads(featuremill("sample", source, dest, "--total", "10", "--json").stdout)
    files = [path for path in dest.rglob("*") if path.is_file()]
    assert said["images"] == len(files) == 10
    assert said["bytes"] == sum(path.stat().st_size for path in files)
    assert (said["source"], said["destination"]) == (str(source), str(dest))
    assert [(one["label"], one["available"], one["taken"]) for one in said["classes"]] == [
        ("Apple", 60, 6),
        ("Kiwi", 10, 1),
        ("Pear", 30, 3),
    ]


# S3


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server(page=7) as url:
        yield url


@pytest.fixture(scope="module")
def client(endpoint) -> Any:
    return boto3.client("s3", endpoint_url=endpoint, region_name=REGION)


@pytest.fixture
def bucket(client) -> str:
    name = f"bucket-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


@pytest.mark.slow
def test_the_sample_is_the_same_on_every_way_between_folders_and_buckets(
    named, tmp_path, bucket, client, endpoint
):
    options = {"fraction": 0.5, "seed": 4, "endpoint_url": endpoint}
    expected = take(named, tmp_path / "here", **options)
    assert 3 < len(expected) < len(NAMES)
    sample(SampleConfig(str(named), f"s3://{bucket}/all", fraction=1.0, endpoint_url=endpoint))
    sample(SampleConfig(str(named), f"s3://{bucket}/up", **options))
    sample(SampleConfig(f"s3://{bucket}/all", f"s3://{bucket}/across", **options))
    assert take(f"s3://{bucket}/all", tmp_path / "down", **options) == expected
    for prefix in ("up", "across"):
        keys = [
            entry["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{prefix}/"
            )
            for entry in page["Contents"]
        ]
        assert {key.removeprefix(f"{prefix}/") for key in keys} == expected
        for key in keys:
            body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            assert body == (named / key.removeprefix(f"{prefix}/")).read_bytes()
    for name in expected:
        assert (tmp_path / "down" / name).read_bytes() == (named / name).read_bytes()


def test_keys_that_no_folder_can_hold_are_left_out_and_counted(tmp_path, bucket, client, endpoint):
    no_folder = [
        "a/../../../out.jpg",
        "../out.jpg",
        "a//2.jpg",
        "a/./3.jpg",
        "a/\x01.jpg",
        f"a/{'n' * 256}.jpg",
        "a/b",  # a file, where others need a folder
        "a/b/c",
        "/a/4.jpg",
    ]
    held = ["a/1.jpg", "a/b-1.jpg", "a/b/c/5.jpg", f"a/{'é' * 125}.jpg", "a/d", "a/d/notes.txt"]
    for key in no_folder + held:
        client.put_object(Bucket=bucket, Key=f"in/{key}", Body=b"x")
    config = SampleConfig(
        f"s3://{bucket}/in", str(tmp_path / "deep" / "down"), per_class=9, endpoint_url=endpoint
    )
    taken = sample(config)
    expected = {f"deep/down/{key}" for key in held if not key.endswith(".txt")}
    assert names_in(tmp_path) == expected
    assert taken.images == len(expected)
    assert taken.left_out == {
        "a name that not every storage can hold": len(no_folder),
        ".txt": 1,
    }


def test_a_prefix_that_leaves_no_room_for_a_key_costs_that_image_alone(
    source, bucket, endpoint, monkeypatch
):
    (source / "Kiwi" / f"{'n' * 250}.jpg").write_bytes(b"x")
    put = obstore.put

    def put_as_s3_does(store, key, *arguments, **options):
        if "nnn" in key:
            raise GenericError("Generic S3 error: <Code>KeyTooLongError</Code>")
        return put(store, key, *arguments, **options)

    monkeypatch.setattr(obstore, "put", put_as_s3_does)
    config = SampleConfig(str(source), f"s3://{bucket}/p", fraction=1.0, endpoint_url=endpoint)
    taken = sample(config)
    assert taken.images == 100
    assert taken.left_out == {"a name that the destination cannot hold": 1}


def test_a_prefix_that_is_not_empty_is_refused_and_a_bucket_that_is_not_there(
    source, bucket, client, endpoint
):
    client.put_object(Bucket=bucket, Key="full/thesis.txt", Body=b"years of work")
    for dest, problem in (
        (f"s3://{bucket}/full", "is not empty: it holds thesis.txt"),
        ("s3://there-is-no-such-bucket/x", "NoSuchBucket"),
    ):
        refused = featuremill("sample", source, dest, "--total", "1", "--endpoint-url", endpoint)
        assert_refused(refused, problem, "")
    with pytest.raises(SourceError, match="NoSuchBucket"):
        sample(SampleConfig("s3://no-such", "x", total=1, endpoint_url=endpoint))


def test_many_requests_are_under_way_at_once(source, bucket, endpoint, monkeypatch):
    create, meeting = S3Store.create, threading.Barrier(8)

    def waiting(store: S3Store, name: str, data: bytes) -> bool:
        if name != MARKER:
            meeting.wait(timeout=30)  # ends only where eight are here together
        return create(store, name, data)

    monkeypatch.setattr(S3Store, "create", waiting)
    taken = sample(
        SampleConfig(str(source), f"s3://{bucket}/many", total=32, endpoint_url=endpoint)
    )
    assert taken.images == 32
