"""What several tests need."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs, real weights and reference features that are not part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    data = Path(os.environ.get("FEATUREMILL_TEST_DATA", beside))
    if not (data / "reference" / "keras_features.npz").exists():
        pytest.skip(f"no reference data in {data} (set FEATUREMILL_TEST_DATA)")
    return data
