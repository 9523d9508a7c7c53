"""Draws a smaller copy of a labelled set of images, class by class, the same for a seed."""

from featuremill.workflows.sample.config import SampleConfig
from featuremill.workflows.sample.pipeline import ClassSample, Sampled, sample

__all__ = ["ClassSample", "SampleConfig", "Sampled", "sample"]
