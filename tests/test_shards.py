"""Tar and zip files are shards: each member is an image, listed and read by ranges."""

import io
import re
import struct
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

import featuremill
from featuremill.dataset.known_images import Known
from featuremill.images.decode import Limits
from featuremill.storage import Store, member_places, open_store, shards
from featuremill.storage.listing import Listing, Reference, Rejection, Selection
from featuremill.workflows.run.pipeline import RunResult, run
from featuremill.workflows.run.task import Raw, fetch
from outputs import features, offline
from stand_in import REGION, s3_server

NAMES = ["kiwi/1.jpg", "kiwi/2.jpg", "pear/1.jpg"]


def content(name: str) -> bytes:
    return f"the bytes of {name} ".encode() * 40


def tar(file: Path, names: list[str] = NAMES, contents: dict[str, bytes] | None = None) -> Path:
    with tarfile.open(file, "w") as archive:
        for name in names:
            data = (contents or {}).get(name, content(name))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file


def zipped(file: Path, names: list[str] = NAMES, contents: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, (contents or {}).get(name, content(name)))
    return file


Make = Callable[..., Path]
KINDS = pytest.mark.parametrize(("make", "kind"), [(tar, "tar"), (zipped, "zip")])


class Found:
    """What a listing finds, and what can be fetched of it."""

    def __init__(self, source: Store, **selection: Any) -> None:
        listing = Listing(source, Selection(**selection))
        try:
            items = list(listing)
        finally:
            listing.close()
        self.listing, self.skipped = listing, dict(listing.skipped)
        self.references = [item for item in items if isinstance(item, Reference)]
        self.rejected = {_end(i.reference): i.reason for i in items if isinstance(i, Rejection)}
        self.data: dict[str, bytes] = {}
        for item in fetch(self.references, source, Limits()):
            if isinstance(item, Raw):
                self.data[_end(item.reference)] = item.data
            else:
                self.rejected[_end(item.reference)] = item.reason
        assert listing.listed == listing.selected + sum(self.skipped.values())
        assert listing.selected == len(items)


def _end(reference: Reference) -> str:
    return re.split(r"\.(?:tar|zip)!/", reference.path, maxsplit=1)[-1]


def found(folder: Path, **selection: Any) -> Found:
    return Found(open_store(folder), **selection)


@KINDS
def test_each_member_is_an_image_with_the_folder_in_its_name_as_label(tmp_path, make, kind):
    make(tmp_path / f"a.{kind}")
    (tmp_path / "plum").mkdir()
    (tmp_path / "plum" / "3.jpg").write_bytes(b"a file")
    everything = found(tmp_path)
    assert everything.data == {name: content(name) for name in NAMES} | {
        f"{tmp_path}/plum/3.jpg": b"a file"
    }
    first = everything.references[0]
    assert first.path == f"{tmp_path}/a.{kind}!/kiwi/1.jpg"
    assert first.bytes == len(content("kiwi/1.jpg"))
    assert [each.label for each in everything.references] == ["kiwi", "kiwi", "pear", "plum"]
    assert everything.rejected == {}


@KINDS
def test_what_lies_in_no_folder_of_a_shard_has_the_label_of_the_shard(tmp_path, make, kind):
    (tmp_path / "kiwi").mkdir()
    make(tmp_path / "kiwi" / f"a.{kind}", ["1.jpg"])
    assert [each.label for each in found(tmp_path).references] == ["kiwi"]


def test_a_webdataset_gives_its_labels_beside_the_pictures(tmp_path):
    names = ["1.cls", "1.jpg", "1.json", "2.jpg", "2.cls", "3.jpg"]
    tar(tmp_path / "train.tar", names, {"1.cls": b"7", "2.cls": "kiwi é\n".encode()})
    everything = found(tmp_path)
    labels = {_end(each): each.label for each in everything.references}
    assert labels == {"1.jpg": "7", "2.jpg": "kiwi é", "3.jpg": tmp_path.name}
    assert everything.skipped == {".cls": 2, ".json": 1}
    assert list(found(tmp_path, classes=("7",)).data) == ["1.jpg"]


@KINDS
def test_a_selection_is_of_members(tmp_path, make, kind):
    make(tmp_path / f"a.{kind}")
    assert list(found(tmp_path, classes=("pear",)).data) == ["pear/1.jpg"]
    assert list(found(tmp_path, include=(f"a.{kind}!/*/2.jpg",)).data) == ["kiwi/2.jpg"]
    assert found(tmp_path, exclude=(f"*.{kind}!/*",)).data == {}


