"""How soon similar images, duplicates and outliers of the whole set are found."""

import re
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.datasets import fruits
from benchmarks.measure import FEATUREMILL, BenchmarkError, in_turn, run_measured
from benchmarks.options import Options
from benchmarks.results import Cell, Result

NAME = "search"
TITLE = "Similar images, duplicates and outliers of the whole set"

COLUMNS = ("command", "seconds", "of them comparing", "peak MB")

MODEL = "embedded"

_COMPARED = re.compile(r"compared with [\d,]+ images in ([\d.]+) s")


def measure(options: Options) -> Result:
    """Embed the set once, then ask in turn."""
    pictures = fruits(options)
    image = min(pictures.rglob("*.jpg"))
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        run_measured([FEATUREMILL, "run", pictures, folder, "--model", MODEL])
        searches: Mapping[str, Sequence[str | Path]] = {
            "similar": ["similar", folder, image],
            "similar --on reduced": ["similar", folder, image, "--on", "reduced"],
            "duplicates": ["duplicates", folder],
            "duplicates --threshold 0.995": ["duplicates", folder, "--threshold", "0.995"],
            "duplicates --on reduced": ["duplicates", folder, "--on", "reduced"],
            "outliers": ["outliers", folder],
            "outliers --on reduced": ["outliers", folder, "--on", "reduced"],
        }
        contenders = {name: partial(_ask, words) for name, words in searches.items()}
        rounds = in_turn(contenders, options.rounds)
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(name, [answers[name] for answers in rounds]) for name in searches],
        notes=[
            f"{options.images:,} images, 1280 features of `{MODEL}` or 50 components of them; the"
            " results lie on a local disk.",
            "Seconds are of the whole process, from its start: `similar` mostly loads. How long it"
            " compares the one image with all others is told by the program itself.",
        ],
        measurements=rounds,
    )


def _ask(words: Sequence[str | Path]) -> Mapping[str, Any]:
    measured = run_measured([FEATUREMILL, *words], samples_per_second=5)
    answer: dict[str, Any] = {"seconds": measured.seconds, "peak_bytes": measured.peak_bytes}
    if words[0] == "similar":
        compared = _COMPARED.search(measured.output)
        if compared is None:
            raise BenchmarkError(f"similar does not say how long it took:\n{measured.output}")
        answer["comparing"] = float(compared[1])
    return answer


def _row(name: str, answers: Sequence[Mapping[str, Any]]) -> list[Cell]:
    comparing = [answer["comparing"] for answer in answers if "comparing" in answer]
    return [
        name,
        statistics.median(answer["seconds"] for answer in answers),
        statistics.median(comparing) if comparing else None,
        statistics.median(answer["peak_bytes"] for answer in answers) / 1e6,
    ]
