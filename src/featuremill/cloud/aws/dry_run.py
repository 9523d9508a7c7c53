"""A connection that calls nothing: for ``--dry-run``, it shows each call, without what is secret.

The command itself runs on it, so what is shown is what would be called. Answers are stand-ins made
by the shapes of AWS' own models: ``<jobRunId of step 3>`` in the place of what only AWS can tell.
"""

import hashlib
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, cast

from featuremill.cloud.aws.client import Aws, Say, T

_SECRET = ("password", "secret", "token", "credential")
_NO_SECRET = ("clienttoken", "clientrequesttoken", "nexttoken")
"""Names that only look like it: by these AWS knows a repeated call."""
_ENCRYPTED = "SecureString"
"""Type of the values of Systems Manager that are secret, whatever they are called."""
_HIDDEN = "(not shown)"

_WIDTH = 96
_LONGEST = 80
"""Lines of a text that is shown whole; of a longer one, the beginning and the checksum."""
_BEGINNING = 8
_DEPTH, _DEEPEST = 3, 6
"""Lists in lists, and names below names, of a stand-in: some of AWS' shapes hold themselves."""


@dataclass(eq=False)
class DryRun(Aws):
    """In place of a connection.

    Parameters
    ----------
    tell : callable
        Told each line.
    holds : bool
        Whether the account holds one of everything, as for commands that end what is there; else
        listings are empty, and what may not be there is not.
    known : mapping
        Operation → its answer, or the part of it that a command depends on.
    verbose : bool
        Whether each call is shown, or the steps alone.
    """

    tell: Say = print
    holds: bool = False
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    verbose: bool = True
    number: int = field(default=0, init=False)
    dry: ClassVar[bool] = True
    _shown: set[str] = field(default_factory=set, init=False)

    def step(self, why: str, *, silent: bool = False) -> None:  # noqa: ARG002
        """Show a step with its number."""
        self.number += 1
        self.doing = why
        self._shown.clear()
        self.tell(f"{self.number:2}. {why}")

    def told(self, what: str) -> str:
        """Stands for what only running this step will tell."""
        return f"<{what} of step {self.number}>"

    def call(
        self,
        service: str,
        operation: str,
        /,
        *,
        why: str = "",  # noqa: ARG002
        forgives: tuple[str, ...] = (),
        **parameters: Any,
    ) -> Any:
        """Show a call; what may be missing is there if the account holds everything."""
        self._show(service, operation, parameters)
        if forgives and not self.holds and operation not in self.known:
            return None
        return self._answer(service, operation, some=True)

    def pages(self, service: str, operation: str, **parameters: Any) -> Iterator[Any]:
        """Show a listing, of one page."""
        self._show(service, operation, parameters)
        yield self._answer(service, operation, some=self.holds)

    def send_file(self, file: Path, bucket: str, key: str) -> None:  # noqa: ARG002
        """Show the calls by which a large file is sent."""
        where = {"Bucket": bucket, "Key": key}
        for operation in ("create_multipart_upload", "upload_part", "complete_multipart_upload"):
            self._show("s3", operation, where)

    def here(self, work: Callable[[], T], stand_in: Any) -> T:  # noqa: ARG002
        """Do nothing."""
        return cast(T, stand_in)

    def wait(
        self,
        service: str,
        operation: str,
        path: str,  # noqa: ARG002
        /,
        *,
        done: tuple[str, ...],
        **options: Any,
    ) -> Any:
        """Show what is asked, and until when."""
        own = ("failed", "reason", "seconds", "limit", "remedy")
        asked = {name: value for name, value in options.items() if name not in own}
        self._show(service, operation, asked, f" until {' or '.join(done)}")
        return self._answer(service, operation, some=True)

    def until(self, what: str, over: Callable[[], bool], *_: Any) -> None:  # noqa: ARG002
        """Show what is asked."""
        over()

    def _show(
        self, service: str, operation: str, parameters: Mapping[str, Any], until: str = ""
    ) -> None:
        """Tell a call, and in one step the same one once."""
        if self.recorder:
            self.recorder(service, _models(service)[operation].name, parameters)
        if not self.verbose:
            return
        lines = [f"{service}.{operation}{until}"]
        lines += [f"  {line}" for line in _mapping(_without_secrets(parameters))]
        text = "\n".join(f"      {line}" for line in lines)
        if text not in self._shown:
            self._shown.add(text)
            self.tell(text)

    def _answer(self, service: str, operation: str, *, some: bool) -> Any:
        shape = _models(service)[operation].output_shape
        answer = self._stand_in(shape, "", _DEPTH if some else 0) if shape else {}
        return _with(answer, self.known.get(operation, {}))

    def _stand_in(self, shape: Any, path: str, deep: int) -> Any:
        match shape.type_name:
            case "structure" if path.count(".") < _DEEPEST:
                return {
                    name: self._stand_in(member, f"{path}.{name}".lstrip("."), deep)
                    for name, member in shape.members.items()
                    # there is one page and no other, and nothing goes wrong
                    if not name.endswith(("Token", "Marker", "Errors"))
                }
            case "list":
                return [self._stand_in(shape.member, f"{path}[0]", deep - 1)] if deep else []
            case "map" | "structure":
                return {}
            case "timestamp":
                return datetime.now(UTC)
            case "blob":
                return b""
            case "string" | "character":
                return self.told(path)
            case _:
                return 0


