"""Finds and removes earlier versions of objects, where a bucket keeps them.

In such a bucket nothing that is overwritten or deleted is gone: the newest version is replaced by
a next one, or hidden by a delete marker.
"""

from collections.abc import Iterator
from typing import Any

from featuremill.errors import StorageError
from featuremill.storage.s3_clients import code

_MOST_AT_ONCE = 1000
"""Objects that one request may delete."""

_UNKNOWN_HERE = {"NotImplemented", "MethodNotAllowed"}
"""What stores answer that speak S3 and do not know a request."""

Version = dict[str, str]


def keeps_versions(client: Any, bucket: str, prefix: str) -> bool:
    """Whether a bucket keeps versions, or once did; that they can be listed is tried out."""
    from botocore.exceptions import ClientError

    try:
        if "Status" not in client.get_bucket_versioning(Bucket=bucket):
            return False
        client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        if code(error) in _UNKNOWN_HERE:
            return False
        raise
    return True


def purge(client: Any, bucket: str, prefix: str) -> int:
    """Delete all that is not the newest version of a key, and all of keys that were deleted.

    Returns
    -------
    int
        Versions and delete markers that were deleted.

    Raises
    ------
    StorageError
        If one of them cannot be deleted.
    """
    earlier: list[Version] = []
    markers: list[Version] = []
    # all before the first is deleted, since a listing goes on from the last one it gave
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        versions = page.get("Versions", ())
        earlier.extend(_identity(version) for version in versions if not version["IsLatest"])
        markers.extend(map(_identity, page.get("DeleteMarkers", ())))
    # markers last: without its marker, the newest version left of a key would be there again
    for some in (*_parts(earlier), *_parts(markers)):
        _delete(client, bucket, some)
    return len(earlier) + len(markers)


def _parts(versions: list[Version]) -> Iterator[list[Version]]:
    for start in range(0, len(versions), _MOST_AT_ONCE):
        yield versions[start : start + _MOST_AT_ONCE]


def _identity(version: dict[str, Any]) -> Version:
    return {"Key": version["Key"], "VersionId": version["VersionId"]}


def _delete(client: Any, bucket: str, versions: list[Version]) -> None:
    from botocore.exceptions import ClientError

    try:
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
    except ClientError as refused:
        if code(refused) not in _UNKNOWN_HERE:
            raise
        answer = {}
        for version in versions:
            client.delete_object(Bucket=bucket, **version)
    for error in answer.get("Errors", ()):
        raise StorageError(
            f"cannot delete version {error.get('VersionId')} of s3://{bucket}/{error.get('Key')}:"
            f" {error.get('Code')}: {error.get('Message')}",
            "Allow s3:DeleteObjectVersion there, and end what retains it (Object Lock), then run"
            " the same command again.",
        )
