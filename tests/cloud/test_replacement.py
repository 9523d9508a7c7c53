"""Updates of the stack: none of them replaces what has a name, and the guide says what happens."""

import copy
import re
from typing import Any

import pytest

from tests.cloud.conftest import ROOT
from tests.cloud.offline import Stack, load
from tests.cloud.replacement import OTHER_VALUES, effects, traps

TABLE = ROOT / "docs" / "stack-updates.md"
STANDING = {
    "Studio": "true",
    "CreateOperator": "true",
    "JupyterCidr": "203.0.113.0/24",
    "DenyOtherRegions": "true",
}
"""A stack that has everything, so that changes meet it."""


def both_ways(parameter: str) -> list[tuple[Stack, Stack]]:
    """Updates of one parameter: on a plain stack and on a full one, there and back."""
    value = OTHER_VALUES[parameter]
    return [
        pair
        for given in ({}, STANDING)
        for old, new in [(Stack(**given), Stack(**{**given, parameter: value}))]
        for pair in ((old, new), (new, old))
    ]


def test_every_parameter_is_tried() -> None:
    assert set(OTHER_VALUES) == set(Stack().template["Parameters"])


@pytest.mark.parametrize("parameter", OTHER_VALUES)
def test_no_update_replaces_what_has_a_name_of_its_own(parameter: str) -> None:
    for before, after in both_ways(parameter):
        assert traps(effects(before, after)) == []


BUDGET = """
Type: AWS::Budgets::Budget
Properties:
  Budget: {BudgetName: !Sub "${AWS::StackName}-monthly", BudgetType: COST, TimeUnit: MONTHLY}
  NotificationsWithSubscribers: [{Subscribers: [{Address: !Ref AlertEmail}]}]
"""


def test_a_budget_with_a_name_whose_alerts_change_is_such_a_trap() -> None:
    """It was one: its alerts can only be set when it is made."""

    def with_budget(**parameters: str) -> Stack:
        stack = Stack(**parameters)
        stack.template = copy.deepcopy(stack.template)
        budget: Any = load(BUDGET)
        stack.template["Resources"]["Budget"] = budget
        return stack

    found = effects(with_budget(), with_budget(AlertEmail="me@example.org"))
    assert traps(found) == ["Budget"]


def rows() -> list[str]:
    """What the page is to say: a row for each parameter."""
    written = []
    for parameter in OTHER_VALUES:
        found = [each for pair in both_ways(parameter) for each in effects(*pair)]
        cells = []
        for actions in (("change",), ("replace",), ("add", "remove")):
            names = sorted({each.name for each in found if each.action in actions})
            cells.append(", ".join(f"`{name}`" for name in names) or "–")
        written.append(f"| `{parameter}` | {' | '.join(cells)} |")
    return written


def test_the_page_says_what_each_parameter_changes() -> None:
    said = re.findall(r"^\| `.*\|$", TABLE.read_text(), re.MULTILINE)
    assert said == rows(), "docs/stack-updates.md is to say:\n" + "\n".join(rows())
