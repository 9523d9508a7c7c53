"""The budget, where CloudFormation does not know budgets as a resource.

Budgets themselves know no regions: there the same one as the template's is made by a call.
"""

from collections.abc import Mapping
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
from featuremill.cloud.stack.events import describe
from featuremill.cloud.stack.parameters import BUDGET_REGIONS

ALERTS = (50, 80, 100)
"""Percent of the budget at which a mail is sent."""


def budget_name(stack: str) -> str:
    """Name of a stack's budget."""
    return f"{stack}-monthly"


def keep(stack: str, region: str) -> Plan:
    """Plan that makes the budget as the stack's parameters say, or nothing where the stack does.

    Parameters
    ----------
    stack, region : str
        A stack that is deployed.
    """
    if region in BUDGET_REGIONS:
        return []

    def make(aws: Aws, _answers: Answers) -> None:
        found: Any = describe(aws, stack) or {}
        given = {
            each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", ())
        }
        # made anew, since its alerts may have another address
        aws.call(_delete(aws, stack))
        aws.call(Call("budgets", "create_budget", _wanted(aws, stack, given), "make the budget"))

    calls = ("sts.get_caller_identity", "budgets.delete_budget", "budgets.create_budget")
    return [Work(f"make the budget {budget_name(stack)}", make, calls=calls)]


def forget(stack: str, region: str) -> Plan:
    """Plan that deletes the budget where the stack does not."""
    if region in BUDGET_REGIONS:
        return []
    return [
        Work(
            f"delete the budget {budget_name(stack)}",
            lambda aws, _answers: aws.call(_delete(aws, stack)),
            calls=("sts.get_caller_identity", "budgets.delete_budget"),
        )
    ]


def _account(aws: Aws) -> str:
    who = Call("sts", "get_caller_identity", {}, "see who is signed in", changes=False)
    return str(aws.call(who)["Account"])


def _delete(aws: Aws, stack: str) -> Call:
    parameters = {"AccountId": _account(aws), "BudgetName": budget_name(stack)}
    missing = ("NotFoundException",)
    return Call("budgets", "delete_budget", parameters, "delete the budget", forgives=missing)


def _wanted(aws: Aws, stack: str, given: Mapping[str, str]) -> dict[str, Any]:
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
        "AccountId": _account(aws),
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
