"""The archive and the entry point that `featuremill cloud package` left in the bucket."""

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Work
from featuremill.cloud.packaging.archive import ARCHIVE_NAME, ENTRY_NAME
from featuremill.cloud.packaging.package import FOLDER
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

CODE = "code"
"""Name under which :func:`find_code` keeps its answer: ``archive`` and ``entry``, s3:// URLs."""


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
        newest_first, needed = _names(aws, bucket), model if _is_published(model) else None
        archives = [match for name in newest_first if (match := ARCHIVE_NAME.fullmatch(name))]
        fitting = {
            match[3]: match[0]
            for match in archives
            if match[2] == architecture and needed in (None, match[1])
        }
        # packaging what is there already renews the entry point, and nothing else
        for name in newest_first:
            match = ENTRY_NAME.fullmatch(name)
            if match and match[1] in fitting:
                where = f"s3://{bucket}/{FOLDER}"
                return {"archive": f"{where}/{fitting[match[1]]}", "entry": f"{where}/{name}"}
        there = sorted({f"{match[2]} with {match[1]}" for match in archives})
        raise _missing(bucket, architecture, needed, there)

    why = f"find the newest archive for {architecture} in s3://{bucket}/{FOLDER}"
    return Work(why, find, CODE, ("s3.list_objects_v2",), changes=False)


def _is_published(model: str | None) -> bool:
    """Whether a model's weights are packed beside the code, of which they are no part."""
    from featuremill.models import registry

    return model is not None and isinstance(registry.get(model).weights, registry.Published)


def _missing(bucket: str, architecture: str, model: str | None, there: list[str]) -> CloudError:
    weights, option = (f" with {model}", f" --model {model}") if model else ("", "")
    return CloudError(
        f"s3://{bucket}/{FOLDER} holds no archive for {architecture}{weights}"
        f" (there: {', '.join(there) or 'none'})",
        f"Build it: `featuremill cloud package --architecture {architecture}{option}`.",
    )


def _names(aws: Aws, bucket: str) -> list[str]:
    """Names of all archives and entry points, the newest first."""
    pages = aws.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=f"{FOLDER}/featuremill-")
    found = [each for page in pages for each in page.get("Contents", ())]
    found.sort(key=lambda each: each["LastModified"], reverse=True)
    return [each["Key"].removeprefix(f"{FOLDER}/") for each in found]
