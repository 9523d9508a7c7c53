"""Writes down every call that comes to moto: who signed it, and what was asked of which service.

Whatever sent it: jobs read and write by obstore and delta-rs, of which botocore knows nothing.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Recorded(NamedTuple):
    """A call that came.

    Parameters
    ----------
    who : str
        Id of the access key that signed it.
    region : str
        For which it was signed.
    service, operation : str
        As botocore names them: ``s3``, ``ListObjectsV2``.
    parameters : mapping
        What was asked, without the contents of objects.
    """

    who: str
    region: str
    service: str
    operation: str
    parameters: Mapping[str, Any]


def read(file: Path) -> Iterator[Recorded]:
    """All calls that were written down, in the order in which they came."""
    with open(file, encoding="utf-8") as lines:
        yield from (Recorded(*json.loads(line)) for line in lines)


def install(file: Path) -> None:
    """Let moto write down what it is asked, a line each."""
    from moto.core.responses import BaseResponse

    begun, writing = BaseResponse.setup_class, threading.Lock()

    def begin(self: Any, request: Any, *more: Any, **named: Any) -> None:
        begun(self, request, *more, **named)
        line = json.dumps(_recorded(self, request), default=str)
        with writing, open(file, "a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    BaseResponse.setup_class = begin  # type: ignore[method-assign]


def _recorded(response: Any, request: Any) -> Recorded:
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.request import determine_request_protocol
    from moto.core.utils import get_service_model

    service = get_service_model(response.boto3_service_name)
    operation = service.operation_model(response._get_action())
    parser = PROTOCOL_PARSERS[determine_request_protocol(service, request.content_type)]
    # the content of an object is nothing to parse
    body = b"" if operation.has_streaming_input else request.data
    parameters = parser(operation, map_type=dict).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": body,
            "url_path": request.path,
            "url_params": response.uri_match,
        }
    )
    signed = re.search(r"Credential=([^/]+)/\d+/([^/]+)/", request.headers["Authorization"])
    assert signed is not None
    return Recorded(signed[1], signed[2], service.service_name, operation.name, parameters)
