"""Turns a bucket of images into features and a PCA."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featuremill.config import RejectLimit, RunConfig
    from featuremill.dataset.reader import load_features
    from featuremill.models.registry import load as load_network
    from featuremill.search import duplicates, outliers, similar
    from featuremill.workflows.check import CheckConfig, CheckResult, check
    from featuremill.workflows.estimate import Estimate, estimate
    from featuremill.workflows.forget import Erased, forget
    from featuremill.workflows.run.pipeline import RunResult, run
    from featuremill.workflows.sample import SampleConfig, Sampled, sample
    from featuremill.workflows.transform import transform

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
    "load_network",
    "outliers",
    "run",
    "sample",
    "similar",
    "transform",
]

_HOMES = {
    "CheckConfig": "workflows.check",
    "CheckResult": "workflows.check",
    "Erased": "workflows.forget",
    "Estimate": "workflows.estimate",
    "RejectLimit": "config",
    "RunConfig": "config",
    "RunResult": "workflows.run.pipeline",
    "SampleConfig": "workflows.sample",
    "Sampled": "workflows.sample",
    "check": "workflows.check",
    "duplicates": "search",
    "estimate": "workflows.estimate",
    "forget": "workflows.forget",
    "load_features": "dataset.reader",
    "load_network": "models.registry:load",
    "outliers": "search",
    "run": "workflows.run.pipeline",
    "sample": "workflows.sample",
    "similar": "search",
    "transform": "workflows.transform",
}


def __getattr__(name: str) -> Any:
    # Spark, an engine and boto3 are loaded by whoever uses them, not by `import featuremill`
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, inside = _HOMES[name].partition(":")
    return getattr(import_module(f"featuremill.{module}"), inside or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
