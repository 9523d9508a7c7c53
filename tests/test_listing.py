"""What a source holds becomes references; what is plainly no image is skipped and counted."""

import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from featuremill.errors import SourceError
from featuremill.storage import Listed
from featuremill.storage.listing import Listing, Reference, Rejection, Selection
from featuremill.storage.local import LocalStore


class ListOnly:
    """A store of which only the listing is asked."""

    def __init__(self, entries, url: str = "s3://fruits") -> None:
        self.url = url
        self._entries = entries

    def list(self) -> Iterator[Listed]:
        yield from self._entries


@contextmanager
def listing(source, **selection) -> Iterator[Listing]:
    listing = Listing(source, Selection(**selection))
    try:
        yield listing
    finally:
        listing.close()


def bucket(*keys: str) -> ListOnly:
    return ListOnly(
        [Listed(f"s3://fruits/{key}", 0 if key.endswith("/") else 1, "v") for key in keys]
    )


def chosen(source, **selection) -> list[str]:
    """Paths below the source of all references."""
    with listing(source, **selection) as found:
        return [item.path[len(source.url) + 1 :] for item in found]


def skipped(source, **selection) -> Counter[str]:
    with listing(source, **selection) as found:
        items = len(list(found))
        assert found.listed == items + found.skipped.total()
        assert found.selected == found.listed - found.skipped.total()
        return found.skipped


class TestReferences:
    def test_an_image_is_its_path_label_version_and_size(self, tmp_path):
        (tmp_path / "Kiwi").mkdir()
        (tmp_path / "Kiwi" / "0.jpg").write_bytes(b"12345")
        store = LocalStore(str(tmp_path))
        (entry,) = store.list()
        with listing(store) as found:
            assert list(found) == [
                Reference(f"{tmp_path}/Kiwi/0.jpg", "Kiwi", entry.version, 5),
            ]
            assert found.finished
            assert (found.listed, found.selected) == (1, 1)
            assert found.labels == {"Kiwi": 1}

    def test_an_image_at_the_root_is_labelled_with_the_name_of_the_source(self, tmp_path):
        (tmp_path / "Kiwi").mkdir()
        (tmp_path / "Kiwi" / "0.jpg").touch()
        with listing(LocalStore(str(tmp_path / "Kiwi"))) as found:
            assert [item.label for item in found] == ["Kiwi"]

    def test_what_cannot_be_fetched_is_a_rejection_of_stage_list(self, tmp_path):
        (tmp_path / "0.jpg").symlink_to("nowhere")
        with listing(LocalStore(str(tmp_path))) as found:
            (rejection,) = found
        assert isinstance(rejection, Rejection)
        assert rejection.reference.path == f"{tmp_path}/0.jpg"
        assert (rejection.stage, rejection.reason) == (
            "list",
            "a link to a file that does not exist",
        )

    def test_thousands_come_in_the_order_of_the_source(self):
        keys = [f"Kiwi/{number}.jpg" for number in range(3000)]
        assert chosen(bucket(*keys)) == keys


