"""``python -m soak.images``: every decoder against damaged files, thousands of each format.

Each file goes through the child process in which a run decodes what killed a worker. It must be
decoded or rejected, in time and within the memory stated; a decoder that dies or hangs on it must
come out as one rejection. A file follows from the seed, its format and its number alone. Before
them come sound files that would cost more than they weigh.
"""

import argparse
import contextlib
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from featuremill.errors import ImageRejected
from featuremill.images.decode import FORMATS, Decoded, Limits, stated_pixels
from featuremill.images.sandbox import InChild
from soak.costly import COSTLY
from soak.mutate import mutant
from soak.pictures import valid_files

_SMALL_TARGET = (2, 2)
"""Of so small a network, that the small pictures here are decoded at 1/2 and 1/4 for it."""
_DECODED_SMALLER = (1, 2, 4, 8)
_SLACK_SECONDS = 5.0
"""Beyond the timeout, for the end of one child and the start of the next on a busy machine."""
_BYTES_PER_PIXEL = 16
"""Decoder's pixels of four bytes, a copy in another mode, a copy as RGB, and one turned upright."""
_BYTES_ANYWAY = 96 << 20
"""What a decoder may take whatever the size: files, tables, and what the child holds when idle."""
_IDLE_BYTES = 32 << 20
"""What a child holds when idle; where JPEGs may be decoded smaller, it holds Numba besides."""


@dataclass
class Tally:
    """What became of the mutants of one format."""

    format: str
    mutants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Mutants that ended the child, and what was said of each."""
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0

    def row(self) -> str:
        """The account in one line."""
        stages = " ".join(f"{name} {count:,}" for name, count in sorted(self.outcomes.items()))
        return (
            f"{self.format:9} {self.mutants:7,} mutants: {stages}; child lost {len(self.lost)},"
            f" slowest {1e3 * self.slowest:,.0f} ms, peak {self.peak / 2**20:,.0f} MiB,"
            f" failures {len(self.failures)}"
        )


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; 1 if anything was not as it must be."""
    options = _parse(arguments)
    limits = Limits(max_pixels=options.max_pixels)
    print(
        f"seed {options.seed}; limits: {limits.max_pixels:,} pixels, {options.timeout:g} s,"
        f" {_most_memory(limits) / 2**20:,.0f} MiB",
        flush=True,
    )
    if options.only:
        format_, _, number = options.only.partition(":")
        data = mutant(format_, options.seed, int(number))
        if options.save:
            options.save.write_bytes(data)
        tally = soak(format_, [int(number)], options.seed, limits, options.timeout)
        print("\n".join([tally.row(), *tally.lost, *tally.failures]))
        return 1 if tally.failures else 0
    failed = False
    with _quiet() as log:
        for name in COSTLY:
            tally = soak_costly(name, options.timeout)
            print("\n  ".join([tally.row(), *tally.lost, *tally.failures]), flush=True)
            failed = failed or bool(tally.failures)
        for format_ in options.formats:
            tally = soak(format_, range(options.mutations), options.seed, limits, options.timeout)
            print("\n  ".join([tally.row(), *tally.lost, *tally.failures]), flush=True)
            failed = failed or bool(tally.failures)
    if failed:
        print(f"what decoders printed: {log}")
        return 1
    Path(log).unlink()
    print("nothing was left unaccounted for")
    return 0


def soak(format_: str, numbers: Sequence[int], seed: int, limits: Limits, timeout: float) -> Tally:
    """Decode mutants of one format in a child process.

    Parameters
    ----------
    format_ : str
        One of :data:`featuremill.images.decode.FORMATS`.
    numbers : sequence of int
        Which mutants.
    timeout : float
        Seconds that one of them may take.
    """
    tally, most = Tally(format_), {}
    with (
        InChild(limits, timeout) as every_pixel,
        InChild(limits, timeout, target=_SMALL_TARGET) as smaller,
    ):
        for number in numbers:
            # only JPEGs can be decoded smaller than they are
            decoder = smaller if format_ == "JPEG" and number % 2 else every_pixel
            data = mutant(format_, seed, number)
            if decoder.pid is None:
                # the start of a child is nobody's time, and nobody's memory
                decoder.decode(valid_files(format_)[0])
                more = max(0, _idle(decoder.pid) - _IDLE_BYTES) if decoder is smaller else 0
                most[decoder] = _most_memory(limits) + more
            _try(decoder, data, f"{format_}:{number}", tally, limits, timeout, most[decoder])
    return tally


