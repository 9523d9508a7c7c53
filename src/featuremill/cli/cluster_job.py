"""Runs ``featuremill run`` as a job on a cluster, in the Spark session that is there.

The entry point that is submitted calls :func:`main`; all else comes from the archive.
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from featuremill.cloud.packaging.archive import WEIGHTS, Manifest, read_manifest
from featuremill.config import RunConfig
from featuremill.models.download import CACHE_VARIABLE

UNPACKED = Path(__file__).parents[2]
"""Folder of the unpacked archive, if this is featuremill from an archive."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a job, and end the process with the exit code of ``featuremill run``.

    Parameters
    ----------
    arguments : sequence of str
        Arguments of ``featuremill run``.
    """
    archive = read_manifest(UNPACKED)
    _check_machine(archive)
    os.environ.setdefault(CACHE_VARIABLE, str(UNPACKED / WEIGHTS))
    # not before the machine is known to be the right one: this loads binaries
    from featuremill.cli import main as command
    from featuremill.workers.spark import cluster_session

    spark = cluster_session()
    try:
        command(
            ["run", *arguments],
            prog_name="featuremill",
            obj=spark,
            default_map={"run": _defaults(archive, arguments)},
        )
    finally:
        spark.stop()
    raise AssertionError("the command ends with an exit code")


def _check_machine(archive: Manifest | None) -> None:
    here = platform.machine()
    if archive is not None and archive.machine != here:
        sys.exit(
            f"error: the archive was built for {archive.machine}, this machine is {here}\n"
            "  Build the other one: `featuremill cloud package --architecture"
            f" {'arm64' if here == 'aarch64' else here}`."
        )


def _defaults(archive: Manifest | None, arguments: Sequence[str]) -> Mapping[str, str]:
    """Options that are not the command line's own: weights that were packed for this model."""
    asked = [value for option, value in pairwise(arguments) if option == "--model"]
    model = asked[-1] if asked else RunConfig.model
    if archive is not None and archive.weights and archive.model == model:
        return {"weights": str(UNPACKED / archive.weights)}
    return {}