@KINDS
def test_what_is_no_picture_is_skipped_in_shards_too(tmp_path, make, kind):
    names = ["__MACOSX/._1.jpg", ".hidden.jpg", "notes.txt", "in.zip", "1.jpg"]
    make(tmp_path / f"a.{kind}", names)
    everything = found(tmp_path)
    assert list(everything.data) == ["1.jpg"]
    assert everything.skipped == {"in __MACOSX": 1, "hidden": 1, ".txt": 1, ".zip": 1}


@KINDS
def test_names_of_any_kind_are_read(tmp_path, make, kind):
    names = ["a b/é %.jpg", "キウイ/x!/1.jpg", "b.tar!/1.jpg", "long" * 60 + "/1.jpg"]
    make(tmp_path / f"a.{kind}", names)
    assert sorted(found(tmp_path).data.values()) == sorted(map(content, names))


# A changed shard


def computed(folder: Path, before: list[Reference]) -> list[str]:
    """Names of what a run would compute that knows what was listed before."""
    known = Known((each.path, each.version, Known.DONE) for each in before)
    again = found(folder).references
    return [_end(each) for each in again if known.look_up(each.path, each.version) != (0, True)]


def test_of_a_changed_zip_only_the_changed_members_are_computed(tmp_path):
    before = found(zipped(tmp_path / "a.zip").parent).references
    zipped(tmp_path / "a.zip", ["0.jpg", *NAMES], {"kiwi/2.jpg": b"another"})
    assert computed(tmp_path, before) == ["0.jpg", "kiwi/2.jpg"]


def test_of_a_changed_tar_all_are_computed_since_it_holds_no_checksums(tmp_path):
    before = found(tar(tmp_path / "a.tar").parent).references
    assert computed(tmp_path, before) == []
    tar(tmp_path / "a.tar", contents={"kiwi/2.jpg": b"another"})
    assert computed(tmp_path, before) == NAMES


@KINDS
def test_a_shard_that_changes_after_it_was_listed_gives_no_wrong_bytes(tmp_path, make, kind):
    references = found(make(tmp_path / f"a.{kind}").parent).references
    make(tmp_path / f"a.{kind}", contents=dict.fromkeys(NAMES, b"x" * 777))
    items = list(fetch(references, open_store(tmp_path), Limits()))
    assert all(isinstance(item, Rejection) and item.stage == "fetch" for item in items)


# Damage: every member is accounted for


