"""`cloud cost`: a job's own bill beside its estimate, the month so far, the budget.

That AWS answers in the shapes recorded here is unverified: moto bills nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.job import CLUSTER, SERVERLESS, Job
from featuremill.cloud.pricing import cost as costs
from featuremill.cloud.pricing import prices, throughput
from featuremill.cloud.pricing.bill import serverless_bill
from featuremill.cloud.pricing.cost import Month, billed_lines, cost, keep, kept
from featuremill.cloud.stack import project_file as places
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError
from tests.cloud.answers import Request, answering
from tests.cloud.stack import OUTPUTS, described, dry_run, featuremill, folder

__all__ = ["folder"]

TODAY = date(2026, 11, 21)
JOB = Job(
    SERVERLESS,
    OUTPUTS["ApplicationId"],
    "00g55dl97kt8ho0r",
    "main",
    "s3://pictures/results/main",
    "2026-11-21T12:00:00+00:00",
)
ASKED = f"GET /applications/{JOB.where}/jobruns/{JOB.id}"


def group(service: str, usd: str) -> dict[str, Any]:
    return {"Keys": [service], "Metrics": {"UnblendedCost": {"Amount": usd, "Unit": "USD"}}}


SPENT = {
    "ResultsByTime": [
        {
            "TimePeriod": {"Start": "2026-11-01", "End": "2026-11-22"},
            "Total": {},
            "Groups": [
                group("Amazon Elastic MapReduce", "1.25"),
                group("Amazon Elastic Compute Cloud - Compute", "0.5"),
                group("EC2 - Other", "0.25"),
                group("Amazon Simple Storage Service", "0.125"),
                group("AWS Cost Explorer", "0.04"),
            ],
            "Estimated": True,
        }
    ],
    "DimensionValueAttributes": [],
}
ACTIVE = {
    "CostAllocationTags": [{"TagKey": "featuremill", "Type": "UserDefined", "Status": "Active"}]
}
BUDGET = {
    "Budget": {
        "BudgetName": "featuremill-monthly",
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": "10.0", "Unit": "USD"},
        "CalculatedSpend": {"ActualSpend": {"Amount": "2.165", "Unit": "USD"}},
    }
}
BILLED = {"vCPUHour": 1.751, "memoryGBHour": 7.613, "storageGBHour": 0.0}
RUN = {
    "jobRun": {
        "applicationId": JOB.where,
        "jobRunId": JOB.id,
        "state": "SUCCESS",
        "billedResourceUtilization": BILLED,
    }
}
ANSWERS = {
    ASKED: RUN,
    "ListCostAllocationTags": ACTIVE,
    "GetCostAndUsage": SPENT,
    "DescribeBudget": BUDGET,
}


def stack() -> Place:
    """A stack with a budget."""
    known = described()
    outputs = {**known.outputs, "BudgetName": "featuremill-monthly"}
    return Place(known.stack, known.region, known.account, outputs)


@pytest.fixture
def ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose stack has a budget and has run a job."""
    monkeypatch.setenv("FEATUREMILL_CACHE", str(folder / "cache"))
    places.save(JOB.kept_in(stack()), folder)
    return folder


def month(**answers: Any) -> tuple[Month, list[Request]]:
    """What is found of the month so far, and what was asked for it."""
    with answering({**ANSWERS, **answers}) as (endpoint, came):
        found = cost(Aws("eu-west-1", endpoint_url=endpoint), stack(), None, TODAY)
    assert isinstance(found.month, Month)
    return found.month, came


