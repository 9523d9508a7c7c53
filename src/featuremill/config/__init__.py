"""What a run is asked to do, validated whole before anything is touched."""

from featuremill.config.option import Bound, Option, RejectLimit
from featuremill.config.run_options import (
    DEFAULT_COMPONENTS,
    DEFAULT_SAMPLE,
    ENGINES,
    PRECISIONS,
    RunConfig,
    default_of,
    options,
)

__all__ = [
    "DEFAULT_COMPONENTS",
    "DEFAULT_SAMPLE",
    "ENGINES",
    "PRECISIONS",
    "Bound",
    "Option",
    "RejectLimit",
    "RunConfig",
    "default_of",
    "options",
]