def test_a_tar_that_is_cut_off_gives_what_stands_before(tmp_path):
    file = tar(tmp_path / "a.tar")
    whole = file.read_bytes()
    for size in range(512, len(whole) - tarfile.RECORDSIZE // 2, 256):
        file.write_bytes(whole[:size])
        everything = found(tmp_path)
        read = list(everything.data)
        assert read == NAMES[: len(read)]
        assert all(everything.data[name] == content(name) for name in read)
        if size < 3 * 2048:
            assert str(file) in everything.rejected
            assert any("cut off" in why or "end" in why for why in everything.rejected.values())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_tar_damaged_in_a_header_says_where(tmp_path, number):
    file = tar(tmp_path / "a.tar")
    data = bytearray(file.read_bytes())
    at = number * 1536
    data[at : at + 20] = b"\xff" * 20
    file.write_bytes(data)
    everything = found(tmp_path)
    assert list(everything.data) == NAMES[:number]
    assert "damaged" in everything.rejected[str(file)]


def test_a_tar_behind_a_tar_is_not_lost_silently(tmp_path):
    whole = tar(tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole + whole)
    everything = found(tmp_path)
    assert list(everything.data) == NAMES
    assert "goes on behind its end mark" in everything.rejected[f"{tmp_path}/a.tar"]


@pytest.mark.parametrize("data", [b"", b"no archive", bytes(100), b"\x1f\x8b\x08" + bytes(2000)])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_what_is_no_archive_is_rejected_with_its_reason(tmp_path, kind, data):
    (tmp_path / f"a.{kind}").write_bytes(data)
    everything = found(tmp_path)
    assert list(everything.rejected) == [f"{tmp_path}/a.{kind}"]
    assert "shard" in everything.rejected[f"{tmp_path}/a.{kind}"]


def test_a_zip_without_its_table_of_contents_is_rejected(tmp_path):
    file = zipped(tmp_path / "a.zip")
    file.write_bytes(file.read_bytes()[:-30])
    assert "damaged, cut off or no zip" in found(tmp_path).rejected[str(file)]


@pytest.mark.parametrize(("what", "at"), [("count", 10), ("size", 12)])
def test_a_zip_that_lists_fewer_members_than_it_holds_is_rejected(tmp_path, what, at):
    file = zipped(tmp_path / "a.zip")
    data = bytearray(file.read_bytes())
    end = data.rindex(b"PK\5\6")
    data[end + at : end + at + 2] = bytes([1, 0] if what == "count" else [0, 0])
    file.write_bytes(data)
    assert "its table of contents should list" in found(tmp_path).rejected[str(file)]


def test_one_damaged_member_of_a_zip_is_rejected_alone(tmp_path):
    file = zipped(tmp_path / "a.zip")
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("kiwi/2.jpg").header_offset
    for at, flip in ((start, 1), (start + 45, 0xFF)):
        damaged = bytearray(data)
        damaged[at] ^= flip
        file.write_bytes(damaged)
        everything = found(tmp_path)
        assert list(everything.data) == ["kiwi/1.jpg", "pear/1.jpg"]
        assert list(everything.rejected) == ["kiwi/2.jpg"]


@KINDS
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_member_of_the_same_name_is_counted_and_left_out(tmp_path, make, kind):
    make(tmp_path / f"a.{kind}", ["1.jpg", "1.jpg", "2.jpg"])
    everything = found(tmp_path)
    assert list(everything.data) == ["1.jpg", "2.jpg"]
    assert everything.skipped == {"a second member of the same name in a shard": 1}


@KINDS
@pytest.mark.parametrize("name", ["../1.jpg", "/1.jpg", "a/../../1.jpg"])
def test_a_name_that_leads_out_is_rejected(tmp_path, make, kind, name):
    make(tmp_path / f"a.{kind}", [name, "2.jpg"])
    everything = found(tmp_path)
    assert list(everything.data) == ["2.jpg"]
    assert list(everything.rejected.values()) == ["a name that leads out of its shard"]


def test_links_and_devices_are_counted(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert found(tmp_path).skipped == {"a link or a device": 3}


@KINDS
def test_prune_keeps_members_of_a_shard_that_cannot_be_listed_to_its_end(tmp_path, make, kind):
    file = make(tmp_path / f"a.{kind}")
    assert found(tmp_path).listing.would_list(f"{file}!/gone.jpg")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 5])
    assert not found(tmp_path).listing.would_list(f"{file}!/gone.jpg")


def test_prune_with_classes_drops_no_member_whose_label_stands_in_the_shard(tmp_path):
    tar(tmp_path / "a.tar", ["kiwi/1.cls", "kiwi/1.jpg"], {"kiwi/1.cls": b"pear"})
    listing = found(tmp_path, classes=("kiwi",)).listing
    assert not listing.would_list(f"{tmp_path}/a.tar!/kiwi/1.jpg")


# Bombs


def test_a_zip_that_unpacks_to_more_than_it_says_is_stopped(tmp_path):
    file = zipped(tmp_path / "a.zip", ["1.jpg"], {"1.jpg": bytes(50 << 20)})
    data = file.read_bytes()
    file.write_bytes(data.replace(struct.pack("<I", 50 << 20), struct.pack("<I", 1 << 20)))
    assert found(tmp_path).rejected == {"1.jpg": "it unpacks to more than 1,048,576 bytes"}


def test_a_zip_whose_members_overlap_is_refused(tmp_path):
    file = zipped(tmp_path / "a.zip", ["1.jpg", "2.jpg"], dict.fromkeys(("1.jpg", "2.jpg"), b""))
    data = file.read_bytes()
    central = data.index(b"PK\1\2")
    large = bytearray(data)
    for at in (central, data.index(b"PK\1\2", central + 1)):
        large[at + 20 : at + 24] = struct.pack("<I", len(data) - 1)
    file.write_bytes(large)
    assert "overlap" in found(tmp_path).rejected[str(file)]


