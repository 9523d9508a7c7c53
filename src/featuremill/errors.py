"""Everything that can go wrong, as one tree.

A message says what was wrong, the value, the bound and the remedy. Only the command line
turns an error into an exit code: 1 the run failed, 2 the input was refused before anything
was written, 3 more images were rejected than allowed, 130 interrupted.
"""

import re
from typing import ClassVar

_PASSWORD = re.compile(r"(?<=://)[^/?#\s@\"'<>]*@")
"""What stands before the host of an address: names and passwords."""


def without_passwords(text: str) -> str:
    """Text in which addresses have neither a name nor a password.

    >>> without_passwords("cannot reach https://jane:secret@store.example/photos")
    'cannot reach https://store.example/photos'
    """
    return _PASSWORD.sub("", text)


class FeaturemillError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    problem : str
        What was wrong, with the value and the bound.
    remedy : str
        What to do about it, as an imperative sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        problem, remedy = without_passwords(problem), without_passwords(remedy)
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}" if self.remedy else self.problem


class InputError(FeaturemillError):
    """Refused before anything was written."""

    exit_code = 2


class ConfigError(InputError):
    """An option is out of its bounds, or two options contradict each other."""


class MissingExtraError(ConfigError):
    """What was asked for needs packages that an extra of featuremill brings."""


class SourceError(InputError):
    """The source is missing, empty or cannot be listed."""


class DestinationError(InputError):
    """The destination cannot be written, or holds what must not be mixed."""


class DestinationBusyError(DestinationError):
    """Another run holds the destination."""


class ModelError(InputError):
    """The model is unknown, or its weights are missing, damaged or of another network."""


class JavaError(InputError):
    """No Java that can run Spark was found."""


class PrecisionError(InputError):
    """The precision asked for cannot be had on these workers."""


class RunError(FeaturemillError):
    """The run began and could not be finished."""


class StorageError(RunError):
    """Reading from or writing to storage failed for good."""


class LeaseLostError(RunError):
    """Another run has taken over the destination of this one."""


class CommitError(RunError):
    """A table refused a commit, or what was to be committed is not what was written."""


class WorkerError(RunError):
    """Workers kept dying for a reason that is not one single image."""


class CloudError(RunError):
    """AWS refused or failed what was asked of it."""


class LedgerError(RunError):
    """The ledger of a run does not balance: an image was lost or counted twice."""


class TooManyRejectsError(RunError):
    """More images were rejected than ``--max-rejects`` allows."""

    exit_code = 3


class ImageRejected(Exception):  # noqa: N818  (an outcome for one image, not a failure of the run)
    """One image cannot become features; the run goes on and records why.

    Parameters
    ----------
    stage : str
        One of :data:`featuremill.dataset.schemas.STAGES`.
    reason : str
        What was wrong with this image, for people.
    """

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)
        self.stage = stage
        self.reason = reason
