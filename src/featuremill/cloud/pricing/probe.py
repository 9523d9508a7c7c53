"""A probe: 500 of the uploaded images, run on the cluster, to learn how fast it is.

It costs what every small run costs, a few cents, and leaves nothing behind but its logs.
"""

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from random import Random

from featuremill._utils import paths
from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
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


def probe(place: Place, limits: JobLimits, model: str, seconds: float = 10.0) -> Plan:
    """Plan that runs 500 of the uploaded images and reads the run's record.

    They are copied within the bucket, to a folder of results that no other run has; copies and
    results are deleted in the end. The last step but one answers, under ``record``, with what
    :func:`featuremill.cloud.pricing.throughput.of_record` takes.

    Parameters
    ----------
    place : Place
        The stack, with images and archive uploaded.
    limits : JobLimits
        What the job may use.
    model : str
        Name of the network.
    seconds : float
        Between two questions whether the job is over.
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
    submission = serverless.submission(place, config, name, limits, seconds)
    remove = _remove(place, (images, name))

    def wait(aws: Aws, answers: Answers) -> None:
        try:
            stay(submission, answers, aws, place)
        except CloudError:
            # the copies go all the same, and the logs stay
            remove.does(aws, answers)
            raise

    asking = ("emr-serverless.get_job_run",)
    return [
        _copy(place, images),
        *submission.plan,
        Work("wait for the probe", wait, calls=asking, changes=False),
        newest_record(place, name),
        remove,
    ]


def _copy(place: Place, name: str) -> Work:
    bucket = place.output("Bucket")

    def copy_some(aws: Aws, _: Answers) -> int:
        chosen = _draw(_images(aws, bucket), PROBED)
        if not chosen:
            raise CloudError(
                f"s3://{bucket}/input holds no image to probe with",
                "Upload them first: `featuremill cloud upload SRC`.",
            )
        # made in this thread: boto3 may not make clients in several at the same time
        aws.client("s3")
        return len(list(each(chosen, lambda key: copy_one(aws, key), lambda _: 0)))

    def copy_one(aws: Aws, key: str) -> None:
        source = {"Bucket": bucket, "Key": key}
        target = {"Bucket": bucket, "Key": f"results/{name}/{key.removeprefix('input/')}"}
        aws.call(Call("s3", "copy_object", {**target, "CopySource": source}, f"copy {key}"))

    why = f"copy {PROBED} images of s3://{bucket}/input to results/{name}"
    return Work(why, copy_some, "copied", ("s3.list_objects_v2", "s3.copy_object"))


def _images(aws: Aws, bucket: str) -> Iterator[str]:
    for page in aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix="input/"):
        for entry in page.get("Contents", ()):
            key: str = entry["Key"]
            below = paths.encode(key.removeprefix("input/").encode())
            if not why_no_image(below) and not key.endswith("/"):
                yield key


def _draw(keys: Iterable[str], count: int) -> list[str]:
    """So many of them, each as likely as any other, the same each time."""
    random = Random(0)
    return heapq.nsmallest(count, keys, key=lambda _: random.random())


def _remove(place: Place, names: tuple[str, ...]) -> Work:
    bucket = place.output("Bucket")

    def remove(aws: Aws, _: Answers) -> None:
        for name in names:
            listed = {"Bucket": bucket, "Prefix": f"results/{name}/"}
            # a page is as much as S3 deletes in one request
            for page in list(aws.pages("s3", "list_objects_v2", **listed)):
                if keys := [{"Key": entry["Key"]} for entry in page.get("Contents", ())]:
                    delete = {"Bucket": bucket, "Delete": {"Objects": keys, "Quiet": True}}
                    why = "delete what the probe needed"
                    aws.call(Call("s3", "delete_objects", delete, why))

    why = f"delete results/{' and results/'.join(names)}"
    return Work(why, remove, "removed", ("s3.list_objects_v2", "s3.delete_objects"))