def test_a_zip_of_zeros_is_refused_as_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "FROM_BYTES", 1 << 20)
    file = zipped(tmp_path / "a.zip", ["1.jpg"], {"1.jpg": bytes(2 << 20)})
    assert "unpacks to more than 100 times" in found(tmp_path).rejected[str(file)]


def test_a_header_that_takes_memory_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("1.jpg")
        info.pax_headers = {"comment": "x" * (2 << 20)}
        archive.addfile(info)
    assert "has a header of" in found(tmp_path).rejected[f"{tmp_path}/a.tar"]


# On S3


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def counted(endpoint: str, monkeypatch) -> tuple[Callable[[Path], Store], list[str]]:
    """A function that copies a folder to a bucket of its own, and the reads since."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    bucket = f"shards-{uuid.uuid4()}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    reads: list[str] = []

    def copied(folder: Path) -> Store:
        for file in folder.iterdir():
            client.upload_file(str(file), bucket, file.name)
        store = open_store(f"s3://{bucket}", endpoint_url=endpoint, region=REGION)
        ask = type(store).fetch
        monkeypatch.setattr(
            type(store), "fetch", lambda *given: (reads.append(given[1]), ask(*given))[1]
        )
        return store

    return copied, reads


@KINDS
def test_a_shard_on_s3_takes_a_request_for_many_images(tmp_path, counted, make, kind):
    copied, reads = counted
    names = [f"kiwi/{n}.jpg" for n in range(300)]
    make(tmp_path / f"a.{kind}", names)
    everything = Found(copied(tmp_path))
    assert everything.data == {name: content(name) for name in names}
    assert len(reads) <= len(names) / 100


def test_members_larger_than_a_block_and_across_blocks_are_read(tmp_path, counted):
    copied, _ = counted
    sizes = {"1.jpg": 100, "2.jpg": 9 << 20, "3.jpg": 5 << 20, "4.jpg": 5 << 20, "5.jpg": 0}
    contents = {name: bytes([n]) * size for n, (name, size) in enumerate(sizes.items())}
    tar(tmp_path / "a.tar", list(sizes), contents)
    assert Found(copied(tmp_path)).data == contents


def test_a_shard_on_s3_that_changes_gives_no_wrong_bytes(tmp_path, counted):
    copied, _ = counted
    tar(tmp_path / "a.tar")
    store = copied(tmp_path)
    references = Found(store).references
    tar(tmp_path / "a.tar", ["other.jpg", *NAMES])
    copied(tmp_path)
    member_places._blocks = member_places._Blocks(4)
    reasons = {item.reason for item in fetch(references, store, Limits())}
    assert reasons == {"its shard has changed since it was listed"}


# A whole run


@pytest.fixture(scope="module")
def ran(pictures, tmp_path_factory) -> dict[str, RunResult]:
    """A run on the same 60 pictures as a folder, a tar and a zip."""
    results = {}
    for kind, make in (("folder", None), ("tar", tar), ("zip", zipped)):
        place = tmp_path_factory.mktemp(kind)
        source = pictures
        if make is not None:
            files = {str(p.relative_to(pictures)): p.read_bytes() for p in pictures.rglob("*.jpg")}
            files["broken/1.jpg"] = b"no picture"
            (source := place / "shards").mkdir()
            make(source / f"a.{kind}", sorted(files), files)
        results[kind] = run(offline(source, place / "results", n_components=4))
    return results


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_features_and_labels_of_a_shard_are_those_of_the_folder(ran, kind):
    of_folder, of_shard = (features(Path(ran[each].destination)) for each in ("folder", kind))
    rejected = of_shard[of_shard.status == "rejected"]
    assert [Path(path).name for path in rejected.path] == ["1.jpg"]
    of_shard = of_shard[of_shard.status == "ok"]
    assert of_shard.label.tolist() == of_folder.label.tolist()
    assert of_shard.bytes.tolist() == of_folder.bytes.tolist()
    assert np.array_equal(np.stack(of_shard.features), np.stack(of_folder.features))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_second_run_computes_nothing_and_a_forgotten_member_stays_out(ran, kind):
    destination = Path(ran[kind].destination)
    source = destination.parent / "shards"
    again = run(offline(source, destination, n_components=4))
    assert again.record.ledger.embedded == 0
    path = features(destination).path[0]
    featuremill.forget(destination, [path])
    run(offline(source, destination, n_components=4))
    assert path not in set(features(destination).path)
    assert "data:image" in (destination / "report.html").read_text()
