"""A probe: 500 of the uploaded images, run on the cluster, to learn how fast it is.

It costs what every small run costs, a few cents, and leaves nothing behind but its logs.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from featuremill._utils import paths
from featuremill._utils.threads import each
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
from featuremill.cloud.jobs import serverless
from featuremill.cloud.jobs.job import Submission, destination_of
from featuremill.cloud.jobs.serverless import Limits
from featuremill.cloud.jobs.wait import stay
from featuremill.cloud.pricing.throughput import newest_record
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RejectLimit, RunConfig
from featuremill.errors import CloudError
from featuremill.storage.ignored_files import why_no_image

PROBED = 500

_AT_ONCE = 1_000
"""Objects that S3 deletes in one request."""


def probe(place: Place, limits: Limits, model: str, seconds: float = 10.0) -> Plan:
    """Plan that runs 500 of the uploaded images and reads the run's record.

    They are copied within the bucket, to a folder of results that no other run has; copies and
    results are deleted in the end. The last step but one answers, under ``record``, with what
    :func:`featuremill.cloud.pricing.throughput.of_record` takes.

    Parameters
    ----------
    place : Place
        The stack, with images and archive uploaded.
    limits : Limits
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
    return [
        _copy(place, images),
        *submission.plan,
        _wait(place, submission, (images, name)),
        newest_record(place, name),
        _remove(place, (images, name)),
    ]


def _wait(place: Place, submission: Submission, names: tuple[str, ...]) -> Work:
    """Step that waits for the job; if it fails, the copies go all the same, and the logs stay."""

    def wait(aws: Aws, answers: Answers) -> None:
        try:
            stay(submission, answers, aws, place)
        except CloudError:
            _remove(place, names).does(aws, answers)
            raise

    return Work("wait for the probe", wait, calls=("emr-serverless.get_job_run",), changes=False)


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
        copy = {
            "Bucket": bucket,
            "Key": f"results/{name}/{key.removeprefix('input/')}",
            "CopySource": {"Bucket": bucket, "Key": key},
        }
        aws.call(Call("s3", "copy_object", copy, f"copy {key}"))

    return Work(
        f"copy {PROBED} images of s3://{bucket}/input to results/{name}",
        copy_some,
        "copied",
        ("s3.list_objects_v2", "s3.copy_object"),
    )


def _images(aws: Aws, bucket: str) -> Iterator[str]:
    for page in aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix="input/"):
        for entry in page.get("Contents", ()):
            key: str = entry["Key"]
            below = paths.encode(key.removeprefix("input/").encode())
            if not why_no_image(below) and not key.endswith("/"):
                yield key


def _draw(keys: Iterator[str], count: int) -> list[str]:
    """So many of them, each as likely as any other, the same each time."""
    random, chosen = Random(0), list[str]()
    for index, key in enumerate(keys):
        if index < count:
            chosen.append(key)
        elif (place := random.randrange(index + 1)) < count:
            chosen[place] = key
    return chosen


def _remove(place: Place, names: tuple[str, ...]) -> Work:
    bucket = place.output("Bucket")

    def remove(aws: Aws, _: Answers) -> int:
        keys = [
            {"Key": entry["Key"]}
            for name in names
            for page in aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=f"results/{name}/")
            for entry in page.get("Contents", ())
        ]
        for start in range(0, len(keys), _AT_ONCE):
            batch = {"Objects": keys[start : start + _AT_ONCE], "Quiet": True}
            delete = {"Bucket": bucket, "Delete": batch}
            aws.call(Call("s3", "delete_objects", delete, "delete what the probe needed"))
        return len(keys)

    why = f"delete results/{' and results/'.join(names)}"
    return Work(why, remove, "removed", ("s3.list_objects_v2", "s3.delete_objects"))
