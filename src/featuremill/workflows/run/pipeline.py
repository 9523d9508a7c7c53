"""The main job: list images, embed what is new, commit it, reduce, write, report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from featuremill._utils import signals
from featuremill._utils.formatting import plural
from featuremill._utils.progress import Progress, Silent
from featuremill.config import DEFAULT_COMPONENTS, RejectLimit, RunConfig
from featuremill.dataset import csv_files, pca_files, tables
from featuremill.dataset.exclusions import require_finished
from featuremill.dataset.half_written import clean_up_after
from featuremill.dataset.ledger import RunRecord
from featuremill.dataset.lock import confirm, hold, lost
from featuremill.dataset.source_aliases import other_name
from featuremill.errors import DestinationError, FeaturemillError, InputError
from featuremill.pca import incremental, reduce, saved
from featuremill.pca.drift import Beyond, Drift
from featuremill.pca.incremental import Kept
from featuremill.pca.model import PCA, Moments
from featuremill.report.gather import REPORT, write_report
from featuremill.workers.memory import shortage
from featuremill.workers.spark import Background, spark_session
from featuremill.workflows.run.extraction import Extraction, too_many_rejects
from featuremill.workflows.run.prepare import Job, prepare, write_network

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
    progress = progress or Silent()
    return run_job(prepare(config, progress, own_session=spark is None), spark, progress)


def run_job(job: Job, spark: "SparkSession | None", progress: Progress) -> RunResult:
    """The part of :func:`run` that comes after all that can be refused was."""
    config = job.config
    record = RunRecord(job.run, config.description(), network=job.network.description(job.contract))
    with signals.deferred(), _held(job, record, progress):
        kept = incremental.find_kept(config, job.destination, record.network)
        other = other_name(job.source, job.destination)
        if other is not None:
            _warn(record, progress, other.warning(job.source.url))
        extraction = Extraction(job, record, progress)
        with record.timed("extract"):
            new = extraction.find_new()
            if not new:
                _account(job, extraction, record, progress)
        pca = standing = None if new else _standing_pca(job, kept, record, progress)
        if new or (config.reduce and pca is None):
            if spark is None:
                progress.say(f"starting Spark on {config.master}{shortage(config.master)}")
                progress.doing("starting Spark")
            with spark_session(config.master, spark) as session:
                if new:
                    with record.timed("extract"):
                        extraction.run(session)
                        _account(job, extraction, record, progress)
                with record.timed("reduce"):
                    progress.doing("reducing the features")
                    pca = _reduce(session, job, kept, record, progress)
        with record.timed("write"):
            progress.doing("writing the CSV and the report")
            confirm(job.destination)
            csv_files.write_rejects(job.destination, job.model_id)
            if pca is not None and pca is not standing:
                csv_files.write_matrix(job.destination, pca.n_components_)
                # after the CSV: where it is of these very tables, the next run keeps all outputs
                record.pca = _save_pca(job, pca, kept, record)
            beyond = (record.pca or {}).get("beyond")
            if beyond and (said := Beyond(**beyond).warning):
                _warn(record, progress, said)
            if pca is None and config.reduce:
                _discard_pca(job, record, progress)
            confirm(job.destination)
            write_report(job.destination, job.source, record, pca)
        record.status = "finished"
    _judge_rejects(record, config.max_rejects)
    return RunResult(job.destination.url, f"{job.destination.url}/{REPORT}", record, pca)


def _account(job: Job, extraction: Extraction, record: RunRecord, progress: Progress) -> None:
    """Close the books on the listing, after everything new was embedded."""
    ledger, listing = record.ledger, job.listing
    ledger.listed, ledger.skipped = listing.listed, listing.skipped.total()
    record.skipped = dict(listing.skipped)
    ledger.check()
    progress.say(str(ledger))
    if job.config.prune:
        _prune(job, extraction.gone(), record, progress)
    if job.replacing:
        _drop_other_models(job, record)
        write_network(job, replacing=False)
    gone = 0 if job.config.prune else extraction.count_gone()
    if gone:
        progress.say(
            f"{gone:,} images of earlier runs are gone from {job.source.url};"
            " their rows stay in every table, unless --prune is given"
        )
    if record.not_listed > gone:
        others = record.not_listed - gone
        progress.say(f"rows that stay, of other sources or of images not selected: {others:,}")
    missing = listing.selection.without_images(listing.labels)
    if missing:
        _warn(record, progress, f"no image of class {', '.join(missing)} in {job.source.url}")


@contextmanager
def _held(job: Job, record: RunRecord, progress: Progress) -> Iterator[None]:
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


def _clean_up_after(run: str | None, job: Job, progress: Progress) -> None:
    if run is None:
        return
    removed = clean_up_after(run, job.destination)
    if removed:
        progress.say(f"removed {removed} files that run {run} had not committed")


def _standing_pca(job: Job, kept: Kept | None, record: RunRecord, progress: Progress) -> PCA | None:
    """The PCA of an earlier run, if this one would leave the same, and its CSV is there."""
    config = job.config
    if kept is not None:
        description = incremental.still_reduced(job.destination, kept)
    else:
        wanted = {
            "n_components_requested": _components(config),
            "variance_requested": config.variance,
            "standardize": config.standardize,
            "network": dict(record.network),
        }
        description = pca_files.still_fits(job.destination, wanted) if config.reduce else None
    if description is None or job.destination.size(csv_files.MATRIX) is None:
        return None
    try:
        pca = saved.load_model(job.destination)
    except DestinationError as error:
        _warn(record, progress, f"a PCA is fitted anew: {error.problem}")
        return None
    record.pca = description
    progress.say("the features are those of the last PCA: it is kept, and so are its outputs")
    if kept is not None:
        measured = description.get("kept", {}).get("drift")
        found = Drift.described(measured) if measured else None
        _tell_drift(job, kept, found, record, progress)
    return pca


def _components(config: RunConfig) -> int | None:
    default = DEFAULT_COMPONENTS if config.variance is None else None
    return config.n_components or default


def _reduce(
    spark: "SparkSession", job: Job, kept: Kept | None, record: RunRecord, progress: Progress
) -> PCA | None:
    if not job.config.reduce:
        return None
    if kept is not None:
        return _extend(spark, job, kept, record, progress)
    return _fit(spark, job, record, progress)


def _extend(
    spark: "SparkSession", job: Job, kept: Kept, record: RunRecord, progress: Progress
) -> PCA:
    """Project what is new by a PCA that is there, and tell how far it is from what that is of."""
    measure = partial(incremental.measure_drift, spark, job.destination, kept, job.model_id)
    found: Drift | None = Background(measure).result()
    extend = partial(incremental.extend, spark, job.destination, kept, job.model_id, job.run)
    Background(extend).result()
    progress.say(
        f"the PCA of run {kept.description['run']} is kept:"
        f" {plural(kept.pca.n_components_, 'component')},"
        f" fitted to {plural(kept.pca.n_samples_, 'image')}"
    )
    _tell_drift(job, kept, found, record, progress)
    return kept.pca


def _tell_drift(
    job: Job, kept: Kept, found: Drift | None, record: RunRecord, progress: Progress
) -> None:
    if found is None:
        if incremental.is_traceable(job.destination, kept):
            progress.say("drift: there is no image that the PCA was not fitted to")
        else:
            _warn(
                record,
                progress,
                "drift: it can be measured no more, since the versions of features/ that tell"
                " which images the PCA was fitted to are gone, as after `featuremill forget`;"
                " run without --keep-pca to fit one anew",
            )
        return
    record.drift = found.description()
    if found.warning:
        _warn(record, progress, found.warning)
    else:
        progress.say(f"drift: {found}")


def _save_pca(job: Job, pca: PCA, kept: Kept | None, record: RunRecord) -> dict[str, Any]:
    if kept is None:
        return saved.save_model(job.destination, pca, record.network, job.run)
    return incremental.save_kept(job.destination, kept, record.drift, job.run)


def _discard_pca(job: Job, record: RunRecord, progress: Progress) -> None:
    """Where there can be no PCA now, leave none of images that may be gone."""
    destination = job.destination
    there = destination.size(csv_files.MATRIX) is not None
    destination.remove(csv_files.MATRIX)
    if saved.discard(destination, job.run) or there:
        _warn(
            record,
            progress,
            f"the PCA of an earlier run was of other images: {pca_files.MODEL_ARRAYS},"
            f" {pca_files.MODEL_DESCRIPTION} and {csv_files.MATRIX} are removed, reduced/ is empty",
        )


def _fit(spark: "SparkSession", job: Job, record: RunRecord, progress: Progress) -> PCA | None:
    config, destination, rows = job.config, job.destination, reduce.Rows(job.model_id)
    sums = partial(reduce.compute_moments, spark, destination, rows, job.network.n_features)
    moments: Moments = Background(sums).result()
    if moments.n < 2:
        _warn(record, progress, f"no PCA: it needs 2 images with features, there are {moments.n}")
        return None
    if not moments.variance().any():
        _warn(record, progress, f"no PCA: all {moments.n} images have the same features")
        return None
    pca = PCA.fit(
        moments,
        n_components=_components(config),
        variance=config.variance,
        standardize=config.standardize,
    )
    if pca.lowered_:
        _warn(
            record,
            progress,
            f"{plural(pca.n_components_, 'component')} instead of {pca.n_components_requested_}:"
            f" {plural(moments.n, 'image')} hold no more",
        )
    Background(partial(reduce.project, spark, destination, rows, pca, job.run)).result()
    held = pca.description()["variance_held"]
    hold = "holds" if pca.n_components_ == 1 else "hold"
    components = plural(pca.n_components_, "component")
    progress.say(f"{components} {hold} {100 * held:.2f} % of the variance")
    return pca


def _prune(job: Job, gone: list[str], record: RunRecord, progress: Progress) -> None:
    """Drop the rows of images that are gone, which the outputs are then made without."""
    if not gone:
        return
    _drop(job, record.chunks, tables.drop_paths(gone, job.model_id))
    record.pruned, record.not_listed = len(gone), record.not_listed - len(gone)
    progress.say(f"rows dropped, since their images are gone: {len(gone):,}")
    if not job.config.reduce and tables.reduced_table(job.destination).exists():
        _warn(
            record,
            progress,
            "reduced/ and the CSV still hold images that were pruned: run without --no-reduce",
        )


def _drop_other_models(job: Job, record: RunRecord) -> None:
    _drop(job, record.chunks + 1, tables.drop_other_models(job.model_id))


def _drop(job: Job, number: int, drop: Callable[[pa.RecordBatch], pa.Array]) -> None:
    """One more commit, after all features of the run are there."""
    table = tables.features_table(job.destination)
    rows = partial(tables.without_rows, table, f"{job.run}-{number:05d}-kept", drop)
    table.commit(job.run, number, [], removed=rows)


def _judge_rejects(record: RunRecord, limit: RejectLimit) -> None:
    if limit.exceeded(*record.ledger.judged()):
        raise too_many_rejects(record, str(limit))


def _warn(record: RunRecord, progress: Progress, warning: str) -> None:
    record.warnings.append(warning)
    progress.warn(warning)