class TestSkipped:
    @pytest.mark.parametrize(
        ("key", "reason"),
        [
            ("Kiwi/", "folder marker"),
            ("Kiwi/_SUCCESS", "_SUCCESS"),
            ("Kiwi/notes.txt", ".txt"),
            ("Kiwi/NOTES.TXT", ".txt"),
            ("archive.tar.gz", ".gz"),
            (".DS_Store", "hidden"),
            (".git/objects/0.jpg", "hidden"),
            ("Kiwi/.thumbnails/0.jpg", "hidden"),
            ("Kiwi/.0.jpg.tmp", "hidden"),
        ],
    )
    def test_what_is_plainly_no_image_is_counted_by_its_reason(self, key, reason):
        source = bucket("Kiwi/0.jpg", key)
        assert chosen(source) == ["Kiwi/0.jpg"]
        assert skipped(source) == {reason: 1}

    @pytest.mark.parametrize(
        ("key", "reason"),
        [
            # phones
            ("DCIM/IMG_1.AAE", ".aae"),
            ("DCIM/.thumbnails/1.jpg", "hidden"),
            ("DCIM/.trashed-1700000000-IMG_1.jpg", "hidden"),
            ("Camera/PXL_1.MP", ".mp"),
            ("LOST.DIR/1", "in LOST.DIR"),
            ("Takeout/IMG_1.jpg.supplemental-metadata.json", ".json"),
            # cameras
            ("DCIM/GOPR1.THM", ".thm"),
            ("PRIVATE/M4ROOT/THMBNL/C0001T01.JPG", "in THMBNL"),
            # macOS
            ("Kiwi/Icon%0D", "Icon"),
            ("Kiwi/._1.jpg", "hidden"),
            ("__MACOSX/Kiwi/1.jpg", "in __MACOSX"),
            # Windows
            ("$RECYCLE.BIN/S-1-5-21/$R1.jpg", "in $RECYCLE.BIN"),
            ("$Recycle.Bin/S-1-5-21/$R1.jpg", "in $Recycle.Bin"),
            ("System Volume Information", "in System Volume Information"),
            ("Kiwi/Thumbs.db", ".db"),
            ("Kiwi/1.jpg:Zone.Identifier", "a note of the system"),
            ("Kiwi/1.jpg\uf03aAFP_AfpInfo", "a note of the system"),
            # Linux
            ("lost+found", "in lost+found"),
            ("lost+found/#123", "in lost+found"),
            # network drives
            ("Kiwi/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "in @eaDir"),
            ("#recycle/1.jpg", "in #recycle"),
            ("@Recycle/1.jpg", "in @Recycle"),
            ("Kiwi/.@__thumb/s800_1.jpg", "hidden"),
            # photo managers
            ("Kiwi/1.xmp", ".xmp"),
            ("Kiwi/1.jpg.xmp", ".xmp"),
            ("My Previews.lrdata/A/1.jpg", "in *.lrdata"),
            ("A.photoslibrary/resources/derivatives/1.jpg", "in a photo library, not an original"),
            # others
            ("README", "README"),
            ("licence", "licence"),
            ("labels.mat", ".mat"),
            ("clip.MPG", ".mpg"),
            ("IMG_0.jpg.crdownload", ".crdownload"),
        ],
    )
    def test_files_of_systems_and_programs_are_skipped(self, key, reason):
        source = ListOnly([Listed(f"s3://fruits/{key}", 1, "v")])
        assert skipped(source) == {reason: 1}

    def test_the_originals_of_a_photo_library_are_images_also_where_it_is_the_source(self):
        keys = ["originals/0/1.jpeg", "resources/derivatives/1.jpeg"]
        library = "s3://fruits/Photos.photoslibrary"
        source = ListOnly([Listed(f"{library}/{key}", 1, "v") for key in keys], library)
        assert chosen(source) == keys[:1]
        above = bucket(*(f"Photos.photoslibrary/{key}" for key in keys))
        assert chosen(above) == ["Photos.photoslibrary/originals/0/1.jpeg"]

    def test_the_source_itself_may_lie_in_a_systems_folder(self):
        source = ListOnly([Listed("s3://fruits/@eaDir/a/1.jpg", 1, "v")], "s3://fruits/@eaDir")
        assert chosen(source) == ["a/1.jpg"]

    def test_links_that_are_not_followed_are_counted_and_are_no_rejects(self, tmp_path):
        (tmp_path / "kiwi").mkdir()
        (tmp_path / "kiwi" / "0.jpg").touch()
        for link in ("kiwi/up", "a", "b"):
            (tmp_path / link).symlink_to(tmp_path / "kiwi")
        source = LocalStore(str(tmp_path))
        assert chosen(source) == ["a/0.jpg", "kiwi/0.jpg"]
        assert skipped(source) == {
            "a link back to a folder that holds it": 2,
            "a folder that an earlier link leads to": 1,
        }

    def test_dots_between_the_slashes_of_a_key_hide_nothing(self):
        keys = ["a/./1.jpg", "../2.jpg", "a/../.3.jpg", "a/.../4.jpg"]
        assert chosen(bucket(*keys)) == keys[:2]
        assert skipped(bucket(*keys)) == {"hidden": 2}

    @pytest.mark.parametrize(
        "key",
        [
            "Kiwi/0",
            "0.jpg",
            "Kiwi/0.unknown",
            "Kiwi/0.jpg.orig",
            "Kiwi/txt",
            "a.b/c",
            "x...jpg",
            "README/0",
            "a/tmp",
            "eaDir/1.jpg",
            "1.heic",
            "1.svg",
        ],
    )
    def test_everything_else_is_examined_whatever_its_name(self, key):
        assert chosen(bucket(key)) == [key]

    def test_a_hidden_folder_above_the_source_hides_nothing(self, tmp_path):
        source = tmp_path / ".cache" / "images"
        source.mkdir(parents=True)
        (source / "0.jpg").touch()
        assert chosen(LocalStore(str(source))) == ["0.jpg"]

    def test_only_an_empty_object_whose_key_ends_in_a_slash_is_a_folder_marker(self):
        entries = [("a", 0), ("a/", 0), ("b/", 1)]
        source = ListOnly([Listed(f"s3://fruits/{key}", size, "v") for key, size in entries])
        assert chosen(source) == ["a", "b/"]


FRUITS = ("Training/Apple/0.jpg", "Training/Kiwi/0.jpg", "Test/Kiwi/1.png", "top.jpg")


class TestSelection:
    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            ({}, FRUITS),
            ({"include": ("*.png",)}, FRUITS[2:3]),
            ({"include": ("Training/*",)}, FRUITS[:2]),
            ({"include": ("Training/*", "*.png")}, FRUITS[:3]),
            ({"include": ("training/*",)}, ()),
            ({"include": ("Kiwi",)}, ()),
            ({"include": ("*/Kiwi/?.[jp]*",)}, FRUITS[1:3]),
            ({"exclude": ("*.png", "top*")}, FRUITS[:2]),
            ({"include": ("Training/*",), "exclude": ("*Kiwi*",)}, FRUITS[:1]),
            ({"classes": ("Kiwi",)}, FRUITS[1:3]),
            ({"classes": ("Kiwi", "Apple"), "include": ("Training/*",)}, FRUITS[:2]),
            ({"classes": ("Training",)}, ()),
        ],
    )
    def test_globs_are_over_the_path_below_the_source_and_classes_are_parents(
        self, selection, expected
    ):
        assert chosen(bucket(*FRUITS), **selection) == list(expected)
        not_selected = len(FRUITS) - len(expected)
        assert skipped(bucket(*FRUITS), **selection)["not selected"] == not_selected

    def test_the_source_itself_is_no_part_of_the_path(self, tmp_path):
        (tmp_path / "Kiwi").mkdir()
        (tmp_path / "Kiwi" / "0.jpg").touch()
        assert chosen(LocalStore(str(tmp_path)), include=("Kiwi/*",)) == ["Kiwi/0.jpg"]
        assert chosen(LocalStore(str(tmp_path)), exclude=("*pytest*",)) == ["Kiwi/0.jpg"]

    @pytest.mark.parametrize("asked", ["NFC", "NFD"])
    def test_one_class_in_two_unicode_spellings_is_one_class(self, tmp_path, asked):
        spellings = [unicodedata.normalize(form, "pommé") for form in ("NFC", "NFD")]
        for number, name in enumerate(spellings):
            (tmp_path / name).mkdir()
            (tmp_path / name / f"{number}.jpg").touch()
        name = unicodedata.normalize(asked, "pommé")
        source = LocalStore(str(tmp_path))
        for selection in ({}, {"classes": (name,)}, {"include": (f"{name}/*",)}):
            with listing(source, **selection) as found:
                assert {item.path[-5:] for item in found} == {"0.jpg", "1.jpg"}
                assert found.labels == {spellings[0]: 2}
                assert found.selection.without_images(found.labels) == []
        assert chosen(source, exclude=(f"{name}/*",)) == []

    @pytest.mark.parametrize("name", ["50% ripe", "caf\udce9", "tab\t", "pommé", "%41"])
    def test_a_class_that_has_images_is_not_said_to_have_none(self, tmp_path, name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").touch()
        with listing(LocalStore(str(tmp_path)), classes=(name, "0% ripe")) as found:
            assert len(list(found)) == 1
            assert found.selection.without_images(found.labels) == ["0% ripe"]

    @pytest.mark.parametrize("name", ["100% juice", "été", "caf\udce9", "line\nbreak"])
    def test_names_are_given_as_they_are_not_as_tables_show_them(self, tmp_path, name):
        for folder in (tmp_path / name, tmp_path / "other"):
            folder.mkdir()
            (folder / "0.jpg").touch()
        source = LocalStore(str(tmp_path))
        (by_class,) = chosen(source, classes=(name,))
        assert chosen(source, include=(f"{name}/*",)) == [by_class]
        assert chosen(source, exclude=("other/*",)) == [by_class]

    def test_images_are_counted_by_label_once_they_are_selected(self):
        with listing(bucket(*FRUITS), exclude=("*.png",)) as found:
            list(found)
            assert found.labels == {"Apple": 1, "Kiwi": 1, "fruits": 1}


class TestPeek:
    def test_the_first_item_is_seen_and_given_again(self):
        with listing(bucket("a", "b")) as found:
            first = found.peek()
            assert found.peek() == first
            items = list(found)
        assert items[0] == first
        assert len(items) == 2

    @pytest.mark.parametrize("keys", [(), ("notes.txt", ".hidden")])
    def test_there_is_none_where_nothing_is_an_image(self, keys):
        with listing(bucket(*keys)) as found:
            assert found.peek() is None
            assert list(found) == []
            assert found.skipped.total() == len(keys)


class TestErrors:
    def test_an_error_of_the_source_reaches_whoever_looks_first(self, tmp_path):
        with listing(LocalStore(str(tmp_path / "missing"))) as found:
            with pytest.raises(SourceError, match="does not exist"):
                found.peek()
            with pytest.raises(SourceError, match="does not exist"):
                list(found)
            assert not found.finished

    def test_an_error_in_the_middle_comes_after_what_was_listed_before(self):
        def entries() -> Iterator[Listed]:
            for number in range(1500):
                yield Listed(f"s3://fruits/{number}", 1, "v")
            raise SourceError("the connection was lost")

        seen = []
        with listing(ListOnly(entries())) as found:
            with pytest.raises(SourceError, match="connection was lost"):
                seen.extend(found)
            assert not found.finished


class TestClose:
    def test_a_listing_that_is_not_wanted_any_more_ends(self):
        asked = []

        def endless() -> Iterator[Listed]:
            while True:
                asked.append(1)
                yield Listed(f"s3://fruits/{len(asked)}", 1, "v")

        with listing(ListOnly(endless())) as found:
            assert found.peek() is not None
        assert not any(thread.name == "listing" for thread in threading.enumerate())
        assert not found.finished
        assert found.listed == len(asked)

    def test_closing_twice_or_after_the_end_does_no_harm(self):
        with listing(bucket("a")) as found:
            list(found)
            found.close()


def test_listing_goes_on_while_nobody_reads():
    read_to_the_end = threading.Event()

    def entries() -> Iterator[Listed]:
        for number in range(5000):
            yield Listed(f"s3://fruits/{number}", 1, "v")
        read_to_the_end.set()

    with listing(ListOnly(entries())) as found:
        assert read_to_the_end.wait(5)
        assert len(list(found)) == 5000
