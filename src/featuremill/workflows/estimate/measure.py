"""Estimates what a whole run would take on this machine, from runs of a sample.

Three runs of the very pipeline in one Spark session, below a temporary folder: a few images pay
what every run pays once; the sample's tasks tell what one image costs; and the sample's features,
multiplied, what a row costs in the PCA and the outputs, which a sample's few rows would not show.
"""

import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from featuremill._utils import signals
from featuremill._utils.formatting import plural
from featuremill._utils.hardware import Peak, peak_memory
from featuremill._utils.progress import Progress
from featuremill.config import DEFAULT_SAMPLE, RejectLimit, RunConfig
from featuremill.config.option import at_least
from featuremill.dataset.ledger import RunRecord, new_run_id
from featuremill.dataset.schemas import (
    FEATURES,
    FEATURES_FOLDER,
    OK,
    REDUCED_FOLDER,
    feature_writer,
)
from featuremill.dataset.tables import DataFile, features_table
from featuremill.errors import ConfigError
from featuremill.report.gather import MOST_POINTS, REPORT
from featuremill.storage import Store, open_store
from featuremill.storage.listing import Listing, Reference, Rejection, Selection, pack
from featuremill.workers.memory import local_tasks
from featuremill.workers.opening import opening
from featuremill.workers.protocol import Opening, Workers
from featuremill.workflows.estimate.extrapolate import Growth, Measurement, largest_task
from featuremill.workflows.run import modules_of_tasks
from featuremill.workflows.run.chunks import task_count
from featuremill.workflows.run.pipeline import Run
from featuremill.workflows.run.prepare import PreparedRun, prepare
from featuremill.workflows.run.probe import SAMPLE_PER_SLOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MULTIPLIED = 16_384
"""Rows over which the PCA and the outputs are timed; below the points that a report shows."""
_MOST_FILES = 64
_NOISE = 1e-3
"""Share by which multiplied features differ, or they would hold no more components."""


@dataclass(frozen=True)
class Estimate:
    """The estimate of a whole run.

    Parameters
    ----------
    images, classes, skipped : int
        What the source holds.
    image_bytes : int
        Size of all images.
    sample, rejected : int
        Images that were run, and how many of them were rejected.
    precision : str
        In which most of them were computed; empty if not one was.
    seconds : mapping of str to float
        ``start``, ``list`` (which goes on alongside the next), ``features``, ``reduce``,
        ``write`` and ``total``.
    images_per_second : float
        While embedding.
    peak_bytes : int
        Memory of the process and all it starts.
    output_bytes : mapping of str to int
        ``features``, ``reduced``, ``csv``, ``report``, ``model`` and ``total``.
    after_each, output_each : float
        Seconds of ``reduce`` and ``write``, and bytes of the outputs, that one more image adds.
    warnings : tuple of str
        What the runs of the sample warned of.
    """

    images: int
    classes: int
    skipped: int
    image_bytes: int
    sample: int
    rejected: int
    precision: str
    seconds: Mapping[str, float]
    images_per_second: float
    peak_bytes: int
    output_bytes: Mapping[str, int]
    after_each: float
    output_each: float
    warnings: tuple[str, ...] = ()


def estimate(
    config: RunConfig,
    *,
    sample: int = DEFAULT_SAMPLE,
    spark: "SparkSession | None" = None,
    progress: Progress | None = None,
) -> Estimate:
    """Predict time, memory and output sizes of a run to a new destination on this machine.

    Parameters
    ----------
    config : RunConfig
        The run; its destination is neither looked at nor touched.
    sample : int
        Images to try it with, at least 1; drawn evenly from the source, the same each time.
    spark, progress
        As for :func:`featuremill.run`.

    Raises
    ------
    InputError
        For whatever a run would refuse, for fewer images than the sample, for other machines.
    RunError
        If the sample could not be run to its end.
    """
    at_least(1, f"The default is {DEFAULT_SAMPLE}.").check("--sample", sample)
    if spark is None and config.master is not None and local_tasks(config.master) is None:
        raise _not_here(f"--master is {config.master}")
    progress = progress or Progress()
    begun = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="featuremill-estimate-") as folder,
        peak_memory() as peak,
        opening(config, spark, modules_of_tasks(config.engine), progress) as workers_to_be,
    ):
        job = prepare(replace(config, destination=folder), progress)
        progress.doing(f"listing {config.source}")
        prepared = time.perf_counter()
        try:
            chosen, image_bytes = choose(job.listing, sample)
        finally:
            job.listing.close()
        listed = time.perf_counter()
        if len(chosen) < sample:
            raise ConfigError(
                f"{config.source} holds {plural(len(chosen), 'image')}, fewer than the sample of"
                f" {sample:,}: nothing was run",
                "Run the job itself, which takes no longer, or give a smaller --sample.",
            )
        progress.say(f"{job.listing.selected:,} images listed")
        progress.doing("running a sample")
        # as in a run: while workers start
        threading.Thread(target=job.network.ready_for, args=(job.fast_precision,)).start()
        with signals.deferred(), workers_to_be.start() as workers:
            started = time.perf_counter()
            if workers.master is not None and local_tasks(workers.master) is None:
                raise _not_here(f"the workers are {workers.description}")
            trial = _try(workers, job, chosen, peak, progress)
            tried = time.perf_counter()
        stopped = time.perf_counter()
    start = (prepared - begun) + (started - listed) + (stopped - tried)
    measured = _measurement(trial, chosen, start, listed - begun)
    return _estimate(job, trial.sample, measured, len(chosen), image_bytes)


