"""Runs all checks of a destination, and returns what they found."""

from dataclasses import dataclass, field

from featuremill._utils import paths
from featuremill._utils.progress import Progress
from featuremill.dataset.csv_files import MATRIX
from featuremill.dataset.model_files import MODEL_ARRAYS, MODEL_DESCRIPTION
from featuremill.dataset.schemas import REDUCED_FOLDER
from featuremill.dataset.tables import DataFile, features_table, reduced_table
from featuremill.pca.components import PCA
from featuremill.storage import Store, open_store
from featuremill.workflows.check import csv_files, rows, source
from featuremill.workflows.check import pca as model
from featuremill.workflows.check.findings import FAILED, Check, CheckConfig, Findings
from featuremill.workflows.check.run import Held, look_at
from featuremill.workflows.check.scan import Advance, FeatureRows, scan_features, scan_reduced
from featuremill.workflows.check.tables import check_table

_REDUCED_FILES = tuple(f"{REDUCED_FOLDER}.{part}" for part in ("schema", "files", "readable"))


@dataclass(frozen=True)
class CheckResult:
    """Everything that was looked at, in the order in which it was."""

    destination: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.status == FAILED)

    @property
    def ok(self) -> bool:
        """Whether none failed."""
        return not self.failed


def check(config: CheckConfig, *, progress: Progress | None = None) -> CheckResult:
    """Look at every part of a result; nothing is written.

    Parameters
    ----------
    config : CheckConfig
        The result, and what is expected of it.
    progress : Progress, optional
        Is told how many feature rows have been read.

    Raises
    ------
    InputError
        If the destination holds no result, or the source cannot be listed.
    StorageError
        If storage fails.
    """
    opened = {"endpoint_url": config.endpoint_url, "region": config.region}
    store = open_store(config.destination, **opened)
    origin = open_store(config.source, **opened) if config.source is not None else None
    if origin is not None:
        # before a long table is read in vain
        next(origin.list(), None)
    return _Work(config, store, origin, progress or Progress()).all_of_it()


@dataclass
class _Work:
    """One check while it is made."""

    config: CheckConfig
    store: Store
    origin: Store | None
    progress: Progress
    findings: Findings = field(default_factory=Findings)

    def all_of_it(self) -> CheckResult:
        findings, held = self.findings, look_at(self.store, self.findings)
        features, reduced = features_table(self.store), reduced_table(self.store)
        feature_files = check_table(features, held.sizes, findings, alone=False)
        reduced_files, pca = None, None
        if _has_pca(held):
            reduced_files = check_table(reduced, held.sizes, findings, alone=True)
            pca = model.check_model(held, (features, reduced), self.config, findings)
        else:
            self._without_pca()
        found = self._features(held, feature_files, pca)
        if _has_pca(held):
            self._reduced(held, reduced_files, found, pca)
        self._source(held, found)
        return CheckResult(self.store.url, tuple(findings))

    def _features(
        self, held: Held, files: list[DataFile] | None, pca: PCA | None
    ) -> FeatureRows | None:
        """Read and judge the features table; None where that could not be done."""
        names = (*rows.FEATURES, "rejects.csv")
        needed = ("network", "features.schema", "features.files")
        blocked = self.findings.blocked(("features.readable", *names), *needed)
        if blocked or files is None or held.network is None:
            return None
        width = int(held.network["n_features"])
        self.progress.say("reading the features table")
        found = scan_features(
            features_table(self.store),
            files,
            model_id=str(held.network["model_id"]),
            n_features=width,
            pca=pca,
            below=paths.prefix_of(self.origin.url) if self.origin else "",
            advance=self._advance(sum(file.rows for file in files)),
        )
        self._readable("features", found.damaged, files)
        if self.findings.blocked(names, "features.readable"):
            return None
        rows.check_features(found, held, self.config, width, self.findings)
        csv_files.check_rejects(held, found.rejected.digests(), self.findings)
        return found

    def _reduced(
        self,
        held: Held,
        files: list[DataFile] | None,
        features: FeatureRows | None,
        pca: PCA | None,
    ) -> None:
        """Read and judge the reduced table and the CSV."""
        names = (*rows.REDUCED, *csv_files.NAMES)
        needed = ("reduced.schema", "reduced.files", *model.SOUND)
        blocked = self.findings.blocked(("reduced.readable", *names), *needed)
        if blocked or files is None or pca is None:
            return
        self.progress.say("reading the reduced table")
        found = scan_reduced(reduced_table(self.store), files, pca.n_components_)
        self._readable("reduced", found.damaged, files)
        if self.findings.blocked(names, "reduced.readable"):
            return
        if not self.findings.blocked(rows.REDUCED, "features.readable") and features is not None:
            rows.check_reduced(features, found, held, pca, self.findings)
        self.progress.say("reading the CSV matrix")
        csv_files.check_matrix(held, found.rows.digests(), pca.n_components_, self.findings)

    def _source(self, held: Held, features: FeatureRows | None) -> None:
        if self.origin is None:
            self.findings.skip(source.NAMES, "--source was not given")
        elif not self.findings.blocked(source.NAMES, "features.readable") and features is not None:
            self.progress.say(f"listing {self.origin.url}")
            source.check_source(self.origin, held, features.below, self.config, self.findings)

    def _without_pca(self) -> None:
        """Nothing to look at, unless something was expected of it."""
        why = "the newest run made no PCA"
        self.findings.skip((*_REDUCED_FILES, *model.NAMES, *rows.REDUCED, *csv_files.NAMES), why)
        if self.config.components is not None:
            self.findings.equal("pca.components", 0, self.config.components, why)
        if self.config.min_variance is not None:
            bound = f"at least {self.config.min_variance}"
            self.findings.judge("pca.variance", False, 0, why, bound)

    def _readable(self, table: str, damaged: list[str], files: list[DataFile]) -> None:
        what = f"of {len(files):,} files that cannot be read or are not what the log says"
        self.findings.none_of(f"{table}.readable", len(damaged), what, *damaged[:1])

    def _advance(self, total: int) -> Advance:
        done = 0

        def advance(rows_read: int) -> None:
            nonlocal done
            done += rows_read
            self.progress.advance(done, total)

        return advance


def _has_pca(held: Held) -> bool:
    """Whether a PCA must be there, or is, or anything of one."""
    if held.record is not None and held.record.pca is not None:
        return True
    # of a table without rows nothing but its log is left: no PCA could be made any more
    log = f"{REDUCED_FOLDER}/_delta_log/"
    parts = (MODEL_ARRAYS, MODEL_DESCRIPTION, MATRIX, f"{REDUCED_FOLDER}/")
    return any(name.startswith(parts) and not name.startswith(log) for name in held.sizes)
