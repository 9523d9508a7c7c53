"""Archives that cost more than they show are refused, or asked about, before they cost it."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from featuremill.cloud.transfer.sources import SPARSE, Entry, Found, LeftOut, open_source
from featuremill.errors import SourceError
from featuremill.storage import archive_bounds as bounds
from featuremill.storage.archive_bounds import Xz

MIB = 1 << 20


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*texts: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header of records."""
    records = b""
    for text in texts:
        length = len(text) + 3
        while len(f"{length} ") + len(text) + 1 != length:
            length = len(f"{length} ") + len(text) + 1
        records += f"{length} ".encode() + text + b"\n"
    return header("PaxHeaders/x", len(records), kind) + padded(records)


def sparse(size: int, *, continued: bool = False) -> bytes:
    block = bytearray(header("big.jpg", 0, tarfile.GNUTYPE_SPARSE))
    block[386:410] = b"%011o\0%011o\0" % (0, 0)
    block[482] = continued
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1)


LARGE = 64 * MIB


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header("x", LARGE, tarfile.XHDTYPE) + bytes(LARGE), "a header of 67,108,864 bytes"),
        (header("x", LARGE, tarfile.XGLTYPE) + bytes(LARGE), "a header of 67,108,864 bytes"),
        (header("x", LARGE, tarfile.GNUTYPE_LONGNAME) + b"x" * LARGE, "a header of 67,108,864"),
        (header("x", LARGE, tarfile.GNUTYPE_LONGLINK) + b"x" * LARGE, "a header of 67,108,864"),
        (
            b"".join(
                pax(b"k%d=%s" % (n, b"v" * (MIB // 2)), kind=tarfile.XGLTYPE) + header(f"{n}.jpg")
                for n in range(64)
            ),
            "a header of",
        ),
        (pax(b"comment=x") * 5_000 + header("0.jpg"), "more than 8 headers before one file"),
        (sparse(9, continued=True) + (b"\1" * 504 + b"\1" + bytes(7)) * 100_000, "many pieces"),
        (
            pax(b"GNU.sparse.major=1", b"GNU.sparse.minor=0")
            + header("GNUSparseFile.0/0.jpg", LARGE)
            + b"99999999\n" * 7_000_000,
            "many pieces",
        ),
    ],
    ids=["pax", "global", "name", "link", "globals", "row", "map", "map in pax"],
)
def test_a_header_that_takes_memory_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(packed(content))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=said) as refused:
            list(open_source(str(tmp_path / "a.tar.gz")).entries())
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert "unpack it with care" in refused.value.remedy


def test_ordinary_long_names_and_notes_are_read(tmp_path: Path) -> None:
    name = "/".join(["long" * 20] * 9) + "/é.jpg"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
            for each in (name, "0.jpg"):
                info = tarfile.TarInfo(each)
                info.pax_headers = {"comment": "x" * 60_000}
                archive.addfile(info)
        found = list(open_source(str(tmp_path / "a.tar")).entries())
        assert [each.name for each in found] == [name, "0.jpg"]


def read(file: Path, *, agree: bool) -> tuple[list[Found], list[str]]:
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return agree

    return list(open_source(str(file)).entries(answer)), asked


def zeros(file: Path) -> None:
    with tarfile.open(file, "w:gz") as archive:
        for n in range(3):
            info = tarfile.TarInfo(f"{n}.jpg")
            info.size = 4 * MIB
            archive.addfile(info, io.BytesIO(bytes(info.size)))


