"""Turns a bucket of images into features and a PCA."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featuremill.config import RejectLimit, RunConfig
    from featuremill.estimation import Estimate, estimate
    from featuremill.pipeline import RunResult, run
    from featuremill.results import load_features

__version__ = "0.1.0"

__all__ = [
    "Estimate",
    "RejectLimit",
    "RunConfig",
    "RunResult",
    "estimate",
    "load_features",
    "run",
]

_HOMES = {
    "Estimate": "estimation",
    "RejectLimit": "config",
    "RunConfig": "config",
    "RunResult": "pipeline",
    "estimate": "estimation",
    "load_features": "results",
    "run": "pipeline",
}


def __getattr__(name: str) -> Any:
    # Spark, an engine and boto3 are loaded by whoever uses them, not by `import featuremill`
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"featuremill.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
