"""A probe: 500 of the uploaded images, run on the cluster, to learn how fast it is.

It costs what every small run costs, a few cents, and leaves nothing behind but its logs.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from featuremill._utils import paths
from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import serverless
from featuremill.cloud.jobs.job import destination_of
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.jobs.wait import stay
from featuremill.cloud.pricing.throughput import newest_record
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RejectLimit, RunConfig
from featuremill.errors import CloudError
from featuremill.storage.ignored_files import why_no_image

PROBED = 500


def probe(aws: Aws, place: Place, limits: JobLimits, model: str) -> Mapping[str, Any]:
    """Run 500 of the uploaded images, and read the run's record.

    They are copied within the bucket, to a folder of results that no other run has; copies and
    results are deleted in the end.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack, with images and archive uploaded.
    limits : JobLimits
        What the job may use.
    model : str
        Name of the network.

    Returns
    -------
    mapping
        What :func:`featuremill.cloud.pricing.throughput.of_record` takes.
    """
    name = f"probe-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    images = f"{name}-images"
    config = RunConfig(
        destination_of(place, images),
        destination_of(place, name),
        model=model,
        # the speed alone is asked for
        max_rejects=RejectLimit(share=1.0),
        region=place.region,
    )
    copy(aws, place, images)
    job = serverless.submit(aws, place, config, name, limits)
    try:
        stay(aws, place, job, limits.timeout)
    except CloudError:
        # the copies go all the same, and the logs stay
        remove(aws, place, (images, name))
        raise
    record = newest_record(aws, place, name)
    remove(aws, place, (images, name))
    return record


def copy(aws: Aws, place: Place, name: str) -> None:
    """Copy the images to probe with.

    Raises
    ------
    CloudError
        If there is none.
    """
    bucket = place.output("Bucket")
    aws.step(f"copy {PROBED} images of s3://{bucket}/input to results/{name}")
    there = [*_images(aws, bucket)]
    chosen = aws.here(lambda: _draw(there, PROBED), ["input/<each image>"])
    if not chosen:
        raise CloudError(
            f"s3://{bucket}/input holds no image to probe with",
            "Upload them first: `featuremill cloud upload SRC`.",
        )

    def copy_one(key: str) -> None:
        target = f"results/{name}/{key.removeprefix('input/')}"
        source = {"Bucket": bucket, "Key": key}
        why = f"copy {key}"
        aws.call("s3", "copy_object", why=why, Bucket=bucket, Key=target, CopySource=source)

    # made in this thread: boto3 may not make clients in several at the same time
    aws.client("s3")
    for _ in each(chosen, copy_one, lambda _: 0):
        pass


def _images(aws: Aws, bucket: str) -> Iterator[str]:
    for entry in aws.objects(bucket, "input/"):
        key: str = entry["Key"]
        below = paths.encode(key.removeprefix("input/").encode())
        if not why_no_image(below) and not key.endswith("/"):
            yield key


def _draw(keys: Iterable[str], count: int) -> list[str]:
    """So many of them, each as likely as any other, the same each time."""
    random = Random(0)
    return heapq.nsmallest(count, keys, key=lambda _: random.random())


def remove(aws: Aws, place: Place, names: tuple[str, ...]) -> None:
    """Delete the copies and the results of a probe."""
    bucket = place.output("Bucket")
    aws.step(f"delete results/{' and results/'.join(names)}")
    for name in names:
        below = f"results/{name}/"
        # a page is as much as S3 deletes in one request
        there = [{"Key": entry["Key"]} for entry in aws.objects(bucket, below)]
        keys = aws.here(there.copy, [{"Key": f"{below}<each>"}])
        for start in range(0, len(keys), 1_000):
            what = {"Objects": keys[start : start + 1_000], "Quiet": True}
            aws.call("s3", "delete_objects", Bucket=bucket, Delete=what)