def _with(answer: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with what is known of it, at any depth of names."""
    return {
        **answer,
        **{
            name: _with(answer.get(name, {}), each) if isinstance(each, Mapping) else each
            for name, each in known.items()
        },
    }


@cache
def _models(service: str) -> Mapping[str, Any]:
    """Method of boto3's client → AWS' model of the operation."""
    from botocore import xform_name
    from botocore.session import Session

    model = Session().get_service_model(service)
    return {xform_name(name): model.operation_model(name) for name in model.operation_names}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        encrypted = value.get("Type") == _ENCRYPTED
        return {
            name: _HIDDEN
            if _secret(name) or (encrypted and name == "Value")
            else _without_secrets(each)
            for name, each in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_without_secrets(each) for each in value]
    return value


def _secret(name: str) -> bool:
    name = name.lower()
    return name not in _NO_SECRET and any(word in name for word in _SECRET)


def _mapping(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield from _under(f"{name}:", value)


def _under(head: str, value: Any) -> Iterator[str]:
    """A value behind its name or its hyphen, on as many lines as it takes."""
    if isinstance(value, str):
        yield from _text(head, value)
    elif value == b"":
        yield f"{head} <content>"
    elif isinstance(value, bytes):
        yield f"{head} ({len(value):,} bytes, SHA-256 {hashlib.sha256(value).hexdigest()})"
    elif isinstance(value, Mapping) and value:
        yield head
        yield from (f"  {line}" for line in _mapping(value))
    elif isinstance(value, Sequence) and value:
        yield head
        yield from (f"  {line}" for each in value for line in _item(each))
    else:
        yield f"{head} {json.dumps(value, default=str)}"


def _item(value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield from _under("-", value)
        return
    for number, line in enumerate(_mapping(value)):
        yield f"{'-' if number == 0 else ' '} {line}"


def _text(head: str, text: str) -> Iterator[str]:
    if parsed := _json(text):
        yield f"{head} # as JSON"
        yield from (f"  {line}" for line in _mapping(_without_secrets(parsed)))
        return
    shown = text.splitlines()
    if len(shown) > 1:
        yield f"{head} |"
        whole = len(shown) <= _LONGEST
        yield from (f"  {line}".rstrip() for line in (shown if whole else shown[:_BEGINNING]))
        if not whole:
            digest = hashlib.sha256(text.encode()).hexdigest()
            yield f"  … {len(shown) - _BEGINNING:,} more lines; SHA-256 of all {digest}"
    elif len(head) + len(text) >= _WIDTH and " " in text:
        yield f"{head} >"
        # options each on a line of its own
        for part in re.split(r" (?=--)", text):
            folded = textwrap.wrap(part, _WIDTH, break_long_words=False, break_on_hyphens=False)
            yield from (f"  {line}" for line in folded)
    else:
        yield f"{head} {text}" if text else f'{head} ""'


def _json(text: str) -> dict[str, Any]:
    """What a text of JSON says, if it is one of an object that has anything."""
    try:
        parsed = json.loads(text) if text.startswith("{") else None
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
