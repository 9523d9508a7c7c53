"""Checks the PCA: that its two files agree, and that its arrays are those of a PCA."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from featuremill.dataset.model_files import MODEL_ARRAYS, MODEL_DESCRIPTION, is_of
from featuremill.dataset.tables import Table
from featuremill.errors import InputError
from featuremill.pca.components import PCA
from featuremill.workflows.check.findings import CheckConfig, Findings
from featuremill.workflows.check.run import Held

ORTHONORMAL = 1e-9
"""Largest difference of the components' products from 1 and 0; rounding leaves about 1e-14."""
_SUM = 1e-9
ROUNDING = 1e-12
"""Shares of a variance that differ by less are the same."""

SOUND = ("pca.files", "pca.shape", "pca.scale", "pca.unit")
"""What must be true of a PCA before anything is compared with it."""

NAMES = (
    *SOUND,
    "pca.spectrum",
    "pca.checksum",
    "pca.description",
    "pca.versions",
    "pca.components",
    "pca.variance",
)


def check_model(
    held: Held, tables: tuple[Table, ...], config: CheckConfig, findings: Findings
) -> PCA | None:
    """Judge the PCA by itself; returns it where it can be computed with."""
    loaded = _load(held, findings)
    if loaded is None:
        findings.blocked(NAMES[1:], "pca.files")
        return None
    pca, description, data = loaded
    if not _check_shape(pca, held, findings):
        findings.blocked(NAMES[2:], "pca.shape")
        return None
    _check_arrays(pca, findings)
    _check_description(pca, description, data, findings)
    _check_versions(held, tables, description, findings)
    _check_wishes(pca, config, findings)
    return None if findings.blocked((), *SOUND) else pca


def _load(held: Held, findings: Findings) -> tuple[PCA, dict[str, Any], bytes] | None:
    expected = f"{MODEL_ARRAYS} and {MODEL_DESCRIPTION}"

    def broken(what: str, why: str) -> None:
        findings.judge("pca.files", False, what, why, expected)

    try:
        data = held.store.read(MODEL_ARRAYS)
        pca = PCA.unchecked(data)  # each of its faults is a finding of its own
        description = json.loads(held.store.read(MODEL_DESCRIPTION))
        if not isinstance(description, dict):
            raise ValueError(f"{MODEL_DESCRIPTION} is no JSON object")
    except FileNotFoundError as error:
        broken("missing", str(error.filename or error))
        return None
    except (InputError, ValueError, TypeError, KeyError) as error:
        broken("damaged", str(error).splitlines()[0])
        return None
    findings.judge("pca.files", True, len(data), "bytes of arrays, and their description", expected)
    return pca, description, data


def _check_shape(pca: PCA, held: Held, findings: Findings) -> bool:
    """Whether the arrays fit each other and the network's features."""
    k = len(pca.components_)
    d = int(held.network["n_features"]) if held.network else len(pca.mean_)
    fits = (
        pca.components_.shape == (k, d)
        and k >= 1
        and pca.mean_.shape == pca.scale_.shape == (d,)
        and pca.explained_variance_.shape == (k,)
        and pca.spectrum_.ndim == 1
        and len(pca.spectrum_) >= k
        and all(array.dtype == np.float64 for array in (pca.mean_, pca.scale_, pca.components_))
    )
    shape = " x ".join(str(length) for length in pca.components_.shape)
    return findings.judge("pca.shape", fits, shape, "components x features", f"{k} x {d}")


def _check_arrays(pca: PCA, findings: Findings) -> None:
    finite = np.isfinite(pca.mean_) & np.isfinite(pca.scale_)
    wrong = int((~(finite & (pca.scale_ > 0))).sum())
    what = "features whose mean is not finite or whose scale is not above 0"
    findings.none_of("pca.scale", wrong, what)
    products = pca.components_ @ pca.components_.T  # (k, k)
    error = float(np.abs(products - np.eye(len(products))).max())
    note = "between the components' products and those of an orthonormal set"
    findings.judge("pca.unit", error <= ORTHONORMAL, error, note, f"at most {ORTHONORMAL:g}")
    shares, variance = pca.spectrum_, pca.explained_variance_
    total = float(shares.sum())
    falling = all(
        (np.diff(values) <= 0).all() and (values > 0).all() for values in (shares, variance)
    )
    proportional = np.allclose(variance * shares[0], shares[: len(variance)] * variance[0])
    findings.judge(
        "pca.spectrum",
        abs(total - 1) <= _SUM and falling and proportional,
        total,
        "is the sum of the shares of the variance",
        f"1 within {_SUM:g}, the shares falling and in proportion to the variances",
    )


def _check_description(
    pca: PCA, description: Mapping[str, Any], data: bytes, findings: Findings
) -> None:
    digest = hashlib.sha256(data).hexdigest()
    recorded = description.get("sha256")
    if recorded is None:
        findings.skip("pca.checksum", f"{MODEL_DESCRIPTION} holds none")
    else:
        note, bound = f"begins the SHA-256 of {MODEL_ARRAYS}", str(recorded)[:16]
        findings.judge("pca.checksum", digest == recorded, digest[:16], note, bound)
    of_arrays = pca.description()
    wrong = [name for name in of_arrays if description.get(name) != of_arrays[name]]
    example = wrong[0] if wrong else ""
    what = f"entries of {MODEL_DESCRIPTION} that are not what the arrays say"
    findings.none_of("pca.description", len(wrong), what, example)


def _check_versions(
    held: Held, tables: tuple[Table, ...], description: Mapping[str, Any], findings: Findings
) -> None:
    """Whether the PCA was fitted to the tables as they are, but for rows forgotten since."""
    if findings.blocked("pca.versions", *(f"{table.folder}.schema" for table in tables)):
        return
    now = {table.folder: table.version() for table in tables}
    fitted = description.get("versions")
    shown = fitted if isinstance(fitted, dict) else {}
    since = (held.record and held.record.forgotten) or {}
    forgotten = bool(since.get("pca")) and since.get("versions") == now
    stands = forgotten or is_of(held.store, description)
    note = "are the versions it was fitted to" + ("" if stands else ": run again")
    bound = _versions(now) + (", without rows forgotten since" if forgotten else "")
    findings.judge("pca.versions", stands, _versions(shown), note, bound)


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "none"


def _check_wishes(pca: PCA, config: CheckConfig, findings: Findings) -> None:
    k = pca.n_components_
    if config.components is None:
        findings.skip("pca.components", f"it is {k:,}; --components was not given")
    else:
        findings.equal("pca.components", k, config.components, "components")
    held = float(pca.spectrum_[:k].sum())
    if config.min_variance is None:
        findings.skip("pca.variance", f"it is {held:.6f}; --min-variance was not given")
    else:
        reached = held >= config.min_variance - ROUNDING
        note, bound = "of the variance is held", f"at least {config.min_variance}"
        findings.judge("pca.variance", reached, held, note, bound)
