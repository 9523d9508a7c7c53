"""The archive where jobs find it: built where it is missing, and sent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.packaging.archive import ENTRY, Built, Recipe, build, copy_to

FOLDER = "code"
"""Of the bucket, for archives and their entry points."""


@dataclass(frozen=True)
class Packaged:
    """What came of it: whether the bucket had the archive already, and else what was built."""

    stored: bool
    built: Built | None


def archive_address(recipe: Recipe, bucket: str) -> str:
    """Where in the bucket the archive is."""
    return f"s3://{bucket}/{FOLDER}/{recipe.archive}"


def entry_address(recipe: Recipe, bucket: str) -> str:
    """Where in the bucket the archive's entry point is."""
    return f"s3://{bucket}/{FOLDER}/{recipe.entry}"


def package(aws: Aws, recipe: Recipe, bucket: str) -> Packaged:
    """Have an archive and its entry point in the bucket.

    Parameters
    ----------
    aws : Aws
        The connection.
    recipe : Recipe
        What the archive holds.
    bucket : str
        Of the stack.
    """
    key = f"{FOLDER}/{recipe.archive}"
    aws.step(f"look for {archive_address(recipe, bucket)}")
    # one that is being sent does not count
    stored = aws.call("s3", "head_object", forgives=("404",), Bucket=bucket, Key=key) is not None
    aws.step(f"build {recipe.archive} if it is not there (minutes, the first time)")
    built = None if stored else aws.here(lambda: build(recipe), None)
    aws.step(f"send it if it is not there, and {recipe.entry}")
    if not stored:
        aws.send_file(built.archive if built else Path(recipe.archive), bucket, key)
    # also where it is there: the newest one names the archive to use
    put: dict[str, Any] = {
        "Bucket": bucket,
        "Key": f"{FOLDER}/{recipe.entry}",
        "Body": ENTRY.encode(),
    }
    aws.call("s3", "put_object", why=f"send {recipe.entry}", ChecksumAlgorithm="SHA256", **put)
    return Packaged(stored, built)


def package_here(aws: Aws, recipe: Recipe, folder: Path) -> Packaged:
    """Have an archive and its entry point in a folder of this machine; calls nothing."""
    aws.step(f"build {recipe.archive} and {recipe.entry} in {folder} (minutes, the first time)")
    return Packaged(False, aws.here(lambda: copy_to(build(recipe), folder), None))
