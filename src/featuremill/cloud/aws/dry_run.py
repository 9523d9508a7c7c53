"""A plan in words, for ``--dry-run``: every call whole, and nothing that is secret."""

import hashlib
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featuremill.cloud.aws.plan import Call, Later, Plan, Step, Wait, Work

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


def lines(plan: Plan) -> Iterator[str]:
    """Describe a plan for people: each step, and of each call every parameter, as YAML has it.

    Values that only running it will tell stand in angle brackets, with the step that tells them.
    """
    numbers = {_name(step): number for number, step in enumerate(plan, start=1) if _name(step)}
    for number, step in enumerate(plan, start=1):
        yield f"{number:2}. {_why(step)}"
        if isinstance(step, Work):
            yield from (f"      {call}" for call in step.calls)
            continue
        call = _call(step)
        until = f" until {' or '.join(step.done)}" if isinstance(step, Wait) else ""
        yield f"      {call.service}.{call.operation}{until}"
        for line in _mapping(_told(call.parameters, numbers)):
            yield f"        {line}"


def _call(step: Call | Wait) -> Call:
    return step.call if isinstance(step, Wait) else step


def _why(step: Step) -> str:
    return step.why if isinstance(step, Work) else _call(step).why


def _name(step: Step) -> str:
    return step.name if isinstance(step, Work) else _call(step).name


def _told(value: Any, numbers: Mapping[str, int]) -> Any:
    """The same without secrets, and with words for what is not known yet."""
    if isinstance(value, Later):
        return value.form.replace("{}", f"<{value.path} of step {numbers.get(value.step, '?')}>")
    if isinstance(value, Mapping):
        encrypted = value.get("Type") == _ENCRYPTED
        return {
            name: _HIDDEN
            if _secret(name) or (encrypted and name == "Value")
            else _told(each, numbers)
            for name, each in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_told(each, numbers) for each in value]
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
        yield from (f"  {line}" for line in _mapping(_told(parsed, {})))
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