def choose(
    items: Iterable[Reference | Rejection], count: int
) -> tuple[list[Reference | Rejection], int]:
    """Draw so many items, each as likely as any other, in their order; and the bytes of all."""
    random = Random(0)
    chosen: list[tuple[int, Reference | Rejection]] = []
    size = 0
    for index, item in enumerate(items):
        size += (item.reference if isinstance(item, Rejection) else item).bytes
        if index < count:
            chosen.append((index, item))
        elif (place := random.randrange(index + 1)) < count:
            chosen[place] = index, item
    return [item for _, item in sorted(chosen, key=lambda drawn: drawn[0])], size


class _Chosen(Listing):
    """A listing of what was chosen from another one."""

    def __init__(self, source: Store, chosen: Sequence[Reference | Rejection]) -> None:
        self._items = chosen
        super().__init__(source, Selection())

    def _references(self) -> Iterator[Reference | Rejection]:
        for item in self._items:
            self.listed += 1
            yield item


@dataclass(frozen=True)
class _Trial:
    """Records of the three runs, and the bytes of the outputs after each of the last two.

    ``multiplied_images`` are as many as would give the third run's rows.
    """

    slots: int
    first: RunRecord
    sample: RunRecord
    multiplied: RunRecord
    multiplied_images: int
    sample_bytes: Mapping[str, int]
    multiplied_bytes: Mapping[str, int]
    peak_bytes: int
    reducing_bytes: int

    @property
    def seconds_each(self) -> float:
        """Seconds an image, by what the sample's tasks took: starting and committing them apart."""
        return self.sample.worker_seconds / (self.slots * self.sample.ledger.listed)


