"""The certificate beside a network: where it lies, and what others read from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featuremill.errors import ModelError
from featuremill.models import onnx_file

JSON, PAGE = "certificate.json", "certificate.html"


def near_of(network: Mapping[str, Any]) -> float | None:
    """Cosine from which two photographs pass for the same, as the certificate says.

    Parameters
    ----------
    network : mapping
        As :meth:`featuremill.models.network.Network.description` gave it.

    Returns
    -------
    float or None
        None if the network has no certificate beside it, or one of other features.
    """
    try:
        folder = onnx_file.find(Path(str(network["location"]))).folder
        made = json.loads((folder / JSON).read_bytes())
        if made["network"]["fingerprint"] == network["fingerprint"] and made["near"]:
            return float(made["near"]["cosine"])
    except (ModelError, OSError, ValueError, KeyError, TypeError):
        pass
    return None
