"""What has been spent: a run's own bill, the month so far, the budget.

moto knows neither a run's billed use nor a month's costs: that AWS answers in this shape is
unverified here, as are its figures.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from featuremill.cloud.aws.client import Aws, error_code
from featuremill.cloud.jobs.job import SERVERLESS, Job
from featuremill.cloud.pricing.bill import Bill, Line, total
from featuremill.cloud.pricing.prices import Prices
from featuremill.cloud.stack.project_file import ESTIMATE_FILE, Place
from featuremill.errors import CloudError

_TAG = "featuremill"
_QUESTION_USD = "0.01"
_SERVICES: Mapping[str, tuple[str, ...]] = {
    "EMR": ("Elastic MapReduce", "EMR"),
    "EC2": ("Elastic Compute Cloud", "EC2"),
    "S3": ("Simple Storage Service",),
}
"""What one pays for → parts of the names that Cost Explorer has for it."""
OTHER = "all else"
_NOT_YET = (
    "Open Cost Explorer once in the billing console; it answers a day later. The account's owner"
    " may have to let IAM see the bill first."
)
_AGAIN = "Repeat the command in a minute."


@dataclass(frozen=True)
class Kept:
    """An estimate, as it is kept beside the stack's file for a later comparison.

    Money and hours are decimals as text.
    """

    made: str
    images: int
    throughput: str
    vcpu_hours: str
    compute_usd: str


@dataclass(frozen=True)
class Month:
    """Costs of the month so far.

    Parameters
    ----------
    start : str
        Its first day.
    whose : str
        Which costs these are, for people.
    amounts : mapping of str to Decimal
        USD of ``EMR``, ``EC2``, ``S3`` and ``all else``.
    questions : int
        How many were asked of Cost Explorer, which charges for each.
    """

    start: str
    whose: str
    amounts: Mapping[str, Decimal]
    questions: int

    @property
    def usd(self) -> Decimal:
        """All of it."""
        return total(self.amounts.values())

    @property
    def note(self) -> str:
        """What the questions themselves cost, and how old the answers may be."""
        return (
            f"Cost Explorer charges {_QUESTION_USD} USD a question ({self.questions} asked) and"
            " lags by up to a day"
        )


def keep(bill: Bill, folder: Path) -> Path:
    """Write an estimate into a folder, over an earlier one."""
    today, hours = datetime.now(UTC).date().isoformat(), str(bill.vcpu_hours)
    kept = Kept(today, bill.images, bill.throughput.origin, hours, str(bill.compute_usd))
    file = folder / ESTIMATE_FILE
    file.write_text(json.dumps(asdict(kept), indent=2) + "\n", encoding="utf-8")
    return file


def kept(folder: Path) -> Kept | None:
    """The newest estimate made in a folder, or None if there is none that can be read."""
    try:
        return Kept(**json.loads((folder / ESTIMATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@dataclass(frozen=True)
class Spent:
    """What AWS says of what was spent.

    Parameters
    ----------
    job_run : mapping or None
        ``jobRun`` of ``get_job_run``; of a cluster's job AWS tells no cost of its own.
    month : Month or CloudError
        The month so far; why it is unknown, where Cost Explorer does not answer.
    budget : mapping or None
        ``Budget`` of ``describe_budget``, if there is one that may be seen.
    """

    job_run: Mapping[str, Any] | None
    month: Month | CloudError
    budget: Mapping[str, Any] | None


def cost(aws: Aws, place: Place, job: Job | None, today: date) -> Spent:
    """Ask what a job, and what the month so far, has cost.

    Parameters
    ----------
    aws : Aws
        The connection.
    place : Place
        The stack.
    job : Job, optional
        The job.
    today : date
        A day of the month that is meant.
    """
    run = budget = None
    if job is not None and job.kind == SERVERLESS:
        aws.step(f"ask what job {job.id} was billed")
        names: dict[str, Any] = {"applicationId": job.where, "jobRunId": job.id}
        run = aws.call("emr-serverless", "get_job_run", **names)["jobRun"]
    aws.step(f"ask Cost Explorer for {today:%Y-%m} so far")
    month: Month | CloudError
    try:
        month = _month(aws, place, today)
    except CloudError as error:
        # what a job was billed is worth telling without
        first = _AGAIN if _passes(error) else _NOT_YET
        month = CloudError(error.problem, f"{first} {error.remedy}".strip())
    if name := place.outputs.get("BudgetName"):
        aws.step("ask for the budget")
        found: dict[str, Any] = {"AccountId": place.account, "BudgetName": name}
        none = ("NotFoundException", "AccessDeniedException")
        answer = aws.call("budgets", "describe_budget", forgives=none, **found)
        budget = answer["Budget"] if answer else None
    return Spent(run, month, budget)


def billed_lines(
    job_run: Mapping[str, Any], prices: Prices, architecture: str
) -> tuple[Line, ...] | None:
    """A run's own bill, or None while AWS does not know it.

    Parameters
    ----------
    job_run : mapping
        ``jobRun`` of ``get_job_run``.
    prices : Prices
        Prices of the region.
    architecture : str
        Architecture of the application.
    """
    used = job_run.get("billedResourceUtilization")
    if used is None:
        return None
    return tuple(
        Line(
            f"EMR Serverless {what}",
            # the service's own digits, not those of a binary fraction
            Decimal(str(used.get(key, 0))),
            prices.serverless(architecture, item),
            "billed",
        )
        for what, key, item in (
            ("vCPU", "vCPUHour", "vcpu_hour"),
            ("memory", "memoryGBHour", "memory_gb_hour"),
            ("disk above 20 GB", "storageGBHour", "storage_gb_hour"),
        )
    )


def _month(aws: Aws, place: Place, today: date) -> Month:
    first, tomorrow = today.replace(day=1), today + timedelta(days=1)
    asked: dict[str, Any] = {
        "TimePeriod": {"Start": first.isoformat(), "End": tomorrow.isoformat()},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }
    if _tag_is_active(aws):
        whose = f"of stack {place.stack}, by its tag"
        asked["Filter"] = {"Tags": {"Key": _TAG, "Values": [place.stack]}}
    else:
        whose = (
            f"of the whole account, by service, since tag {_TAG} is not activated for cost"
            " allocation"
        )
    pages = list(_pages(aws, asked))
    return aws.here(lambda: _added_up(first, whose, pages), None)


def _added_up(first: date, whose: str, pages: Sequence[Any]) -> Month:
    amounts = dict.fromkeys([*_SERVICES, OTHER], Decimal(0))
    for result in (result for page in pages for result in page["ResultsByTime"]):
        for group in result["Groups"]:
            name = _service(group["Keys"][0])
            usd = Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
            amounts[name] = total((amounts[name], usd))
    return Month(first.isoformat(), whose, amounts, questions=1 + len(pages))


def _passes(error: CloudError) -> bool:
    """Whether AWS did not answer, or is asked too often: that says nothing of the account."""
    return error_code(error) in ("", "ThrottlingException", "LimitExceededException")


def _tag_is_active(aws: Aws) -> bool:
    why = "ask whether costs are told apart by the stack's tag"
    asked: dict[str, Any] = {"Status": "Active", "TagKeys": [_TAG]}
    try:
        answer = aws.call("ce", "list_cost_allocation_tags", why=why, **asked)
    except CloudError as error:
        if _passes(error):
            raise
        # only an organization's main account may ask, or activate one
        return False
    return bool(answer["CostAllocationTags"])


def _pages(aws: Aws, asked: Mapping[str, Any]) -> Iterator[Any]:
    """Answers of ``get_cost_and_usage``, for which boto3 has no paginator."""
    more: dict[str, Any] = {}
    while True:
        why = "ask for the month's costs"
        yield (answer := aws.call("ce", "get_cost_and_usage", why=why, **asked, **more))
        if not answer.get("NextPageToken"):
            return
        more = {"NextPageToken": answer["NextPageToken"]}


def _service(name: str) -> str:
    """Which of our kinds of costs a service's is."""
    fitting = (kind for kind, parts in _SERVICES.items() if any(part in name for part in parts))
    return next(fitting, OTHER)
