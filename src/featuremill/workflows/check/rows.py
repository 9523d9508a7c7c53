"""Checks the rows of both tables against the ledger, the network, the PCA and each other."""

import numpy as np

from featuremill.pca.components import PCA
from featuremill.workflows.check.findings import CheckConfig, Findings
from featuremill.workflows.check.run import Held
from featuremill.workflows.check.scan import Digests, FeatureRows, ReducedRows

TOLERANCE = 1e-6
"""For the number that stands for a row's scores, times 1 + the sizes of its terms, summed; that
scores are stored as float32 takes at most 6e-8 of it."""

FEATURES = (
    "features.model",
    "features.count",
    "features.expected",
    "features.length",
    "features.finite",
    "features.paths",
    "features.rejects",
)
REDUCED = (
    "pca.samples",
    "reduced.rows",
    "reduced.length",
    "reduced.finite",
    "reduced.paths",
    "reduced.values",
)


def check_features(
    found: FeatureRows, held: Held, config: CheckConfig, width: int, findings: Findings
) -> None:
    """Judge the rows of the features table."""
    embedded, rejected = found.embedded.digests(), found.rejected.digests()
    findings.none_of("features.model", found.others, "rows of another model")
    _check_count(len(embedded), len(rejected), held, findings)
    if config.expect_count is None:
        findings.skip("features.expected", f"it is {len(embedded):,}; --expect-count was not given")
    else:
        findings.equal("features.expected", len(embedded), config.expect_count, "embedded rows")
    what = f"of {len(embedded):,} embedded rows without {width:,} features"
    findings.none_of("features.length", found.wrong_length, what)
    what = "rows with a feature that is no finite number"
    findings.none_of("features.finite", found.not_finite, what)
    twice = _repeated(np.concatenate([embedded, rejected]))
    findings.none_of("features.paths", twice, "rows whose path another row has")
    what = f"of {len(rejected):,} rejected rows without a known stage and a reason"
    findings.none_of("features.rejects", found.unexplained, what)


def check_reduced(
    features: FeatureRows, reduced: ReducedRows, held: Held, pca: PCA, findings: Findings
) -> None:
    """Judge the rows of the reduced table by those of the features table."""
    embedded, paths = features.embedded.digests(), reduced.paths.digests()
    kept = (held.record.pca or {}).get("kept") if held.record else None
    if kept:
        why = f"it was fitted to {pca.n_samples_:,} rows and is kept since run {kept['since']}"
        findings.skip("pca.samples", why)
    else:
        forgotten = held.forgotten("embedded")
        findings.judge(
            "pca.samples",
            pca.n_samples_ == len(embedded) + forgotten,
            pca.n_samples_,
            "rows that it was fitted to",
            f"{len(embedded):,}" + (f" + {forgotten:,} forgotten since" if forgotten else ""),
        )
    findings.equal("reduced.rows", len(paths), len(embedded), "rows")
    what = f"rows without {pca.n_components_:,} scores"
    findings.none_of("reduced.length", reduced.wrong_length, what)
    what = "rows with a score that is no finite number"
    findings.none_of("reduced.finite", reduced.not_finite, what)
    strange = len(np.setxor1d(embedded, paths)) + _repeated(paths)
    what = "paths of the features table that are not here once, or here and not there"
    findings.none_of("reduced.paths", strange, what)
    _check_values(features, reduced, findings)


def _check_count(embedded: int, rejected: int, held: Held, findings: Findings) -> None:
    if findings.blocked("features.count", "run") or held.record is None:
        return
    ledger, not_listed = held.record.ledger, held.record.not_listed
    done = ledger.already_done + ledger.embedded - held.forgotten("embedded")
    refused = ledger.already_rejected + ledger.rejected - held.forgotten("rejected")
    # of images that were not listed it is not known how they had ended
    split = bool(not_listed) or (embedded, rejected) == (done, refused)
    expected = done + refused + not_listed
    findings.judge(
        "features.count",
        split and embedded + rejected == expected,
        embedded + rejected,
        f"rows: {embedded:,} embedded + {rejected:,} rejected",
        f"{expected:,}: by the ledger {done:,} + {refused:,}"
        + (f" + {not_listed:,} that were not listed" if not_listed else "")
        + (", without those forgotten since" if held.record.forgotten else ""),
    )


def _check_values(features: FeatureRows, reduced: ReducedRows, findings: Findings) -> None:
    common, theirs, ours = np.intersect1d(
        features.embedded.digests(), reduced.paths.digests(), return_indices=True
    )
    with np.errstate(invalid="ignore"):
        difference = np.abs(features.embedded.numbers()[theirs] - reduced.paths.numbers()[ours])
    # a row that is not finite has no number, and was judged above
    wrong = difference > TOLERANCE * (1 + reduced.bounds.numbers()[ours])
    findings.none_of(
        "reduced.values",
        int(wrong.sum()),
        f"of {len(common):,} rows whose scores are not (features - mean) / scale on the components"
        f" within {TOLERANCE:g}",
    )


def _repeated(digests: Digests) -> int:
    return len(digests) - len(np.unique(digests))