def zeros_zipped(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(3):
            archive.writestr(f"{n}.jpg", bytes(4 * MIB))


def huge(file: Path) -> None:
    # 8 GiB are claimed: that it is not there must not have to be found out
    file.write_bytes(packed(header("0.jpg", (8 << 30) - 1) + bytes(MIB)))


def trailing(file: Path) -> None:
    file.write_bytes(packed(header("0.jpg") + bytes(12 * MIB)))


def full_of_holes(file: Path) -> None:
    file.write_bytes(sparse(1 << 30) + bytes(1024))


@pytest.mark.parametrize("make", [zeros, zeros_zipped, huge, trailing, full_of_holes])
def test_what_unpacks_to_many_times_its_size_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(bounds, "FROM_BYTES", MIB)
    file = tmp_path / ("a.zip" if make is zeros_zipped else "a.tar.gz")
    make(file)
    size = file.stat().st_size
    with pytest.raises(SourceError, match=f"more than 100 times its {size:,} bytes") as refused:
        read(file, agree=False)
    assert "say --yes" in refused.value.remedy


def test_who_agrees_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FROM_BYTES", MIB)
    zeros(tmp_path / "a.tar.gz")
    found, asked = read(tmp_path / "a.tar.gz", agree=True)
    assert [each.name for each in found] == ["0.jpg", "1.jpg", "2.jpg"]
    (question,) = asked
    assert question.endswith(" bytes. Go on?")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_very_many_files_are_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(bounds, "MOST_FILES", 20)
    file = tmp_path / f"a.{kind}"
    with tarfile.open(file, "w") if kind == "tar" else zipfile.ZipFile(file, "w") as archive:
        for n in range(21):
            if isinstance(archive, tarfile.TarFile):
                archive.addfile(tarfile.TarInfo(f"{n}.jpg"))
            else:
                archive.writestr(f"{n}.jpg", b"")
    with pytest.raises(SourceError, match="more than 20 files, each a request that S3 charges"):
        read(file, agree=False)
    assert len(read(file, agree=True)[0]) == 21


def test_an_ordinary_archive_is_not_asked_about(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("drawn.bmp")
        info.size = 40 * MIB
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    assert read(tmp_path / "a.tar.gz", agree=False)[1] == []


def test_a_sparse_file_stays_behind(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(sparse(100) + header("0.jpg") + bytes(1024))
    found, _ = read(tmp_path / "a.tar", agree=False)
    assert found[0] == LeftOut("big.jpg", SPARSE)
    assert isinstance(found[1], Entry)


def test_a_table_of_contents_that_takes_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LARGEST_DIRECTORY", 1_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for n in range(30):
            archive.writestr(f"{n}.jpg", b"")
    with pytest.raises(SourceError, match="a table of contents of 1,550 bytes, more than 1,000"):
        read(tmp_path / "a.zip", agree=True)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_method_unpacks_at_once_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("0.jpg", bytes(32 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="compressed by a rare method") as refused:
            read(tmp_path / "a.zip", agree=True)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert refused.value.remedy == "Unpack it and upload the folder."


def with_dictionary(xz: bytes, code: int) -> bytes:
    """The same .xz file, which says that it needs a larger dictionary."""
    size = 4 * (xz[12] + 1)
    block = bytearray(xz[12 : 12 + size])
    block[block.index(b"\x21\x01") + 2] = code
    block[-4:] = struct.pack("<I", zlib.crc32(bytes(block[:-4])))
    return xz[:12] + bytes(block) + xz[12 + size :]


def test_an_xz_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    whole = lzma.compress(header("0.jpg") + bytes(1024))
    (tmp_path / "a.tar.xz").write_bytes(with_dictionary(whole, 40))
    with pytest.raises(SourceError, match="more than 128 MiB of memory") as refused:
        read(tmp_path / "a.tar.xz", agree=True)
    assert "xz -9" in refused.value.remedy


def test_every_xz_is_read_as_lzma_reads_it() -> None:
    one, other = lzma.compress(b"one" * 99_999, preset=9), lzma.compress(b"other")
    whole, rest = b"one" * 99_999, b"other"
    for data, expected in (
        (one, whole),
        (one + other, whole + rest),
        (one + bytes(8) + other, whole + rest),
        (one + bytes(200_000) + other, whole + rest),
        (one + bytes(4), whole),
        (lzma.compress(b""), b""),
    ):
        assert io.BufferedReader(Xz(io.BytesIO(data))).read() == expected
    with pytest.raises(EOFError):
        io.BufferedReader(Xz(io.BytesIO(one[:-9]))).read()
    with pytest.raises(lzma.LZMAError):
        io.BufferedReader(Xz(io.BytesIO(one + b"no xz, but something"))).read()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_large_file_is_held_once(tmp_path: Path, kind: str) -> None:
    data = bytes(96 * MIB)
    file = tmp_path / f"a.{kind}"
    if kind == "tar":
        file.write_bytes(packed(header("0.jpg", len(data)) + data + bytes(1024)))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("0.jpg", data)
    tracemalloc.start()
    try:
        ((entry,), _) = read(file, agree=True)
        assert tracemalloc.get_traced_memory()[1] < 112 * MIB
    finally:
        tracemalloc.stop()
    assert isinstance(entry, Entry)
    assert entry.read() == data


def test_a_file_of_a_zip_that_is_damaged_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.jpg", b"a picture")
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole.replace(b"a picture", b"a pIcture"))
    with pytest.raises(SourceError, match="Bad CRC-32"):
        read(tmp_path / "a.zip", agree=True)


@pytest.mark.long
def test_nothing_is_unpacked_at_once_by_any_compression(tmp_path: Path) -> None:
    content = header("0.bin", 300 * MIB) + bytes(300 * MIB)
    for name, pack in (("gz", packed), ("bz2", bz2.compress), ("xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(content))
    del content
    for name in ("gz", "bz2", "xz"):
        file = tmp_path / f"{name}.tar"
        (tmp_path / name).rename(file)
        tracemalloc.start()
        try:
            found, _ = read(file, agree=True)
            assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        finally:
            tracemalloc.stop()
        assert found == [LeftOut("0.bin", "larger than 256 MiB")]
