"""Recognizes files that are no images by their names: documents, sidecars, files of the system.

Cameras, phones, photo managers and network drives leave sidecars, thumbnails and bins beside the
pictures. Only what cannot be meant as an image is listed here; raw and vector formats, which are
pictures, are not.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

NEVER_IMAGES = frozenset(
    """
    !sync !ut 3g2 3gp 7z aac aae aif aiff amr apk appref-ms arff aria2 arp asc asf avi avro
    bat bc bct bdm bz2 cab caf cfg cls cof comask conf cop cos cot cpg cpi cpp crdownload css csv
    ctg cue db db-journal db-shm db-wal dbf deb desktop divx dll dmg doc docm docx dop
    download dr4 eml epub exe f4v feather filepart flac flv gdoc geojson gguf go gpx gsheet
    gslides gz h5 hdf5 hpp htm html icloud ics inetloc info ini insv ipynb iso ithmb jar java
    jgw joblib js json jsonl jsx key kml kmz lnk lock log lrcat lrcat-shm lrcat-wal lrf
    lrfprev lrprev lrtemplate lrv lua lz4 lzma m2ts m2v m3u m3u8 m4a m4v mat md md5 mdb mex
    mid mkv mov mp mp3 mp4 mpeg mpg mpl mp~2 mp~3 mrk msg msgpack msi mts nav nextcloud nfo
    nksc npy npz numbers obs odg odp ods odt oga ogg ogv on1 onnx opdownload opus orc owncloud
    pages par2 parquet part partial pb pdf pgw pickle pkl pp3 ppt pptm pptx prj prototxt ps1
    pt pth py pyc rar rdata rds rm rmvb rpm rsls rst rtf safetensors sav sbn sbx sfv sh sha1
    sha256 sha512 shp shx sig so sql sqlite sqlite3 srt sub swf tar tex tflite tfrecord
    tfrecords tfw tgz thm tmp toml torrent ts tsv tsx ttf txt txz url vcf vob vrd vtt wav
    webloc webm whl wld wma wmv woff woff2 xls xlsm xlsx xml xmp xz yaml yml z zip zst
    """.split()  # noqa: SIM905  (a list of quoted strings is no easier to read)
)
"""Extensions of files that are never images."""

NEVER_NAMES = frozenset(
    """
    authors changelog changes checksums citation contributing contributors copying copyright
    dockerfile icon%0d install licence license makefile manifest md5sum md5sums news notice
    readme sha1sums sha256sum sha256sums sha512sums todo version _success
    """.split()  # noqa: SIM905
)
"""Names without an extension that are never an image's; case does not count."""

SYSTEM_FOLDERS = (
    "$RECYCLE.BIN",
    "RECYCLER",
    "RECYCLED",
    "System Volume Information",
    "FOUND.000",
    "LOST.DIR",
    "lost+found",
    "__MACOSX",
    "Network Trash Folder",
    "Temporary Items",
    "@eaDir",
    "@tmp",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "@Recently-Snapshot",
    "~snapshot",
    "THMBNL",
    "iPod Photo Cache",
)
"""Folders in which systems, network drives and cameras keep bins, snapshots and thumbnails."""

SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
"""Names, in lower case, of files in which systems note how a folder is shown."""

SYSTEM_SUFFIXES = (".lrdata", ".lrcat-data")
"""Ends of the names of folders that hold a photo manager's previews."""


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts))


# a part that is a dot or two is a name in a bucket, and hides nothing
_HIDDEN = re.compile(r"/\.(?!\.?(?:/|$))")
_FOLDERS = frozenset(name.lower() for name in SYSTEM_FOLDERS)
_LIBRARIES = r"\.(?:photoslibrary|photolibrary|aplibrary|migratedphotolibrary)"
_SYSTEM = re.compile(
    rf"/({_any_of(SYSTEM_FOLDERS)}|[^/]*({_any_of(SYSTEM_SUFFIXES)}))/", re.IGNORECASE
)
_LIBRARY = re.compile(rf"{_LIBRARIES}/(?!originals/|masters/)", re.IGNORECASE)
# what Windows and macOS note of a file, as another system sees it; some write the colon as U+F03A
_STREAM = re.compile(
    r".[:\uf022\uf03a](?:Zone\.Identifier|SmartScreen|AFP_\w+|com\.\w[\w.#]*)(?::\$DATA)?$"
)


def why_no_image(below: str, source: str = "") -> str:
    """Say why a name cannot be that of an image; empty if it can.

    Parameters
    ----------
    below : str
        Path below the source, percent-encoded where it is not plain text.
    source : str
        Name of the source itself, which may be a photo library.
    """
    folder, _, name = below.rpartition("/")
    return _why_no_images_in(folder, source) or _why_no_image_is(name)


def is_of_system(below: str, source: str = "") -> bool:
    """Whether a name is hidden, or of what a system and not a person put there.

    Parameters
    ----------
    below, source : str
        As for :func:`why_no_image`.
    """
    folder, _, name = below.rpartition("/")
    if _why_no_images_in(folder, source) or _why_of_system(name):
        return True
    return name.lower() in SYSTEM_FILES


@lru_cache
def _why_no_images_in(folder: str, source: str) -> str:
    # kept, since images come folder by folder
    path = f"/{folder}/"
    if _HIDDEN.search(path):
        return "hidden"
    if found := _SYSTEM.search(path):
        return f"in {found[1]}" if found[2] is None else f"in *{found[2]}"
    return "in a photo library, not an original" if _LIBRARY.search(f"{source}{path}") else ""


def _why_no_image_is(name: str) -> str:
    if why := _why_of_system(name):
        return why
    lower = name.lower()
    if lower in NEVER_NAMES:
        return name
    stem, _, extension = lower.rpartition(".")
    return f".{extension}" if stem and extension in NEVER_IMAGES else ""


def _why_of_system(name: str) -> str:
    if name.startswith(".") and name not in (".", ".."):
        return "hidden"
    lower = name.lower()
    if lower == "icon%0d":
        return "Icon"
    if (":" in name or not name.isascii()) and _STREAM.search(name):
        return "a note of the system"
    # a folder that cannot be read is listed itself
    return f"in {name}" if lower in _FOLDERS or lower.endswith(SYSTEM_SUFFIXES) else ""