def _try(
    workers: Workers,
    job: PreparedRun,
    chosen: Sequence[Reference | Rejection],
    peak: Peak,
    progress: Progress,
) -> _Trial:
    folder, count = Path(job.config.destination), workers.slots
    there = Opening.of(workers)
    few = chosen[: SAMPLE_PER_SLOT * count]
    progress.say(f"embedding {len(few)} images")
    first = Run(_job(job, folder / "first", few), Progress()).finish(there).record
    peak_bytes = peak.bytes
    progress.say(f"embedding a sample of {len(chosen):,} images")
    destination = folder / "sample"
    sample = Run(_job(job, destination, chosen), Progress()).finish(there).record
    sample_bytes = _sizes(destination)
    held = peak.restart()
    rows = sample.ledger.embedded
    if rows:
        wanted = max(_MULTIPLIED, 2 * rows)
        progress.say(f"reducing {wanted:,} rows like those of the sample")
        again = _job(job, destination, chosen)
        each = sample.worker_seconds / (count * len(chosen))
        largest = largest_task(job.listing.selected, each, count)
        _multiply(again, wanted, max(largest, wanted // _MOST_FILES))
        multiplied = Run(again, Progress()).finish(there).record
        images = len(chosen) * wanted // rows
    else:
        multiplied, images = sample, len(chosen)
    return _Trial(
        slots=count,
        first=first,
        sample=sample,
        multiplied=multiplied,
        multiplied_images=images,
        sample_bytes=sample_bytes,
        multiplied_bytes=_sizes(destination),
        peak_bytes=peak_bytes,
        reducing_bytes=peak.bytes - held,
    )


def _job(
    job: PreparedRun, destination: Path, chosen: Sequence[Reference | Rejection]
) -> PreparedRun:
    """A run of what was chosen, whatever is rejected of it."""
    config = replace(
        job.config,
        destination=str(destination),
        include=(),
        exclude=(),
        classes=(),
        max_rejects=RejectLimit(share=1.0),
    )
    return replace(
        job,
        config=config,
        run=new_run_id(),
        destination=open_store(destination),
        listing=_Chosen(job.source, chosen),
    )


def _multiply(job: PreparedRun, wanted: int, rows_per_file: int) -> None:
    """Commit more rows to a features table, much like those it has, until it holds so many."""
    table = features_table(job.destination)
    held = pa.Table.from_batches(table.batches(table.files(status=OK)))
    random = np.random.default_rng(0)
    files: list[DataFile] = []
    for start in range(held.num_rows, wanted, rows_per_file):
        stop = min(wanted, start + rows_per_file)
        rows = held.take(np.arange(start, stop) % held.num_rows).combine_chunks()
        features = rows["features"].chunk(0)
        values = features.flatten().to_numpy()
        noisy = values * (1 + _NOISE * random.standard_normal(len(values), np.float32))
        lists = pa.ListArray.from_arrays(features.offsets, noisy)
        rows = rows.set_column(rows.schema.get_field_index("features"), "features", lists)
        name = f"status={OK}/{job.run}-{len(files):05d}.parquet"
        sink = pa.BufferOutputStream()
        with feature_writer(sink) as writer:
            writer.write_table(rows.cast(FEATURES))
        data = sink.getvalue()
        job.destination.write(f"{FEATURES_FOLDER}/{name}", data)
        files.append(DataFile(name, len(rows), len(data), {"status": OK}))
    table.commit(job.run, 0, files)


def _measurement(
    trial: _Trial,
    chosen: Sequence[Reference | Rejection],
    start: float,
    listing: float,
) -> Measurement:
    first, sample, multiplied = trial.first, trial.sample, trial.multiplied
    few, images, many = first.ledger.listed, len(chosen), trial.multiplied_images

    def warm(stage: str) -> Growth:
        return Growth.through(
            (images, _seconds(sample, stage)), (many, _seconds(multiplied, stage))
        )

    def output(name: str, most: int | None = None) -> Growth:
        small, large = trial.sample_bytes.get(name, 0), trial.multiplied_bytes.get(name, 0)
        return replace(Growth.through((images, small), (many, large)), most=most)

    return Measurement(
        start=start,
        listing=listing,
        stages={
            "features": Growth(few, _seconds(first, "extract"), trial.seconds_each),
            # the very first is slower than Spark will be later
            "reduce": Growth(few, _seconds(first, "reduce"), warm("reduce").each),
            "write": warm("write"),
        },
        outputs={
            "features": output(FEATURES_FOLDER),
            "reduced": output(REDUCED_FOLDER),
            "csv": output("csv"),
            "report": output(REPORT, MOST_POINTS),
            # its size follows the components, not the images
            "model": Growth(many, trial.multiplied_bytes.get("model", 0), 0.0),
        },
        peak_bytes=trial.peak_bytes,
        reducing_bytes=trial.reducing_bytes,
        reference_bytes=len(pack(chosen)) / images,
        task_rows=few // task_count(few, trial.slots),
        slots=trial.slots,
    )


def _estimate(
    job: PreparedRun, sample: RunRecord, measured: Measurement, count: int, image_bytes: int
) -> Estimate:
    images, each = job.listing.selected, measured.stages["features"].each
    warnings = list(sample.warnings)
    rejected, processed = sample.ledger.judged()
    limit = job.config.max_rejects
    if limit.exceeded(rejected, processed):
        warnings.append(
            f"{rejected:,} of {processed:,} sampled images were rejected, --max-rejects is {limit}:"
            " the run would fail"
        )
    return Estimate(
        images=images,
        classes=len(job.listing.labels),
        skipped=job.listing.skipped.total(),
        image_bytes=image_bytes,
        sample=count,
        rejected=rejected,
        precision=max(sample.precision, key=sample.precision.__getitem__, default=""),
        seconds=measured.seconds(images),
        images_per_second=1 / each if each else 0.0,
        peak_bytes=measured.memory_bytes(images),
        output_bytes=measured.output_bytes(images),
        after_each=measured.stages["reduce"].each + measured.stages["write"].each,
        output_each=sum(line.each for line in measured.outputs.values() if line.most is None),
        warnings=tuple(warnings),
    )


def _seconds(record: RunRecord, stage: str) -> float:
    return record.seconds.get(stage, 0.0)


def _sizes(destination: Path) -> dict[str, int]:
    """Bytes of everything a destination holds, by its first name."""
    return {
        entry.name: sum(
            path.stat().st_size for path in [entry, *entry.rglob("*")] if path.is_file()
        )
        for entry in destination.iterdir()
    }


def _not_here(what: str) -> ConfigError:
    return ConfigError(
        f"{what}, but an estimate measures this machine only",
        "Leave --master out, or name a local one such as local[*] or local[2].",
    )
