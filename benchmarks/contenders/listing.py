"""featuremill's listing alone: every reference of a folder, and nothing done with it."""

import argparse
import json
import time
from pathlib import Path

from benchmarks.contenders.peaks import peak_bytes
from featuremill.storage import open_store
from featuremill.storage.listing import Listing, Selection


def main() -> None:
    """List once and print how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    count = sum(1 for _ in Listing(open_store(str(options.folder)), Selection()))
    seconds = time.perf_counter() - began
    print(json.dumps({"images": count, "seconds": seconds, "peaks": peak_bytes()}))


if __name__ == "__main__":
    main()
