"""``python -m benchmarks [NAME ...]``: measure, print, and write the results down."""

import sys
from importlib import import_module

from benchmarks import BENCHMARKS
from benchmarks.measure import BenchmarkError
from benchmarks.options import parse
from benchmarks.results import publish


def main(arguments: list[str]) -> int:
    """Run the benchmarks that were asked for; one that fails does not keep others from running.

    Returns
    -------
    int
        Exit code: 0, or 1 if a benchmark failed.
    """
    names, options = parse(arguments, BENCHMARKS)
    options.data.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        benchmark = import_module(f"benchmarks.{name}")
        print(f"\n{benchmark.TITLE} ({name})", flush=True)
        try:
            publish(benchmark.measure(options), options, options.command(name))
        except BenchmarkError as error:
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
