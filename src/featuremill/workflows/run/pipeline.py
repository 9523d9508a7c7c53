"""The main job: list images, embed what is new, commit it, reduce, write, report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from featuremill._utils import signals
from featuremill._utils.progress import Progress
from featuremill.config import RunConfig
from featuremill.dataset import csv_files, tables
from featuremill.dataset.exclusions import require_finished
from featuremill.dataset.half_written import clean_up_after
from featuremill.dataset.ledger import RunRecord
from featuremill.dataset.lock import confirm, hold, lost
from featuremill.dataset.source_aliases import other_name
from featuremill.errors import FeaturemillError, InputError
from featuremill.pca.components import PCA
from featuremill.report.gather import REPORT, write_report
from featuremill.workers.opening import opening
from featuremill.workers.protocol import Opening
from featuremill.workflows.run import modules_of_tasks
from featuremill.workflows.run.extraction import Extraction, too_many_rejects
from featuremill.workflows.run.prepare import PreparedRun, prepare, write_network
from featuremill.workflows.run.reduction import Reduction

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class RunResult:
    """What a finished run gives back.

    ``pca`` is None where the run was asked not to reduce or there was nothing to reduce.
    """

    destination: str
    report: str
    record: RunRecord
    pca: PCA | None


def run(
    config: RunConfig, *, spark: "SparkSession | None" = None, progress: Progress | None = None
) -> RunResult:
    """Turn a source of images into a features table, a PCA, its outputs and a report.

    Parameters
    ----------
    config : RunConfig
        What to do.
    spark : SparkSession, optional
        A session to work in; it is left as it was. Without it the one that this process has is
        taken, or else one is started and stopped.
    progress : Progress, optional
        Is told how far the run is.

    Raises
    ------
    InputError
        If something was refused before anything was written.
    TooManyRejectsError
        If more images were rejected than allowed; all outputs are written nevertheless, unless
        the run was stopped early.
    RunError
        If the run could not be finished. What was committed stays, and the same call goes on
        from there.
    """
    progress = progress or Progress()
    with opening(config, spark, modules_of_tasks(config.engine), progress) as workers:
        return run_with(workers, config, progress)


def run_with(workers: Opening, config: RunConfig, progress: Progress) -> RunResult:
    """Do the same with workers that may be starting already; see :func:`run`."""
    return Run(prepare(config, progress), progress).finish(workers)


class Run:
    """A run that may begin: everything that can be refused was.

    Parameters
    ----------
    job : PreparedRun
        What to do, checked.
    progress : Progress
        Is told how far the run is.
    """

    def __init__(self, job: PreparedRun, progress: Progress) -> None:
        self.job = job
        self.record = RunRecord(
            job.run, job.config.description(), network=job.network.description(job.contract)
        )
        self._progress = progress
        self._extraction = Extraction(job, self.record, progress)
        self._reduction = Reduction(job, self.record, progress)

    def finish(self, opening: Opening) -> RunResult:
        """Embed what is new, reduce, and write all outputs.

        Parameters
        ----------
        opening : Opening
            Of the workers, which are asked for only if there is work.
        """
        with signals.deferred(), _held(self.job, self.record, self._progress):
            self._reduction.find_kept()
            self._warn_of_another_name()
            new = self._find_new()
            pca = None if new else self._reduction.standing()
            stands = pca is not None
            if new or (self.job.config.reduce and not stands):
                pca = self._work(opening, new=new)
            with self.record.timed("write"):
                self._write(pca, stands=stands)
            self.record.status = "finished"
        limit = self.job.config.max_rejects
        if limit.exceeded(*self.record.ledger.judged()):
            raise too_many_rejects(self.record, str(limit))
        url = self.job.destination.url
        return RunResult(url, f"{url}/{REPORT}", self.record, pca)

    def _warn_of_another_name(self) -> None:
        other = other_name(self.job.source, self.job.destination)
        if other is not None:
            self._warn(other.warning(self.job.source.url))

    def _find_new(self) -> bool:
        self._progress.doing(f"listing {self.job.source.url}")
        with self.record.timed("extract"):
            new = self._extraction.find_new()
            if not new:
                self._account()
        return new

    def _work(self, opening: Opening, *, new: bool) -> PCA | None:
        """The part that needs workers; returns the PCA, if there is to be one."""
        progress = self._progress
        if opening.starting:
            progress.say(opening.starting)
            progress.doing(opening.starting)
        with opening.start() as workers:
            self.record.workers = {
                "description": workers.description,
                "slots": workers.slots,
                "master": workers.master,
            }
            if new:
                with self.record.timed("extract"):
                    self._extraction.run(workers)
                    self._account()
            with self.record.timed("reduce"):
                progress.doing("reducing the features")
                return self._reduction.reduce(workers)

    def _write(self, pca: PCA | None, *, stands: bool) -> None:
        job = self.job
        self._progress.doing("writing the CSV and the report")
        confirm(job.destination)
        csv_files.write_rejects(job.destination, job.model_id)
        if pca is not None and not stands:
            csv_files.write_matrix(job.destination, pca.n_components_)
            # after the CSV: where it is of these very tables, the next run keeps all outputs
            self._reduction.save(pca)
        self._reduction.warn_of_far_scores()
        if pca is None and job.config.reduce:
            self._reduction.discard()
        confirm(job.destination)
        write_report(job.destination, job.source, self.record, pca)

    def _account(self) -> None:
        """Close the books on the listing, after everything new was embedded."""
        job, record, listing = self.job, self.record, self.job.listing
        record.ledger.listed, record.ledger.skipped = listing.listed, listing.skipped.total()
        record.skipped = dict(listing.skipped)
        record.ledger.check()
        self._progress.say(record.ledger.summary())
        if job.config.prune:
            self._prune(self._extraction.gone())
        if job.replacing:
            self.drop_other_models()
            write_network(job, replacing=False)
        self._tell_of_other_rows(0 if job.config.prune else self._extraction.count_gone())
        if missing := listing.missing_classes():
            self._warn(missing)

    def _tell_of_other_rows(self, gone: int) -> None:
        if gone:
            self._progress.say(
                f"{gone:,} images of earlier runs are gone from {self.job.source.url};"
                " their rows stay in every table, unless --prune is given"
            )
        others = self.record.not_listed - gone
        if others > 0:
            self._progress.say(
                f"rows that stay, of other sources or of images not selected: {others:,}"
            )

    def _prune(self, gone: list[str]) -> None:
        """Drop the rows of images that are gone, which the outputs are then made without."""
        if not gone:
            return
        job, record = self.job, self.record
        self._drop(record.chunks, tables.drop_paths(gone, job.model_id))
        record.pruned, record.not_listed = len(gone), record.not_listed - len(gone)
        self._progress.say(f"rows dropped, since their images are gone: {len(gone):,}")
        if not job.config.reduce and tables.reduced_table(job.destination).exists():
            self._warn(
                "reduced/ and the CSV still hold images that were pruned: run without --no-reduce"
            )

    def drop_other_models(self) -> None:
        """Drop the rows that ``--replace-model`` has replaced."""
        self._drop(self.record.chunks + 1, tables.drop_other_models(self.job.model_id))

    def _drop(self, number: int, drop: Callable[[pa.RecordBatch], pa.Array]) -> None:
        """One more commit, after all features of the run are there."""
        table = tables.features_table(self.job.destination)
        rows = partial(tables.without_rows, table, f"{self.job.run}-{number:05d}-kept", drop)
        table.commit(self.job.run, number, [], removed=rows)

    def _warn(self, warning: str) -> None:
        self.record.warnings.append(warning)
        self._progress.warn(warning)


@contextmanager
def _held(job: PreparedRun, record: RunRecord, progress: Progress) -> Iterator[None]:
    """Hold the destination, and leave behind nothing that was not committed."""
    try:
        with hold(job.destination, job.run, progress.say) as dead_run:
            require_finished(job.destination)
            if dead_run is not None:
                tables.features_table(job.destination).fence(job.run)
                _clean_up_after(dead_run, job, progress)
            try:
                yield
            except InputError:
                # nothing was begun
                raise
            except BaseException as error:
                record.status = f"failed: {type(lost(job.destination, error) or error).__name__}"
                # where storage is what failed, the first failure is the one to hear of
                with suppress(FeaturemillError):
                    record.save(job.destination)
                    _clean_up_after(job.run, job, progress)
                raise
            record.save(job.destination)
            _clean_up_after(job.run, job, progress)
    finally:
        job.listing.close()


def _clean_up_after(run: str, job: PreparedRun, progress: Progress) -> None:
    removed = clean_up_after(run, job.destination)
    if removed:
        progress.say(f"removed {removed} files that run {run} had not committed")
