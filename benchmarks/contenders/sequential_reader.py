"""The simplest reader of a bucket: boto3, one object after the other, nothing done with them."""

import argparse
import json
import time
from importlib import metadata
from itertools import islice

import boto3


def main() -> None:
    """Read some objects and print how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bucket")
    parser.add_argument("--endpoint-url", required=True)
    parser.add_argument("--objects", type=int, required=True)
    options = parser.parse_args()
    client = boto3.client("s3", endpoint_url=options.endpoint_url)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=options.bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    began = time.perf_counter()
    read = 0
    for key in islice(keys, options.objects):
        read += len(client.get_object(Bucket=options.bucket, Key=key)["Body"].read())
    seconds = time.perf_counter() - began
    answer = {
        "images": min(options.objects, len(keys)),
        "bytes": read,
        "seconds": seconds,
        "versions": {"boto3": metadata.version("boto3")},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
