"""Predicts what a whole run takes on this machine, measured on a sample."""

from featuremill.workflows.estimate.measure import Estimate, estimate

__all__ = ["Estimate", "estimate"]
