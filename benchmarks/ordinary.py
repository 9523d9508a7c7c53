"""Ordinary hardware: what remains where a CPU has AVX2 and nothing newer."""

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.agreement import smallest_cosine
from benchmarks.datasets import subset
from benchmarks.measure import FEATUREMILL, in_turn, newest_record, run_measured
from benchmarks.options import HERE, Options
from benchmarks.results import Cell, Result
from featuremill import load_features

NAME = "ordinary"
TITLE = "Ordinary hardware: the same CPU held to AVX2"
COLUMNS = (
    *("", "precision", "computed in", "convolutions in", "engine alone images/s"),
    "stage images/s",
    *("stage against all of the CPU", "smallest cosine"),
)

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}


@dataclass(frozen=True)
class Contender:
    """An engine, a precision as ``featuremill run`` takes it, and what holds the CPU back."""

    label: str
    engine: str
    precision: str
    environment: Mapping[str, str]
    like: str
    """Label of the contender with all of the CPU at the same precision."""

    def arguments(self, options: Options) -> list[str]:
        """The options of ``featuremill run`` that choose what is computed and how."""
        return ["--engine", self.engine, "--precision", self.precision, *options.model_arguments()]


ALL_AUTO, ALL_FP32 = "all of the CPU", "all of the CPU, fp32"
CONTENDERS = (
    Contender(ALL_AUTO, "openvino", "auto", {}, ALL_AUTO),
    Contender(ALL_FP32, "openvino", "fp32", {}, ALL_FP32),
    Contender("AVX2", "openvino", "auto", AVX2, ALL_AUTO),
    Contender("AVX2, fp32", "openvino", "fp32", AVX2, ALL_FP32),
    Contender("ONNX Runtime", "onnxruntime", "fp32", {}, ALL_FP32),
)


def measure(options: Options) -> Result:
    """Engines alone, and the feature stage of the subset with each, in turn."""
    pictures = subset(options, options.subset)
    with ExitStack() as stack:
        folders = {
            contender.label: Path(
                stack.enter_context(tempfile.TemporaryDirectory(dir=options.data))
            )
            for contender in CONTENDERS
        }
        rounds = in_turn(
            {
                contender.label: partial(
                    _measure_one, options, contender, pictures, folders[contender.label]
                )
                for contender in CONTENDERS
            },
            options.rounds,
        )
        newest = {label: _newest(folder) for label, folder in folders.items()}
        reference = load_features(newest[ALL_FP32])
        cosines = {
            label: smallest_cosine(load_features(folder), reference)
            for label, folder in newest.items()
        }
    return Result(
        NAME,
        TITLE,
        COLUMNS,
        [_row(contender, rounds, cosines[contender.label]) for contender in CONTENDERS],
        _notes(options),
        measurements=rounds,
    )


def _measure_one(
    options: Options, contender: Contender, pictures: Path, folder: Path
) -> Mapping[str, Any]:
    destination = Path(tempfile.mkdtemp(dir=folder))
    arguments = contender.arguments(options)
    run_measured(
        [FEATUREMILL, "run", pictures, destination, "--no-reduce", *arguments],
        env=contender.environment,
    )
    record = newest_record(destination)
    # what auto chose, so that the engine alone computes the same
    computed_in = max(record["precision"], key=record["precision"].get)
    alone = [sys.executable, "-m", "benchmarks.contenders.engine_alone"]
    arguments = ["--engine", contender.engine, "--precision", computed_in]
    answer = run_measured(
        [*alone, *arguments, *options.model_arguments()],
        cwd=HERE.parent,
        env=contender.environment,
    ).answer
    return {
        "computed_in": computed_in,
        "alone": answer["images_per_second"],
        "instructions": answer["instructions"],
        "stage": record["images_per_second"],
    }


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda destination: destination.stat().st_mtime)


def _row(
    contender: Contender, rounds: Sequence[Mapping[str, Mapping[str, Any]]], cosine: float
) -> list[Cell]:
    runs = [answers[contender.label] for answers in rounds]
    ratios = [
        answers[contender.label]["stage"] / answers[contender.like]["stage"] for answers in rounds
    ]
    return [
        contender.label,
        contender.precision,
        runs[0]["computed_in"],
        runs[0]["instructions"],
        statistics.median(run["alone"] for run in runs),
        statistics.median(run["stage"] for run in runs),
        statistics.median(ratios),
        cosine,
    ]


def _notes(options: Options) -> list[str]:
    return [
        f"{options.subset:,} JPEGs of 100x100 pixels. Engine alone: one thread, batches of eight,"
        " random pixels. Stage: all cores, from the first chunk sent to the last commit.",
        "AVX2: ONEDNN_MAX_CPU_ISA=AVX2, which oneDNN's kernels in OpenVINO obey, and so all"
        " convolutions; what OpenVINO adds itself (the pooling) and the decoding do not. ONNX"
        " Runtime knows no such switch, uses what the CPU has, and doesn't say what.",
        "All of the CPU: at the same precision, fp32 for ONNX Runtime. The cosine is to OpenVINO's"
        " fp32 with all of the CPU, the smallest over these images.",
    ]
