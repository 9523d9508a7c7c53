"""The budget of a stack, made after it.

It is no resource of the stack: CloudFormation replaces a budget whose alerts get another address,
which a budget with a name does not survive, and where billing is closed to IAM all of a new stack
would be taken back for its sake.
"""

from collections.abc import Mapping
from typing import Any

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.plan import Answers, Call, Plan, Work
from featuremill.cloud.stack.events import Say, describe
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


def keep(stack: str, region: str, say: Say = lambda _: None) -> Plan:
    """Plan that makes the budget as the stack's parameters say.

    Where AWS refuses it, that is said: a stack without a budget is still of use.

    Parameters
    ----------
    stack, region : str
        A stack that is deployed.
    say : callable
        Told where there can be no budget, and what to do about it.
    """

    def make(aws: Aws, _answers: Answers) -> None:
        found: Any = describe(aws, stack) or {}
        given = {
            each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", ())
        }
        name = budget_name(stack, region)
        try:
            # made anew, since its alerts may have another address
            aws.call(_delete(aws, name))
            wanted = _wanted(aws, stack, name, given)
            aws.call(Call("budgets", "create_budget", wanted, "make the budget"))
        except CloudError as error:
            say(f"warning: there is no budget {name}: {error.problem}. {_REMEDY}")

    calls = ("sts.get_caller_identity", "budgets.delete_budget", "budgets.create_budget")
    return [Work(f"make the budget {budget_name(stack, region)}", make, calls=calls)]


def forget(stack: str, region: str, say: Say = lambda _: None) -> Plan:
    """Plan that deletes the budget.

    Where AWS refuses it, that is said, and :mod:`featuremill.cloud.stack.leftovers` looks for it.
    """
    name = budget_name(stack, region)

    def delete(aws: Aws, _answers: Answers) -> None:
        try:
            aws.call(_delete(aws, name))
        except CloudError as error:
            say(f"warning: budget {name} was not deleted: {error.problem}")

    calls = ("sts.get_caller_identity", "budgets.delete_budget")
    return [Work(f"delete the budget {name}", delete, calls=calls)]


def _account(aws: Aws) -> str:
    who = Call("sts", "get_caller_identity", {}, "see who is signed in", changes=False)
    return str(aws.call(who)["Account"])


def _delete(aws: Aws, name: str) -> Call:
    parameters = {"AccountId": _account(aws), "BudgetName": name}
    missing = ("NotFoundException",)
    return Call("budgets", "delete_budget", parameters, "delete the budget", forgives=missing)


def _wanted(aws: Aws, stack: str, name: str, given: Mapping[str, str]) -> dict[str, Any]:
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
