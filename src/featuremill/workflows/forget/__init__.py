"""Erases images from everything that runs left at a destination."""

from featuremill.workflows.forget.pipeline import Erased, forget

__all__ = ["Erased", "forget"]
