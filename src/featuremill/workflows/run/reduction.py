"""The PCA of a run: the one that stands, one fitted to all features, or one kept and extended."""

from functools import partial
from typing import Any

from featuremill._utils.formatting import plural, tenths
from featuremill._utils.progress import Progress
from featuremill.config import DEFAULT_COMPONENTS
from featuremill.dataset import csv_files, model_files
from featuremill.dataset.ledger import RunRecord
from featuremill.errors import DestinationError
from featuremill.pca import incremental, reduce, saved
from featuremill.pca.components import PCA, Moments
from featuremill.pca.drift import Beyond, Drift
from featuremill.pca.incremental import KeptPca
from featuremill.workers.protocol import Workers
from featuremill.workflows.run.prepare import PreparedRun


class Reduction:
    """From the features of a destination to its PCA, as a run is asked to.

    Parameters
    ----------
    job : PreparedRun
    record : RunRecord
        Is told of the PCA, the drift and the warnings.
    progress : Progress
    kept : KeptPca, optional
        The PCA that is kept instead of fitting one, if that is known already.
    """

    def __init__(
        self, job: PreparedRun, record: RunRecord, progress: Progress, kept: KeptPca | None = None
    ) -> None:
        self._job, self._record, self._progress = job, record, progress
        self._kept = kept

    def find_kept(self) -> None:
        """Look up the PCA that the run is asked to keep, now that nobody else writes there."""
        job = self._job
        self._kept = incremental.find_kept(job.config, job.destination, self._record.network)

    def standing(self) -> PCA | None:
        """The PCA of an earlier run, if this one would leave the same, and its CSV is there."""
        destination = self._job.destination
        description = self._standing_description()
        if description is None or destination.size(csv_files.MATRIX) is None:
            return None
        try:
            pca = saved.load_model(destination)
        except DestinationError as error:
            self._warn(f"a PCA is fitted anew: {error.problem}")
            return None
        self._record.pca = description
        self._progress.say(
            "the features are those of the last PCA: it is kept, and so are its outputs"
        )
        if self._kept is not None:
            measured = description.get("kept", {}).get("drift")
            self.tell_drift(Drift.described(measured) if measured else None)
        return pca

    def _standing_description(self) -> dict[str, Any] | None:
        config, destination = self._job.config, self._job.destination
        if self._kept is not None:
            return incremental.still_reduced(destination, self._kept)
        if not config.reduce:
            return None
        wanted = {
            "n_components_requested": self._components(),
            "variance_requested": config.variance,
            "standardize": config.standardize,
            "network": dict(self._record.network),
        }
        return model_files.still_fits(destination, wanted)

    def _components(self) -> int | None:
        config = self._job.config
        return config.n_components or (DEFAULT_COMPONENTS if config.variance is None else None)

    def reduce(self, workers: Workers) -> PCA | None:
        """Fit a PCA to all features, or extend the one that is kept; None where there is none."""
        if not self._job.config.reduce:
            return None
        return self._fit(workers) if self._kept is None else self._extend(workers, self._kept)

    def _extend(self, workers: Workers, kept: KeptPca) -> PCA:
        """Project what is new by the kept PCA, and tell how far it is from what that is of."""
        job = self._job
        measure = partial(incremental.measure_drift, workers, job.destination, kept, job.model_id)
        found: Drift | None = workers.background(measure).result()
        extend = partial(incremental.extend, workers, job.destination, kept, job.model_id, job.run)
        workers.background(extend).result()
        self._progress.say(
            f"the PCA of run {kept.description['run']} is kept:"
            f" {plural(kept.pca.n_components_, 'component')},"
            f" fitted to {plural(kept.pca.n_samples_, 'image')}"
        )
        self.tell_drift(found)
        return kept.pca

    def tell_drift(self, found: Drift | None) -> None:
        """Record how far the images are from those that the kept PCA was fitted to."""
        if found is None:
            if self._kept is not None and incremental.is_traceable(
                self._job.destination, self._kept
            ):
                self._progress.say("drift: there is no image that the PCA was not fitted to")
            else:
                self._warn(
                    "drift: it can be measured no more, since the versions of features/ that tell"
                    " which images the PCA was fitted to are gone, as after `featuremill forget`;"
                    " run without --keep-pca to fit one anew"
                )
            return
        self._record.drift = found.description()
        if found.warning:
            self._warn(found.warning)
        else:
            self._progress.say(f"drift: {found}")

    def _fit(self, workers: Workers) -> PCA | None:
        job, config = self._job, self._job.config
        rows = reduce.RowSelection(job.model_id)
        n_features = job.network.n_features
        sums = partial(reduce.compute_moments, workers, job.destination, rows, n_features)
        moments: Moments = workers.background(sums).result()
        if moments.n < 2:
            self._warn(f"no PCA: it needs 2 images with features, there are {moments.n}")
            return None
        if not moments.variance().any():
            self._warn(f"no PCA: all {moments.n} images have the same features")
            return None
        pca = PCA.fit(
            moments,
            n_components=self._components(),
            variance=config.variance,
            standardize=config.standardize,
        )
        if pca.lowered_:
            self._warn(
                f"{plural(pca.n_components_, 'component')} instead of"
                f" {pca.n_components_requested_}: {plural(moments.n, 'image')} hold no more"
            )
        project = partial(reduce.project, workers, job.destination, rows, pca, job.run)
        workers.background(project).result()
        held = pca.description()["variance_held"]
        hold = "holds" if pca.n_components_ == 1 else "hold"
        components = plural(pca.n_components_, "component")
        self._progress.say(f"{components} {hold} {tenths(held):.1f} % of the variance")
        return pca

    def save(self, pca: PCA) -> None:
        """Write the PCA and what it is of."""
        job, record = self._job, self._record
        record.pca = (
            saved.save_model(job.destination, pca, record.network, job.run)
            if self._kept is None
            else incremental.save_kept(job.destination, self._kept, record.drift, job.run)
        )

    def warn_of_far_scores(self) -> None:
        """Warn of rows whose scores are far beyond those that the PCA was fitted to."""
        beyond = (self._record.pca or {}).get("beyond")
        if beyond and (said := Beyond(**beyond).warning):
            self._warn(said)

    def discard(self) -> None:
        """Where there can be no PCA now, leave none of images that may be gone."""
        destination = self._job.destination
        there = destination.size(csv_files.MATRIX) is not None
        destination.remove(csv_files.MATRIX)
        if saved.discard(destination, self._job.run) or there:
            self._warn(
                f"the PCA of an earlier run was of other images: {model_files.MODEL_ARRAYS},"
                f" {model_files.MODEL_DESCRIPTION} and {csv_files.MATRIX} are removed,"
                " reduced/ is empty"
            )

    def _warn(self, warning: str) -> None:
        self._record.warnings.append(warning)
        self._progress.warn(warning)