def soak_costly(name: str, timeout: float) -> Tally:
    """Decode a file of :mod:`soak.costly` in a child process of its own.

    What it may take is measured by its own pixels, not by the most that a picture may have.
    """
    tally = Tally(name)
    data = COSTLY[name]()
    pixels = max(1, stated_pixels(data, Limits()))  # 0 where the header is refused
    with InChild(Limits(), timeout) as decoder:
        decoder.decode(valid_files("PNG")[0])
        limits = Limits(max_pixels=pixels)
        _try(decoder, data, name, tally, limits, timeout, _most_memory(limits))
    return tally


def _try(
    decoder: InChild,
    data: bytes,
    name: str,
    tally: Tally,
    limits: Limits,
    timeout: float,
    most: int,
) -> None:
    child, said = decoder.pid, ""
    tally.mutants += 1
    started = time.perf_counter()
    try:
        decoded = decoder.decode(data)
    except ImageRejected as rejected:
        outcome, said = rejected.stage, rejected.reason
    except Exception as error:
        outcome, said = "error", repr(error)
        tally.failures.append(f"{name} {said}")
    else:
        outcome = "decoded"
        tally.failures += [f"{name} {what}" for what in _wrong(decoded, limits)]
    seconds = time.perf_counter() - started
    tally.outcomes[outcome] += 1
    tally.slowest = max(tally.slowest, seconds)
    if seconds > timeout + _SLACK_SECONDS:
        tally.failures.append(f"{name} took {seconds:.1f} s")
    if decoder.pid != child:
        tally.lost.append(f"{name} {outcome}: {said}")
        if outcome == "decoded":
            tally.failures.append(f"{name} ended the child and was decoded")
        return
    peak = peak_of(child)
    tally.peak = max(tally.peak, peak)
    if peak > most:
        tally.failures.append(f"{name} {outcome} {said}: peak {peak / 2**20:,.0f} MiB")
        # the next one is measured anew
        decoder.close()


def _wrong(decoded: Decoded, limits: Limits) -> Iterator[str]:
    pixels = decoded.pixels
    sizes = {
        (-(-decoded.height // part), -(-decoded.width // part), 3) for part in _DECODED_SMALLER
    }
    if pixels.dtype != "uint8" or pixels.shape not in sizes:
        yield f"pixels are {pixels.dtype} {pixels.shape}, size {decoded.width}x{decoded.height}"
    if not 0 < decoded.width * decoded.height <= limits.max_pixels:
        yield f"{decoded.width}x{decoded.height} is beyond the limit"


def _most_memory(limits: Limits) -> int:
    """Bytes that a child may have resident, all in all."""
    return _BYTES_ANYWAY + _BYTES_PER_PIXEL * limits.max_pixels


def _idle(pid: int | None) -> int:
    """What a process holds now, which its peak then begins from: Numba compiles at first."""
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file,
    ):
        file.write("5")
    return peak_of(pid)


def peak_of(pid: int | None) -> int:
    """Largest resident set of a process so far, in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


@contextlib.contextmanager
def _quiet() -> Iterator[str]:
    """Send what decoders print, also at their death, to a file, and yield its name."""
    os.environ["PYTHONFAULTHANDLER"] = "1"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.NamedTemporaryFile(prefix="soak-images-", suffix=".log", delete=False) as log:
        kept = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield log.name
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak.images", description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000, help="of each format")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, metavar="FORMAT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for one file")
    parser.add_argument("--max-pixels", type=int, default=4_000_000)
    parser.add_argument("--only", metavar="FORMAT:NUMBER", help="one file, with all that is said")
    parser.add_argument("--save", type=Path, metavar="FILE", help="with --only: keep that file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
