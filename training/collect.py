"""Collects the photographs that the small network is trained on.

The photographs lie in public git repositories, which `sources.toml` lists with a pinned commit
each. Everything that decides which photographs come out is fixed: files are taken in sorted order,
a cap picks by a seeded hash of the path, and of look-alikes the first one met stays. So two people
who run this with the same list get the same manifest.
"""

import argparse
import csv
import dataclasses
import fnmatch
import hashlib
import io
import logging
import re
import subprocess
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
LARGEST_FILE = 4_000_000
SMALLEST_FILE = 1_500
SHORTEST_SIDE = 140
NEAR = 4  # of 64 bits: copies that were scaled or compressed anew differ in about this many
FLATTEST = 6.0  # standard deviation of grey below which a hash says nothing about the picture
WORKERS_CHUNK = 64

log = logging.getLogger("collect")


@dataclasses.dataclass(frozen=True)
class Source:
    """One entry of the list: which files of which commit, and how many at most."""

    name: str
    repository: str
    commit: str
    files: tuple[str, ...]
    cap: int | None


@dataclasses.dataclass(frozen=True)
class Blob:
    """One file of a commit, with the object that holds its bytes."""

    oid: str
    path: str


@dataclasses.dataclass(frozen=True)
class Photo:
    """One file that decoded: what the manifest says of it and what tells copies apart."""

    path: Path
    width: int
    height: int
    sha256: str
    look: int


def read_sources(listing: Path) -> list[Source]:
    """Reads the entries in the file's order, which decides who keeps a shared photograph."""
    with listing.open("rb") as file:
        entries = tomllib.load(file)["source"]
    return [
        Source(one["name"], one["repository"], one["commit"], tuple(one["files"]), one.get("cap"))
        for one in entries
    ]


def git(directory: Path, *arguments: str) -> bytes:
    """Runs git in a bare repository and returns what it printed."""
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def holds(directory: Path, commit: str) -> bool:
    """Tells whether a repository has a commit, so that a stale mirror is not taken for a copy."""
    command = ["git", "-C", str(directory), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def mirror_of(source: Source, mirrors: Path) -> Path | None:
    """Finds the git directory somewhere below `owner+name`, if it has the pinned commit."""
    top = mirrors / source.repository.replace("/", "+")
    heads = sorted(top.rglob("HEAD")) if top.is_dir() else []
    for directory in (head.parent for head in heads if (head.parent / "objects").is_dir()):
        if holds(directory, source.commit):
            return directory
    return None


def git_directory(source: Source, mirrors: Path) -> Path:
    """Returns a repository that has the pinned commit; brings just that commit where none does."""
    found = mirror_of(source, mirrors)
    if found is not None:
        return found
    directory = mirrors / source.repository.replace("/", "+") / "git"
    directory.mkdir(parents=True, exist_ok=True)
    git(directory, "init", "--quiet", "--bare")
    url = f"https://github.com/{source.repository}"
    git(directory, "fetch", "--quiet", "--depth", "1", url, source.commit)
    return directory


def blobs(directory: Path, source: Source) -> Iterator[Blob]:
    """Yields the commit's picture files that the source asks for, one path for each content."""
    seen = set[str]()
    for line in git(directory, "ls-tree", "-r", "-l", "-z", source.commit).split(b"\0"):
        head, _, name = line.partition(b"\t")
        fields, path = head.split(), name.decode("utf-8", "replace")
        if not name or not fields[0].startswith(b"100"):
            continue  # a link or a submodule: following one could lead out of the repository
        oid = fields[2].decode()
        size = int(fields[3]) if fields[3].isdigit() else 0  # a partial mirror lacks the largest
        wanted = any(fnmatch.fnmatchcase(path, pattern) for pattern in source.files)
        picture = PurePosixPath(path).suffix.lower() in SUFFIXES
        if wanted and picture and SMALLEST_FILE <= size <= LARGEST_FILE and oid not in seen:
            seen.add(oid)
            yield Blob(oid, path)


def capped(candidates: Iterable[Blob], cap: int | None, seed: int) -> list[Blob]:
    """Picks at most `cap` files by a seeded hash, so that no folder is favoured, in path order."""

    def lot(blob: Blob) -> str:
        return hashlib.sha256(f"{seed}:{blob.path}".encode()).hexdigest()

    return sorted(sorted(candidates, key=lot)[:cap], key=lambda blob: blob.path)


def file_name(blob: Blob) -> str:
    """Names a file so that no path of a repository can reach outside the folder or collide."""
    path = PurePosixPath(blob.path)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem)[:60]
    return f"{stem}-{blob.oid[:10]}{path.suffix.lower()}"


