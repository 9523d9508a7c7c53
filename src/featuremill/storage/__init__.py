"""Where images come from and results go to: a folder, or a prefix of an S3 bucket.

To add a storage, write a module beside ``local.py`` with a class that has the methods of
:class:`~featuremill.storage.base.Store`, and give it its scheme in :func:`open_store`.
"""

import os
import re

from featuremill._utils.extras import require
from featuremill.errors import ConfigError, without_passwords
from featuremill.storage.base import NOTHING_LOST, FetchedImage, Listed, Store

__all__ = ["NOTHING_LOST", "FetchedImage", "Listed", "Store", "open_store"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def open_store(
    url: str | os.PathLike[str], *, endpoint_url: str | None = None, region: str | None = None
) -> Store:
    """Store for a folder or an ``s3://bucket/prefix``.

    Nothing is read or written yet, and no client library is loaded before it is needed.

    Raises
    ------
    ConfigError
        If the URL has another scheme or names no bucket.
    MissingExtraError
        If what speaks to S3 is not installed.
    """
    url = os.fspath(url)
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else None
    for what, address in (("the path", url), ("--endpoint-url", endpoint_url or "")):
        if without_passwords(address) != address:
            raise ConfigError(
                f"{what} {address} holds a name or a password",
                "Leave out what stands before the @, and give credentials by AWS_PROFILE or by"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )
    if not url.strip():
        raise ConfigError("an empty path was given", "Name a folder or s3://bucket/prefix.")
    if match is None:
        from featuremill.storage.local import LocalStore

        return LocalStore(os.path.abspath(url))
    if scheme == "file":
        raise ConfigError(f"{url!r} is a file:// URL", "Give the plain path instead.")
    if scheme not in ("s3", "s3a"):
        raise ConfigError(
            f"{url!r} has the scheme {scheme!r}, which is not supported",
            "Name a folder or s3://bucket/prefix.",
        )
    from featuremill.storage.s3 import S3Store

    require("aws", f"{scheme}://")
    bucket, _, prefix = url[match.end() :].partition("/")
    if not bucket:
        raise ConfigError(f"{url!r} names no bucket", "Write it as s3://bucket/prefix.")
    return S3Store(bucket, prefix.strip("/"), endpoint_url=endpoint_url, region=region)
