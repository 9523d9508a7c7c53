"""Checks that a destination holds a whole and sound result.

Each module looks at one part of it and notes what it finds
(:class:`~featuremill.workflows.check.findings.Findings`); nothing is written, and whatever fails,
all that can still be looked at is looked at.
"""

from featuremill.workflows.check.findings import Check, CheckConfig
from featuremill.workflows.check.pipeline import CheckResult, check

__all__ = ["Check", "CheckConfig", "CheckResult", "check"]
