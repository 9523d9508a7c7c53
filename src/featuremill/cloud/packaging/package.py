"""Plans for the archive: build it where it is missing, and put it where jobs find it."""

from pathlib import Path

from featuremill.cloud.aws.client import Aws, error_code, explained
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
from featuremill.cloud.packaging.archive import ENTRY, Built, Recipe, build, copy_to

STORED = "stored"
"""Name of the step that tells whether the bucket has the archive already."""
BUILT = "built"
"""Name of the step that gives a :class:`~featuremill.cloud.packaging.archive.Built`, or None where
the bucket has the archive."""

FOLDER = "code"
"""Of the bucket, for archives and their entry points."""
_CHECKED = {"ChecksumAlgorithm": "SHA256"}
"""Sent with every part: S3 refuses what arrives otherwise."""


def archive_address(recipe: Recipe, bucket: str) -> str:
    """Where in the bucket the archive is."""
    return f"s3://{bucket}/{FOLDER}/{recipe.archive}"


def entry_address(recipe: Recipe, bucket: str) -> str:
    """Where in the bucket the archive's entry point is."""
    return f"s3://{bucket}/{FOLDER}/{recipe.entry}"


def package(recipe: Recipe, bucket: str) -> Plan:
    """Plan for having an archive and its entry point in the bucket.

    Parameters
    ----------
    recipe : Recipe
        What the archive holds.
    bucket : str
        Of the stack.

    Returns
    -------
    sequence of Step
        Its steps ``stored`` and ``built`` answer whether it was there, and what was built.
    """

    def look(aws: Aws, _answers: Answers) -> bool:
        return _is_there(aws, bucket, f"{FOLDER}/{recipe.archive}")

    def make(_aws: Aws, answers: Answers) -> Built | None:
        return None if answers[STORED] else build(recipe)

    def send(aws: Aws, answers: Answers) -> None:
        if built := answers[BUILT]:
            _send(aws, built.archive, bucket)
        # also where it is there: the newest one names the archive to use
        key, body = f"{FOLDER}/{recipe.entry}", ENTRY.encode()
        put = {"Bucket": bucket, "Key": key, "Body": body, **_CHECKED}
        aws.call(Call("s3", "put_object", put, f"send {recipe.entry}"))

    return [
        Work(
            f"look for {archive_address(recipe, bucket)}",
            look,
            STORED,
            ("s3.head_object",),
            changes=False,
        ),
        Work(f"build {recipe.archive} if it is not there (minutes, the first time)", make, BUILT),
        Work(
            f"send it if it is not there, and {recipe.entry}",
            send,
            calls=("s3.create_multipart_upload", "s3.upload_part", "s3.put_object"),
        ),
    ]


def package_here(recipe: Recipe, folder: Path) -> Plan:
    """Plan for having an archive and its entry point in a folder of this machine; calls nothing."""

    def make(_aws: Aws, _answers: Answers) -> Built:
        return copy_to(build(recipe), folder)

    why = f"build {recipe.archive} and {recipe.entry} in {folder} (minutes, the first time)"
    return [Work(why, make, BUILT)]


def _is_there(aws: Aws, bucket: str, key: str) -> bool:
    """Whether the bucket has an object; one that is being sent does not count."""
    try:
        aws.client("s3").head_object(Bucket=bucket, Key=key)
    except Exception as error:
        if error_code(error) == "404":
            return False
        raise explained(error, f"look for s3://{bucket}/{key}") from error
    return True


def _send(aws: Aws, archive: Path, bucket: str) -> None:
    """Send a large file in parts, several at a time."""
    key = f"{FOLDER}/{archive.name}"
    with open(archive, "rb") as content:
        try:
            aws.client("s3").upload_fileobj(content, bucket, key, ExtraArgs=_CHECKED)
        except Exception as error:
            raise explained(error, f"send {archive.name} to s3://{bucket}/{key}") from error
