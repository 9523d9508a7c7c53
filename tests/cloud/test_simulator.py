"""Who may do what, decided by a simulator of IAM that nobody here wrote: it agrees with ours.

It is npm's ``@cloud-copilot/iam-simulate``, which knows AWS' service authorization reference.
`make test` installs it where there is npm; its licence is the AGPL: it is for development only.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.cloud.conftest import ROOT
from tests.cloud.offline import ACCOUNT, Stack
from tests.cloud.policies import Need
from tests.cloud.test_policies import TABLE, statements

INSTALLED = ROOT / ".simulator"
VERDICTS = {"Allowed": True, "ImplicitlyDenied": False, "ExplicitlyDenied": False}

OBJECTIONS: Mapping[str, str] = {
    # documents of AWS' own have no account in their names; the reference lists those that have
    "ssm:StartSession": "no.resource.types",
    # by the reference it has no resources; "Sample IAM policies for Session Manager" allows it on
    # "arn:aws:ssm:*:*:session/${aws:userid}-*"
    "ssmmessages:OpenDataChannel": "must.use.wildcard",
}
"""Action → what the simulator objects to instead of deciding, where AWS' documents disagree."""


def asked(who: str, need: Need) -> dict[str, Any]:
    kind = "user/ada" if who == "operator" else f"role/{who}"
    return {
        "statements": statements(who, Stack()),
        "principal": f"arn:aws:iam::{ACCOUNT}:{kind}",
        "account": ACCOUNT,
        "action": need.action,
        "resource": need.resource,
        "context": {"aws:RequestedRegion": "eu-west-1", **need.context},
    }


@pytest.fixture(scope="module")
def verdicts() -> list[str]:
    """The simulator's answer to each row of the table."""
    if shutil.which("node") is None or not (INSTALLED / "node_modules").is_dir():
        pytest.skip("there is no Node with the simulator: `make .simulator/.stamp` installs it")
    questions = [asked(who, need) for who, need, _ in TABLE]
    decided = subprocess.run(
        ["node", str(ROOT / "tests" / "cloud" / "simulator" / "decide.mjs"), str(INSTALLED)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[str] = json.loads(decided.stdout)
    return answers


@pytest.mark.slow
def test_another_simulator_decides_the_whole_table_alike(verdicts: list[str]) -> None:
    decided = [
        (who, need, may, verdict)
        for (who, need, may), verdict in zip(TABLE, verdicts, strict=True)
        if verdict != OBJECTIONS.get(need.action)
    ]
    assert len(decided) > 200
    others = [
        (who, need) for who, need, may, verdict in decided if VERDICTS.get(verdict) is not may
    ]
    assert others == []


def test_it_objects_to_nothing_else(verdicts: list[str]) -> None:
    objected = {
        need.action: verdict
        for (_, need, _), verdict in zip(TABLE, verdicts, strict=True)
        if verdict not in VERDICTS
    }
    assert objected == OBJECTIONS
