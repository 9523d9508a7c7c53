"""Images erased from everything that runs left at a destination."""

from featuremill.erasure.job import Erased, forget

__all__ = ["Erased", "forget"]
