"""What was measured, as a table on the screen, a JSON file, and a page made of all JSON files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import BENCHMARKS
from benchmarks.options import Options
from featuremill._utils import hardware

Cell = str | int | float | None


@dataclass(frozen=True)
class Result:
    """One benchmark's table.

    Parameters
    ----------
    name : str
        The benchmark's module.
    title : str
        A heading for people.
    columns : sequence of str
        Headings, with the unit where there is one: ``images/s``, ``peak MB``.
    rows : sequence of sequences
        One cell for each column: text, a number (rounded only where it is shown), or None for
        what could not be measured.
    notes : sequence of str
        What a reader must know: what is included, what could not be measured, and why.
    measurements : sequence of mappings
        What the rows were made of, round by round; kept in the JSON file only.
    versions : mapping
        Versions of the contenders' packages.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    measurements: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def publish(result: Result, options: Options, command: str) -> None:
    """Print a result's table, write its JSON file and bring RESULTS.md up to date.

    Parameters
    ----------
    result : Result
    options : Options
        ``results`` is the folder of the JSON file; RESULTS.md is written beside that folder.
    command : str
        How to measure it again.
    """
    page = {
        **vars(result),
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "images": options.images,
        "subset": options.subset,
        "rounds": options.rounds,
        "model": options.model,
        "weights": options.weights.name if options.weights else None,
        "hardware": hardware.hardware(),
        "versions": hardware.versions() | dict(result.versions),
    }
    options.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(page, indent=2, ensure_ascii=False)
    (options.results / f"{result.name}.json").write_text(text + "\n")
    print("\n".join(["", result.title, *_aligned(result.columns, result.rows)]))
    for note in result.notes:
        print(f"- {note}")
    write_page(options.results)


def write_page(results: Path) -> None:
    """Write RESULTS.md beside the folder of results, from its JSON files alone."""
    pages = [json.loads(path.read_text()) for path in results.glob("*.json")]
    pages.sort(key=lambda page: BENCHMARKS.index(page["name"]))
    sections = [_section(page) for page in pages]
    head = "# Results\n\nWritten by `python -m benchmarks` from `results/*.json`."
    (results.parent / "RESULTS.md").write_text("\n\n".join([head, *sections]) + "\n")


def _section(page: Mapping[str, Any]) -> str:
    table = _aligned(page["columns"], page["rows"], edge="| ", gap=" | ", end=" |")
    to_left = _text_columns(page["columns"], page["rows"])
    bars = "|" + "".join("---|" if left else "---:|" for left in to_left)
    hardware = page["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in page["versions"].items())
    facts = [
        f"{page['date']}, rounds: {page['rounds']}, {page['model']}"
        + (f" with {page['weights']}" if page["weights"] else ""),
        f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['memory_gib']} GiB,"
        f" {hardware['system']}",
        versions,
    ]
    notes = [f"- {note}" for note in page["notes"]]
    parts = [
        f"## {page['title']}",
        f"```sh\n{page['command']}\n```",
        "\n".join([table[0], bars, *table[1:]]),
        *(["\n".join(notes)] if notes else []),
        "<sub>" + " · ".join(facts) + "</sub>",
    ]
    return "\n\n".join(parts)


def _text_columns(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[bool]:
    return [any(isinstance(row[n], str) for row in rows) for n in range(len(columns))]


def _aligned(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    edge: str = "",
    gap: str = "  ",
    end: str = "",
) -> list[str]:
    """A table's lines, text to the left and numbers to the right."""
    texts = [list(columns), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in texts) for n in range(len(columns))]
    left = _text_columns(columns, rows)
    return [
        edge
        + gap.join(
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip(" " if not end else "")
        + end
        for line in texts
    ]


def _shown(cell: Cell) -> str:
    """A cell as text: four digits, or six just below 1, where a cosine's distance from 1 counts."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 1000:
        return f"{cell:,.0f}"
    if 0.99 <= cell < 1:
        return f"{cell:.6f}"
    return f"{cell:.4g}"