def refusing(code: str, message: str) -> Aws:
    """A connection whose Cost Explorer refuses, by botocore's own stand-in."""
    aws = Aws("eu-west-1")
    stub = Stubber(aws.client("ce"))
    stub.add_client_error("list_cost_allocation_tags", code, message)
    stub.add_client_error("get_cost_and_usage", code, message)
    stub.activate()
    return aws


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "User not enabled for cost explorer access"),
        ("DataUnavailableException", "Data is not available."),
        ("BillExpirationException", "Bill expired"),
    ],
)
def test_where_cost_explorer_is_not_open_yet_that_is_said(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    found = cost(refusing(code, message), described(), None, TODAY).month
    assert isinstance(found, CloudError)
    assert message in found.problem
    assert "Open Cost Explorer once" in found.remedy


@pytest.mark.parametrize("code", ["ThrottlingException", "LimitExceededException"])
def test_a_question_asked_too_often_is_not_taken_for_a_closed_cost_explorer(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    found = cost(refusing(code, "Rate exceeded"), described(), None, TODAY).month
    assert isinstance(found, CloudError)
    assert "Rate exceeded" in found.problem
    assert found.remedy.startswith("Repeat the command in a minute.")
    assert "Open Cost Explorer" not in found.remedy


@pytest.mark.parametrize("operation", ["list_cost_allocation_tags", "get_cost_and_usage"])
def test_an_answer_that_does_not_come_leaves_the_month_unknown_not_the_whole_accounts(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws = Aws("eu-west-1")

    def silent(**_: object) -> None:
        raise ReadTimeoutError(endpoint_url="https://ce.us-east-1.amazonaws.com")

    monkeypatch.setattr(aws.client("ce"), operation, silent)
    with Stubber(aws.client("ce")) as stub:
        stub.add_response("list_cost_allocation_tags", ACTIVE)
        found = cost(aws, described(), None, TODAY).month
    assert isinstance(found, CloudError)
    assert "Read timeout" in found.problem
    assert "Open Cost Explorer" not in found.remedy
    assert "Repeat the command in a minute." in found.remedy


def asked_of(came: list[Request], operation: str) -> list[Any]:
    return [request.content for request in came if request.operation == operation]


# The job


def test_a_job_costs_what_it_was_billed_times_the_prices() -> None:
    known = prices.load("eu-west-1")
    vcpu, memory, disk = billed_lines(RUN["jobRun"], known, "x86_64") or ()
    # 1.751 x 0.052624 and 7.613 x 0.0057785, to the last digit
    assert vcpu.usd == Decimal("0.092144624")
    assert memory.usd == Decimal("0.0439917205")
    assert disk.usd == 0


def test_a_job_that_runs_has_no_bill_yet() -> None:
    assert billed_lines({"state": "RUNNING"}, prices.load("eu-west-1"), "x86_64") is None


# The month


def test_where_the_tag_is_activated_the_month_is_the_stacks_own() -> None:
    found, came = month()
    (asked,) = asked_of(came, "GetCostAndUsage")
    assert asked["Filter"] == {"Tags": {"Key": "featuremill", "Values": ["featuremill"]}}
    # the end is not part of it
    assert asked["TimePeriod"] == {"Start": "2026-11-01", "End": "2026-11-22"}
    assert found.whose == "of stack featuremill, by its tag"


@pytest.mark.parametrize("tags", [{"CostAllocationTags": []}, None])
def test_elsewhere_it_is_the_accounts_by_service_and_that_is_said(tags: Any) -> None:
    # None: only an organization's main account may ask
    answers = {name: answer for name, answer in ANSWERS.items() if name != "ListCostAllocationTags"}
    with answering({**answers, **({} if tags is None else {"ListCostAllocationTags": tags})}) as (
        endpoint,
        came,
    ):
        answered = cost(Aws("eu-west-1", endpoint_url=endpoint), stack(), None, TODAY)
    (asked,) = asked_of(came, "GetCostAndUsage")
    assert "Filter" not in asked
    assert answered.month.whose.startswith("of the whole account, by service, since tag")


def test_services_are_told_apart() -> None:
    found, _ = month()
    assert found.amounts == {
        "EMR": Decimal("1.25"),
        # 0.5 + 0.25
        "EC2": Decimal("0.75"),
        "S3": Decimal("0.125"),
        "all else": Decimal("0.04"),
    }
    assert found.usd == Decimal("2.165")


def test_pages_are_added_up_and_every_question_is_counted() -> None:
    def paged(content: Any) -> dict[str, Any]:
        return SPENT if "NextPageToken" in content else {**SPENT, "NextPageToken": "more"}

    found, _ = month(GetCostAndUsage=paged)
    assert found.usd == 2 * Decimal("2.165")
    assert found.questions == 3
    assert "0.01 USD a question (3 asked)" in found.note


def test_the_first_day_of_a_month_is_a_period_too() -> None:
    with answering(ANSWERS) as (endpoint, came):
        cost(Aws("eu-west-1", endpoint_url=endpoint), stack(), None, date(2026, 12, 1))
    (asked,) = asked_of(came, "GetCostAndUsage")
    assert asked["TimePeriod"] == {"Start": "2026-12-01", "End": "2026-12-02"}


def test_a_question_that_is_not_allowed_says_what_to_do() -> None:
    answers = {name: answer for name, answer in ANSWERS.items() if name != "GetCostAndUsage"}
    with answering(answers) as (endpoint, _):
        found = cost(Aws("eu-west-1", endpoint_url=endpoint), stack(), None, TODAY).month
    assert isinstance(found, CloudError)
    assert "ask for the month's costs: AWS answered" in found.problem
    assert "--operator" in found.remedy


# The command


def described_as_xml(outputs: Mapping[str, str]) -> str:
    members = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for key, value in outputs.items()
    )
    return (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>"
        f"<StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{members}</Outputs>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )


KNOWN = {
    "GetCallerIdentity": "<GetCallerIdentityResponse><GetCallerIdentityResult>"
    "<Account>123456789012</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>",
    "DescribeStacks": described_as_xml(stack().outputs),
}


def told(*options: str, **answers: Any) -> str:
    with answering({**ANSWERS, **KNOWN, **answers}) as (endpoint, _):
        shown = featuremill("cloud", "cost", "--endpoint-url", endpoint, *options)
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def test_the_command_shows_what_was_billed_beside_the_estimate(ours: Path) -> None:
    speed = throughput.given(50.0)
    estimated = serverless_bill(1_000_000, speed, prices.load("eu-west-1"), "x86_64", 16)
    keep(estimated, ours)
    shown = told()
    for text in (
        "job       00g55dl97kt8ho0r, SUCCESS",
        "EMR Serverless vCPU: 1.751 vCPU-hours x 0.052624 USD = 0.0921 USD (2023-02-03 price)",
        # 0.092144624 + 0.0439917205
        "billed    0.136 USD in all, S3 apart",
        # 0.385675454736 + 0.108521836423
        "estimate  0.494 USD and 7.329 vCPU-hours for 1,000,000 images, made on 20",
        "month     since 20",
        "2.16 USD = EMR 1.25 USD, EC2 0.750 USD, S3 0.125 USD, all else 0.0400 USD",
        # 2.165 of 10
        "budget    featuremill-monthly: 2.16 USD of 10.00 USD, 22 %",
    ):
        assert text in shown


def test_amounts_in_euros_name_rate_and_date(ours: Path) -> None:
    shown = told("--currency", "EUR", "--rate", "0.9", "--rate-date", "2026-11-20")
    # 10 x 0.9
    assert "of 9.00 EUR, 22 %" in shown
    assert "rate      1 USD = 0.9 EUR, as given for 2026-11-20" in shown


def test_without_an_estimate_that_is_said(ours: Path) -> None:
    assert "estimate  none was made in this folder" in told()


def test_the_job_is_told_also_where_the_month_is_unknown(ours: Path) -> None:
    known = {**ANSWERS, **KNOWN}
    del known["GetCostAndUsage"]
    with answering(known) as (endpoint, _):
        shown = featuremill("cloud", "cost", "--endpoint-url", endpoint)
    assert shown.exit_code == 0, shown.output
    assert "job       00g55dl97kt8ho0r, SUCCESS" in shown.stdout
    assert "month     unknown: ask for the month's costs" in shown.stdout
    assert "budget    featuremill-monthly: 2.16 USD" in shown.stdout


def test_a_job_that_is_not_over_says_so(ours: Path) -> None:
    running = {"jobRun": {**RUN["jobRun"], "state": "RUNNING"}}
    del running["jobRun"]["billedResourceUtilization"]
    assert "billed    AWS does not know yet" in told(**{ASKED: running})


def test_of_a_clusters_job_only_the_month_is_known(ours: Path) -> None:
    places.save(replace(JOB, kind=CLUSTER, where="j-1", id="s-1").kept_in(stack()), ours)
    assert "job       s-1 ran on cluster j-1: see EMR and EC2 of the month" in told()


def test_no_job_is_no_error(ours: Path) -> None:
    places.save(stack(), ours)
    assert "job       none was submitted from this folder" in told()


def test_a_budget_that_has_counted_nothing_yet_is_at_zero(ours: Path) -> None:
    fresh = {name: value for name, value in BUDGET["Budget"].items() if name != "CalculatedSpend"}
    assert "0.00 USD of 10.00 USD, 0 %" in told(DescribeBudget={"Budget": fresh})


def test_a_stack_without_a_budget_is_no_error(ours: Path) -> None:
    places.save(JOB.kept_in(described()), ours)
    stack_without = described_as_xml(described().outputs)
    assert "budget    there is none" in told(DescribeStacks=stack_without)


def test_a_dry_run_asks_nothing(ours: Path) -> None:
    shown = dry_run("cloud", "cost")
    for call in ("get_job_run", "list_cost_allocation_tags", "get_cost_and_usage"):
        assert call in shown


def test_a_kept_estimate_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert kept(tmp_path) is None
    (tmp_path / costs.ESTIMATE_FILE).write_text("{}")
    assert kept(tmp_path) is None


def test_against_moto_a_month_and_a_budget_are_empty_but_there(aws: Aws) -> None:
    budget = {
        "BudgetName": "featuremill-monthly",
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": "10", "Unit": "USD"},
    }
    aws.client("budgets").create_budget(AccountId="123456789012", Budget=budget)
    spent = cost(aws, stack(), None, TODAY)
    assert spent.month.usd == 0
    assert spent.budget is not None
    assert spent.budget["BudgetName"] == "featuremill-monthly"
