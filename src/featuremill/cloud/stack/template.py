"""The CloudFormation template of a stack, as it comes with the package."""

import re
from importlib import resources

BUDGET_REGIONS = ("eu-central-1", "eu-west-1", "eu-west-3")
"""Regions of the EU where CloudFormation knows budgets as a resource; elsewhere it refuses the
whole template. :mod:`featuremill.cloud.stack.budget` makes the same budget there."""

LARGEST = 51_200
"""Bytes that CloudFormation takes as the text of a template."""

_BUDGET = re.compile(r"  # Not every region knows budgets.*?# </budget>\n", re.DOTALL)


def template_body(region: str = BUDGET_REGIONS[0]) -> str:
    """Text of the template, without what a region does not know.

    Parameters
    ----------
    region : str
        Where it will be used.
    """
    file = resources.files("featuremill.cloud.stack") / "templates" / "featuremill.yaml"
    text = file.read_text(encoding="utf-8")
    return text if region in BUDGET_REGIONS else _BUDGET.sub("", text)
