"""``python -m soak [--minutes M] [--seed S]``: run, kill and audit until the time is over."""

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from soak import plan, trial
from soak.disk import small_disk
from soak.rounds import RUNS_PER_ROUND, Soak


def main(arguments: list[str]) -> int:
    """Soak, and say what was done and what was wrong.

    Returns
    -------
    int
        Exit code: 0, or 1 if anything was lost, doubled or left behind.
    """
    options = _parse(arguments)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {text}", flush=True)

    def over() -> bool:
        return options.round is None and time.monotonic() - started > 60 * options.minutes

    with small_disk(folder / "dest") as disk:
        soak = Soak(options.seed, folder, disk, say, kinds=options.workers or plan.KINDS)
        say(f"seed {options.seed}; {RUNS_PER_ROUND} runs in a round; in {folder}")
        if disk is None:
            say("no full and no read-only disk: that needs Linux and the right to mount one")
        try:
            soak.prepare()
            number = options.round or 1
            while True:
                soak.round(number, over)
                number += 1
                if over() or options.round is not None:
                    break
        finally:
            soak.close()
            _print_account(soak)
    if not soak.mismatches:
        shutil.rmtree(folder)
    return 1 if soak.mismatches else 0


def _print_account(soak: Soak) -> None:
    for what, count in sorted(soak.operations.items(), key=lambda item: -item[1]):
        print(f"{count:7,} × {what}")
    killed = ", ".join(f"{soak.operations[what]} × {what}" for what in trial.KILLS)
    print(f"{soak.kills:7,} kills in all: {killed}")
    print(f"{len(soak.mismatches):7,} mismatches, seed {soak.seed}")
    for mismatch in soak.mismatches:
        print(f"  {mismatch}")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (30)")
    parser.add_argument("--seed", type=int, default=None, help="what is drawn; else a new one")
    parser.add_argument(
        "--workers", nargs="+", choices=plan.KINDS, help="kinds of workers that runs have (all)"
    )
    parser.add_argument("--round", type=int, help="this round only, to see a mismatch again")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
