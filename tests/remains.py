"""Whether a name is still anywhere in some files: decoded and searched, and not only grepped."""

import base64
import csv
import gzip
import html
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def versions_of(client: Any, bucket: str) -> dict[str, bytes]:
    """Content of every version of every object of a bucket; a delete marker has none."""
    found = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for marker in page.get("DeleteMarkers", ()):
            found[f"{marker['Key']} (deleted)"] = b""
        for version in page.get("Versions", ()):
            key, number = version["Key"], version["VersionId"]
            answer = client.get_object(Bucket=bucket, Key=key, VersionId=number)
            found[f"{key} {number}"] = answer["Body"].read()
    return found


def remains(files: Mapping[str, bytes], *needles: str) -> list[str]:
    """Where one of some names stands, as ``file: needle``."""
    found = []
    for name, data in files.items():
        texts = [name, *_texts(name.partition(" ")[0], data)]
        found += [f"{name}: {needle}" for needle in needles if any(needle in t for t in texts)]
    return found


def _texts(name: str, data: bytes) -> Iterator[str]:
    """All that can be read from a file, as it is and decoded."""
    yield data.decode("latin-1")
    yield data.decode("utf-8", "replace")
    if data[:4] == b"PAR1":
        yield from _parquet(data)
    elif data[:2] == b"\x1f\x8b":
        yield from _texts(name, gzip.decompress(data))
    elif name.endswith(".json"):
        for line in [data, *data.splitlines()]:
            yield from _json(line)
    elif name.endswith(".csv"):
        for row in csv.reader(io.StringIO(data.decode(), newline="")):
            yield from row
    elif name.endswith(".html"):
        yield from _page(data.decode())


def _parquet(data: bytes) -> Iterator[str]:
    file = pq.ParquetFile(io.BytesIO(data))
    yield str(file.metadata.metadata)
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            yield str(file.metadata.row_group(group).column(column).statistics)
    for column in file.read().columns:
        if not str(column.type).startswith("list"):
            yield from map(str, column.to_pylist())


def _json(data: bytes) -> Iterator[str]:
    try:
        yield from _strings(json.loads(data))
    except ValueError:
        return


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str):
        yield value
        # statistics stand as JSON within JSON in a log
        if value[:1] == "{":
            yield from _json(value.encode())


def _page(text: str) -> Iterator[str]:
    yield html.unescape(text)
    for script in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S):
        value = json.loads(script)
        yield from _strings(value)
        for start, _, end, names in value.get("folders", ()):
            yield from (f"{start}{name}{end}" for name in names)
    for block in re.findall(r"[A-Za-z0-9+/]{64,}={0,2}", text):
        yield base64.b64decode(block + "=" * (-len(block) % 4)).decode("latin-1")
