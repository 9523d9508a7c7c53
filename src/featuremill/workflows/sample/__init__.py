"""A smaller copy of a labelled set of images, drawn class by class and the same for a seed."""

from featuremill.workflows.sample.config import SampleConfig
from featuremill.workflows.sample.steps import ClassSample, Sampled, sample

__all__ = ["ClassSample", "SampleConfig", "Sampled", "sample"]
