"""Whether what lies at a destination is a whole and sound result.

Each module looks at one part of it and notes what it finds
(:class:`~featuremill.checks.findings.Findings`); nothing is written, and whatever fails, all that
can still be looked at is looked at.
"""

from featuremill.checks.config import CheckConfig
from featuremill.checks.findings import Check
from featuremill.checks.job import CheckResult, check

__all__ = ["Check", "CheckConfig", "CheckResult", "check"]
