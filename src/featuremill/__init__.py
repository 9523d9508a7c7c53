"""Turns a bucket of images into features and a PCA."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featuremill.checks import CheckConfig, CheckResult, check
    from featuremill.config import RejectLimit, RunConfig
    from featuremill.erasure import Erased, forget
    from featuremill.estimation import Estimate, estimate
    from featuremill.pipeline import RunResult, run
    from featuremill.results import load_features
    from featuremill.sampling import SampleConfig, Sampled, sample
    from featuremill.search import duplicates, outliers, similar
    from featuremill.transformation import transform

__version__ = "0.1.0"

__all__ = [
    "CheckConfig",
    "CheckResult",
    "Erased",
    "Estimate",
    "RejectLimit",
    "RunConfig",
    "RunResult",
    "SampleConfig",
    "Sampled",
    "check",
    "duplicates",
    "estimate",
    "forget",
    "load_features",
    "outliers",
    "run",
    "sample",
    "similar",
    "transform",
]

_HOMES = {
    "CheckConfig": "checks",
    "CheckResult": "checks",
    "Erased": "erasure",
    "Estimate": "estimation",
    "RejectLimit": "config",
    "RunConfig": "config",
    "RunResult": "pipeline",
    "SampleConfig": "sampling",
    "Sampled": "sampling",
    "check": "checks",
    "duplicates": "search",
    "estimate": "estimation",
    "forget": "erasure",
    "load_features": "results",
    "outliers": "search",
    "run": "pipeline",
    "sample": "sampling",
    "similar": "search",
    "transform": "transformation",
}


def __getattr__(name: str) -> Any:
    # Spark, an engine and boto3 are loaded by whoever uses them, not by `import featuremill`
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"featuremill.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
