"""Runs a plan, step by step."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Later, Plan, Step, Wait, Work
from featuremill.errors import CloudError

_LIMIT = 1800.0

Report = Callable[[str], None]
"""Told what is being done, a phrase at a time."""


def execute(plan: Plan, aws: Aws, report: Report = lambda _: None) -> Answers:
    """Run the steps of a plan in order.

    Parameters
    ----------
    plan : sequence of Step
        What to do.
    aws : Aws
        The connection.
    report : callable
        Told about each step before it runs, and about states that are waited for.

    Returns
    -------
    dict
        Answers of the named steps.

    Raises
    ------
    CloudError
        If a call fails, something waited for ends badly, or the wait takes too long.
    """
    answers: Answers = {}
    for step in plan:
        name, answer = _run(step, aws, answers, report)
        if name:
            answers[name] = answer
    return answers


def _run(step: Step, aws: Aws, answers: Answers, report: Report) -> tuple[str, Any]:
    if isinstance(step, Wait):
        return step.call.name, _wait(step, aws, answers, report)
    report(step.why)
    if isinstance(step, Work):
        return step.name, step.does(aws, answers)
    return step.name, aws.call(_resolved(step, answers))


def _wait(step: Wait, aws: Aws, answers: Answers, report: Report) -> Any:
    report(step.call.why)
    call = _resolved(step.call, answers)
    until, last = time.monotonic() + step.limit, ""
    while True:
        answer = aws.call(call)
        state = str(_search(step.path, answer))
        if state != last:
            report(f"{step.call.why}: {state}")
            last = state
        if state in step.done:
            return answer
        if state in step.failed:
            reason = _search(step.reason, answer) if step.reason else None
            raise CloudError(
                f"{step.call.why}: it ended as {state}" + (f": {reason}" if reason else "")
            )
        if time.monotonic() >= until:
            raise CloudError(
                f"{step.call.why}: still {state} after {step.limit:,.0f} seconds", step.remedy
            )
        time.sleep(step.seconds)


def until(what: str, over: Callable[[], bool], seconds: float) -> None:
    """Wait until something is over.

    Parameters
    ----------
    what : str
        What is waited for, as a clause.
    over : callable
        Asked again and again.
    seconds : float
        Between two questions.

    Raises
    ------
    CloudError
        If it takes longer than half an hour.
    """
    limit = time.monotonic() + _LIMIT
    while not over():
        if time.monotonic() >= limit:
            raise CloudError(
                f"gave up after {_LIMIT / 60:.0f} minutes of waiting until {what}",
                "Look at it in the console, then repeat the command.",
            )
        time.sleep(seconds)


def _resolved(call: Call, answers: Mapping[str, Any]) -> Call:
    """The call with every later value filled in."""
    return Call(
        call.service,
        call.operation,
        resolve(call.parameters, answers),
        call.why,
        call.name,
        call.changes,
        call.forgives,
    )


def resolve(value: Any, answers: Mapping[str, Any]) -> Any:
    """Put what earlier steps answered in the places that wait for it, at any depth."""
    if isinstance(value, Later):
        found = _search(value.path, answers[value.step])
        return found if value.form == "{}" else value.form.replace("{}", str(found))
    if isinstance(value, Mapping):
        return {key: resolve(each, answers) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [resolve(each, answers) for each in value]
    return value


def _search(path: str, answer: Any) -> Any:
    import jmespath

    return jmespath.search(path, answer)
