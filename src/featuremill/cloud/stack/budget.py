"""The budget, where CloudFormation does not know budgets as a resource.

Budgets themselves know no regions: there the same one as the template's is made by a call.
"""

from collections.abc import Mapping
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack.events import describe
from featuremill.cloud.stack.parameters import BUDGET_REGIONS

ALERTS = (50, 80, 100)
"""Percent of the budget at which a mail is sent."""


def budget_name(stack: str) -> str:
    """Name of a stack's budget."""
    return f"{stack}-monthly"


def keep(aws: Aws, stack: str, region: str) -> None:
    """Make the budget as the stack's parameters say, where the stack itself cannot.

    Parameters
    ----------
    aws : Aws
        The connection.
    stack, region : str
        A stack that is deployed.
    """
    if region in BUDGET_REGIONS:
        return
    aws.step(f"make the budget {budget_name(stack)}")
    found: Any = describe(aws, stack) or {}
    given = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", ())}
    account = aws.account()
    # made anew, since its alerts may have another address
    _delete(aws, stack, account)
    aws.call("budgets", "create_budget", **_wanted(account, stack, given))


def forget(aws: Aws, stack: str, region: str) -> None:
    """Delete the budget where the stack does not."""
    if region not in BUDGET_REGIONS:
        aws.step(f"delete the budget {budget_name(stack)}")
        _delete(aws, stack, aws.account())


def _delete(aws: Aws, stack: str, account: str) -> None:
    names = {"AccountId": account, "BudgetName": budget_name(stack)}
    aws.call("budgets", "delete_budget", forgives=("NotFoundException",), **names)


def _wanted(account: str, stack: str, given: Mapping[str, str]) -> dict[str, Any]:
    email = given.get("AlertEmail", "")
    alerts = [
        {
            "Notification": {
                "NotificationType": "ACTUAL",
                "ComparisonOperator": "GREATER_THAN",
                "Threshold": percent,
                "ThresholdType": "PERCENTAGE",
            },
            "Subscribers": [{"SubscriptionType": "EMAIL", "Address": email}],
        }
        for percent in ALERTS
    ]
    return {
        "AccountId": account,
        "Budget": {
            "BudgetName": budget_name(stack),
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": str(given.get("MonthlyBudget", "10")), "Unit": "USD"},
            # credits would hide what is used until they are gone
            "CostTypes": {"IncludeCredit": False, "IncludeRefund": False},
        },
        "NotificationsWithSubscribers": alerts if email else [],
        "ResourceTags": [{"Key": "featuremill", "Value": stack}],
    }
