"""The archive and the entry point that `featuremill cloud package` left in the bucket."""

import re
from collections.abc import Iterator
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Work
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

CODE = "code"
"""Name under which :func:`find_code` keeps its answer: ``archive`` and ``entry``, s3:// URLs."""

_ARCHIVE = re.compile(r"code/featuremill-[^-]+-(.+)-(x86_64|arm64)-([0-9a-f]{12})\.tar\.gz")
_ENTRY = re.compile(r"code/featuremill-job-([0-9a-f]{12})\.py")


def find_code(place: Place, architecture: str, model: str | None = None) -> Work:
    """Step that finds the archive packaged last for an architecture, and its entry point.

    Parameters
    ----------
    place : Place
        Whose bucket to look in.
    architecture : str
        ``x86_64`` or ``arm64``.
    model : str, optional
        Of the job: workers could not fetch its weights.
    """
    bucket = place.output("Bucket")

    def find(aws: Aws, _answers: Answers) -> dict[str, str]:
        objects, needed = list(_objects(aws, bucket)), model if _is_published(model) else None
        archives = [match for each in objects if (match := _ARCHIVE.fullmatch(each["Key"]))]
        fitting = {
            match[3]: match[0]
            for match in archives
            if match[2] == architecture and needed in (None, match[1])
        }
        # packaging what is there already renews the entry point, and nothing else
        for entry in sorted(objects, key=lambda each: each["LastModified"], reverse=True):
            match = _ENTRY.fullmatch(entry["Key"])
            if match and match[1] in fitting:
                archive = fitting[match[1]]
                return {"archive": f"s3://{bucket}/{archive}", "entry": f"s3://{bucket}/{match[0]}"}
        there = sorted({f"{match[2]} with {match[1]}" for match in archives})
        raise _missing(bucket, architecture, needed, there)

    why = f"find the newest archive for {architecture} in s3://{bucket}/code"
    return Work(why, find, CODE, ("s3.list_objects_v2",), changes=False)


def _is_published(model: str | None) -> bool:
    """Whether a model's weights are packed beside the code, of which they are no part."""
    from featuremill.models import registry

    return model is not None and isinstance(registry.get(model).weights, registry.Published)


def _missing(bucket: str, architecture: str, model: str | None, there: list[str]) -> CloudError:
    weights, option = (f" with {model}", f" --model {model}") if model else ("", "")
    return CloudError(
        f"s3://{bucket}/code holds no archive for {architecture}{weights}"
        f" (there: {', '.join(there) or 'none'})",
        f"Build it: `featuremill cloud package --architecture {architecture}{option}`.",
    )


def _objects(aws: Aws, bucket: str) -> Iterator[dict[str, Any]]:
    for page in aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix="code/featuremill-"):
        yield from page.get("Contents", ())
