"""The archive and the entry point that `featuremill cloud package` left in the bucket."""

from dataclasses import dataclass

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.packaging.archive import ARCHIVE_NAME, ENTRY_NAME
from featuremill.cloud.packaging.package import FOLDER
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError


@dataclass(frozen=True)
class Code:
    """What a job runs: ``s3://`` URLs of an archive and of its entry point."""

    archive: str
    entry: str


def find_code(aws: Aws, place: Place, architecture: str, model: str | None = None) -> Code:
    """Find the archive packaged last for an architecture, and its entry point.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        Whose bucket to look in.
    architecture : str
        ``x86_64`` or ``arm64``.
    model : str, optional
        Of the job: workers could not fetch its weights.

    Raises
    ------
    CloudError
        If there is none that fits.
    """
    bucket = place.output("Bucket")
    aws.step(f"find the newest archive for {architecture} in s3://{bucket}/{FOLDER}")
    newest_first, needed = _names(aws, bucket), model if _is_published(model) else None
    stand_in = Code(aws.told("archive"), aws.told("entry"))
    return aws.here(lambda: _newest(bucket, newest_first, architecture, needed), stand_in)


def _newest(bucket: str, newest_first: list[str], architecture: str, needed: str | None) -> Code:
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
            return Code(f"{where}/{fitting[match[1]]}", f"{where}/{name}")
    there = sorted({f"{match[2]} with {match[1]}" for match in archives})
    raise _missing(bucket, architecture, needed, there)


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
    found = [*aws.objects(bucket, f"{FOLDER}/featuremill-")]
    found.sort(key=lambda each: each["LastModified"], reverse=True)
    return [each["Key"].removeprefix(f"{FOLDER}/") for each in found]
