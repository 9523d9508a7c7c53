"""What a benchmark is told: where things lie and how much to measure."""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

_DEFAULTS = {"rounds": 3, "images": 67_692, "subset": 4_000}  # images: as many as Fruits-360 has
_QUICK = {"rounds": 1, "images": 1_048, "subset": 262}


@dataclass(frozen=True)
class Options:
    """What all benchmarks share.

    Parameters
    ----------
    data : Path
        Folder for everything that is made once and reused: pictures, virtual environments.
    results : Path
        Folder for one JSON file per benchmark; ``RESULTS.md`` stands beside it.
    weights : Path, optional
        Keras .h5 file with real weights; without it the network is the untrained one, which is
        as fast but whose features mean nothing.
    quick : bool
        Small sizes: to see that everything works, not to quote.
    rounds : int
        How often every contender runs, in turn with the others.
    images : int
        Pictures in the whole set.
    subset : int
        Pictures for contenders too slow for the whole set.
    """

    data: Path = HERE / "data"
    results: Path = HERE / "results"
    weights: Path | None = None
    quick: bool = False
    rounds: int = _DEFAULTS["rounds"]
    images: int = _DEFAULTS["images"]
    subset: int = _DEFAULTS["subset"]

    @property
    def model(self) -> str:
        """Name of the model, as ``featuremill run --model`` takes it."""
        return "mobilenetv2" if self.weights else "mobilenetv2-untrained"

    def model_arguments(self) -> list[str]:
        """The options of ``featuremill run`` that choose the model."""
        weights = ["--weights", str(self.weights)] if self.weights else []
        return ["--model", self.model, *weights]

    def command(self, name: str) -> str:
        """The command line that measures a benchmark like this, without this machine's folders."""
        words = ["python", "-m", "benchmarks", name, *(["--quick"] if self.quick else [])]
        for number, default in (_QUICK if self.quick else _DEFAULTS).items():
            if getattr(self, number) != default:
                words += [f"--{number}", str(getattr(self, number))]
        if self.weights:
            words += ["--weights", self.weights.name]
        return shlex.join(words)


def parse(arguments: Sequence[str], known: Sequence[str]) -> tuple[list[str], Options]:
    """Read a command line.

    Parameters
    ----------
    arguments : sequence of str
        The command line without the program's name.
    known : sequence of str
        Names of all benchmarks.

    Returns
    -------
    names : list of str
        The benchmarks to run, in the order of ``known``.
    options : Options
    """
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure featuremill.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all works")
    parser.add_argument("--weights", type=Path, help="Keras .h5 file (else: untrained)")
    parser.add_argument("--data", type=Path, default=Options.data, help="folder for what is reused")
    for number, meaning in (
        ("rounds", "how often each contender runs"),
        ("images", "pictures in the whole set"),
        ("subset", "pictures for contenders too slow for the whole set"),
    ):
        parser.add_argument(f"--{number}", type=_positive, help=f"{meaning} ({_DEFAULTS[number]})")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(known)}")
    if given.weights and not given.weights.is_file():
        parser.error(f"--weights {given.weights} is no file")
    data = given.data.resolve()
    # what --quick measures is not for quoting, and must not replace what is
    results = data / "quick" / "results" if given.quick else Options.results
    defaults = _QUICK if given.quick else _DEFAULTS
    numbers = {number: getattr(given, number) or defaults[number] for number in defaults}
    numbers["subset"] = min(numbers["subset"], numbers["images"])
    weights = given.weights.resolve() if given.weights else None
    options = Options(data, results, weights, given.quick, **numbers)
    return [name for name in known if name in given.names or not given.names], options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number
