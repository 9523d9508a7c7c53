"""Which network's features a destination holds: ``model/network.json``."""

import json
from typing import Any

from featuremill.errors import DestinationError
from featuremill.storage import Store

NETWORK = "model/network.json"
"""Which network's features a destination holds."""

_IDENTITY = {
    "name": str,
    "model_id": str,
    "contract": str,
    "fingerprint": str,
    "weights_sha256": str,
    "n_features": int,
}
_BRING_BACK = "Restore that file, or choose another destination."


def read_network(destination: Store) -> dict[str, Any]:
    """Description of the network whose features a destination holds.

    Raises
    ------
    DestinationError
        If it is missing or damaged.
    """
    try:
        held = json.loads(destination.read(NETWORK))
    except (FileNotFoundError, ValueError) as error:
        raise DestinationError(
            f"{destination.url} holds features, but {NETWORK} is missing or damaged: {error}",
            _BRING_BACK,
        ) from error
    known = held if isinstance(held, dict) else {}
    missing = [name for name in _IDENTITY if not isinstance(known.get(name), _IDENTITY[name])]
    if missing:
        raise DestinationError(
            f"{destination.url}/{NETWORK} is damaged: it has no {', '.join(missing)}", _BRING_BACK
        )
    return known
