"""The budget of a stack, made after it.

It is no resource of the stack: CloudFormation replaces a budget whose alerts get another address,
which a budget with a name does not survive, and where billing is closed to IAM all of a new stack
would be taken back for its sake.
"""

from collections.abc import Mapping
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.errors import CloudError

ALERTS = (50, 80, 100)
"""Percent of the budget at which a mail is sent."""

_REMEDY = (
    "Nobody is told what is spent until there is one. The account's owner switches on IAM user and"
    " role access to Billing information, on the page Account of the console; then repeat"
    " `featuremill cloud deploy`."
)


def budget_name(stack: str, region: str) -> str:
    """Name of a stack's budget: budgets are the account's, whatever the region."""
    return f"{stack}-{region}-monthly"


def keep(aws: Aws, stack: str, region: str) -> None:
    """Make the budget as the stack's parameters say.

    Where AWS refuses it, that is said: a stack without a budget is still of use.

    Parameters
    ----------
    aws : Aws
        The connection.
    stack, region : str
        A stack that is deployed.
    """
    name = budget_name(stack, region)
    aws.step(f"make the budget {name}")
    found = aws.stack(stack) or {}
    given = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", ())}
    try:
        account = aws.account()
        # made anew, since its alerts may have another address
        _delete(aws, name, account)
        aws.call("budgets", "create_budget", **_wanted(account, stack, name, given))
    except CloudError as error:
        aws.report(f"warning: there is no budget {name}: {error.problem}. {_REMEDY}")


def forget(aws: Aws, stack: str, region: str) -> None:
    """Delete the budget.

    Where AWS refuses it, that is said, and :mod:`featuremill.cloud.stack.leftovers` looks for it.
    """
    name = budget_name(stack, region)
    aws.step(f"delete the budget {name}")
    try:
        _delete(aws, name, aws.account())
    except CloudError as error:
        aws.report(f"warning: budget {name} was not deleted: {error.problem}")


def _delete(aws: Aws, name: str, account: str) -> None:
    names = {"AccountId": account, "BudgetName": name}
    aws.call("budgets", "delete_budget", forgives=("NotFoundException",), **names)


def _wanted(account: str, stack: str, name: str, given: Mapping[str, str]) -> dict[str, Any]:
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
            "BudgetName": name,
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": str(given.get("MonthlyBudget", "10")), "Unit": "USD"},
            # credits would hide what is used until they are gone
            "CostTypes": {"IncludeCredit": False, "IncludeRefund": False},
        },
        "NotificationsWithSubscribers": alerts if email else [],
        "ResourceTags": [{"Key": "featuremill", "Value": stack}],
    }
