"""Every figure that featuremill claims, measured again by ``python -m benchmarks``."""

BENCHMARKS = (
    "whole_job",
    "embedded",
    "frameworks",
    "feature_stage",
    "pca",
    "small_objects",
    "s3_faults",
    "growth",
    "startup",
    "memory",
    "ordinary",
    "large_photos",
    "estimate",
    "search",
)
"""The modules with a benchmark each, in the order in which they run and stand in RESULTS.md."""