def extract(directory: Path, wanted: Sequence[Blob], folder: Path) -> list[Path]:
    """Writes the files through a single git process; those there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / file_name(blob) for blob in wanted]
    missing = [
        (blob, path) for blob, path in zip(wanted, targets, strict=True) if not path.exists()
    ]
    command = ["git", "-C", str(directory), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for blob, path in missing:
            process.stdin.write(f"{blob.oid}\n".encode())
            process.stdin.flush()
            size = int(process.stdout.readline().split()[2])
            part = path.with_suffix(".part")  # so that a run cut short leaves no half picture
            part.write_bytes(process.stdout.read(size))
            part.rename(path)
            process.stdout.read(1)
        process.stdin.close()
    return targets


def difference_hash(image: Image.Image) -> int | None:
    """Hashes the look of a picture: 64 signs of the slope of grey; None where there is no look."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    if float(grey.std()) < FLATTEST:
        return None
    signs = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(signs.tobytes(), "big")


def inspect(path: Path) -> Photo | str:
    """Decodes a picture at the smallest scale its format offers; returns why not, if not."""
    content = path.read_bytes()
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
            warnings.simplefilter("ignore", UserWarning)  # of odd palettes and metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            width, height = image.size
            if min(width, height) < SHORTEST_SIDE:
                return "too small"
            image.draft("L", (64, 64))
            look = difference_hash(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning):
        return "does not decode"
    if look is None:
        return "flat"
    return Photo(path, width, height, hashlib.sha256(content).hexdigest(), look)


def near(hashes: npt.NDArray[np.uint64], look: int) -> bool:
    """Tells whether any of the hashes is at most NEAR bits away."""
    return bool((np.bitwise_count(hashes ^ np.uint64(look)) <= NEAR).any())


def pictures_below(folders: Iterable[Path]) -> list[Path]:
    """Lists the picture files below some folders, in order."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def distinct(
    checked: Iterable[tuple[str, Photo | str]], excluded: Sequence[Photo], room: int
) -> Iterator[tuple[str, Photo | str]]:
    """Passes on the first of any look-alikes; replaces the others by the reason."""
    barred = np.array([picture.look for picture in excluded], dtype=np.uint64)
    kept, count = np.zeros(room, dtype=np.uint64), 0
    digests = set[str]()
    for group, photo in checked:
        if isinstance(photo, str):
            yield group, photo
        elif photo.sha256 in digests:
            yield group, "copy"
        elif near(barred, photo.look):
            yield group, "like an excluded picture"
        elif near(kept[:count], photo.look):
            yield group, "near copy"
        else:
            digests.add(photo.sha256)
            kept[count], count = photo.look, count + 1
            yield group, photo


def gather(source: Source, options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Extracts one source; returns for each file its group, the folder it lay in, and its path."""
    directory = git_directory(source, options.mirrors)
    wanted = capped(blobs(directory, source), source.cap, options.seed)
    paths = extract(directory, wanted, options.out / source.name)
    groups = [f"{source.name}/{PurePosixPath(blob.path).parent.name}" for blob in wanted]
    log.info("%s: %d files", source.name, len(paths))
    return list(zip(groups, paths, strict=True))


def write_manifest(out: Path, rows: Iterable[tuple[str, Photo]]) -> None:
    """Writes the list of photographs, with paths relative to its own folder."""
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "path", "width", "height", "group"])
        for group, photo in rows:
            path = photo.path.relative_to(out).as_posix()
            writer.writerow([group.partition("/")[0], path, photo.width, photo.height, group])


def collect(options: argparse.Namespace) -> None:
    """Extracts every source, drops what is no use or there twice, and writes the manifest."""
    sources = read_sources(options.sources)
    files = [entry for source in sources for entry in gather(source, options)]
    with ProcessPoolExecutor(options.jobs) as pool:
        barred = pool.map(inspect, pictures_below(options.exclude), chunksize=WORKERS_CHUNK)
        excluded = [photo for photo in barred if isinstance(photo, Photo)]
        checked = pool.map(inspect, [path for _, path in files], chunksize=WORKERS_CHUNK)
        grouped = zip((group for group, _ in files), checked, strict=True)
        verdicts = list(distinct(grouped, excluded, len(files)))
    kept = [(group, photo) for group, photo in verdicts if isinstance(photo, Photo)]
    write_manifest(options.out, kept)
    tally = Counter(
        (group.partition("/")[0], "kept" if isinstance(photo, Photo) else photo)
        for group, photo in verdicts
    )
    for (name, verdict), count in sorted(tally.items()):
        log.info("%-28s %-26s %6d", name, verdict, count)
    log.info("%d photographs of %d files", len(kept), len(files))


def arguments() -> argparse.ArgumentParser:
    """Describes the command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the photographs and manifest.csv")
    add(
        "--mirrors",
        type=Path,
        required=True,
        help="folder of bare repositories named owner+name; what it lacks is fetched into it",
    )
    add("--sources", type=Path, default=here / "sources.toml", help="list (default: %(default)s)")
    add(
        "--exclude",
        type=Path,
        action="append",
        default=[],
        help="folder of pictures to keep out, with all that look like them (may be repeated)",
    )
    add("--seed", type=int, default=0, help="seed of the draw where a cap applies (default: 0)")
    add("--jobs", type=int, default=2, help="processes that decode (default: 2)")
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    collect(arguments().parse_args())
