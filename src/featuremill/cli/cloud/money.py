"""``featuremill cloud estimate`` and ``cost``."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.cloud.options import (
    carry_out,
    connect,
    connection_options,
    dry_run_option,
    here,
    interrupted,
    reach,
    tell,
)
from featuremill.cloud.aws.regions import DEFAULT_REGION, check_region
from featuremill.cloud.stack.project_file import FILE, Place
from featuremill.config import DEFAULT_SAMPLE
from featuremill.errors import ConfigError

if TYPE_CHECKING:
    from featuremill.cloud.aws.plan import Answers, Plan
    from featuremill.cloud.jobs.job import Job
    from featuremill.cloud.pricing.bill import Bill, Currency
    from featuremill.cloud.pricing.cost import Month

_ARCHITECTURES = ("x86_64", "arm64")


CURRENCY_OPTIONS = (
    click.option(
        "--currency",
        type=click.Choice(["USD", "EUR"]),
        default="USD",
        show_default=True,
        help="Of the amounts; EUR needs --rate.",
    ),
    click.option("--rate", metavar="R", help="EUR for one USD, such as 0.9."),
    click.option("--rate-date", metavar="DATE", help="Of the rate.  [default: today, in UTC]"),
)

_ESTIMATE_OPTIONS = (
    click.option(
        "--images", type=int, metavar="N", help="How many there are.  [default: those of SRC]"
    ),
    click.option(
        "--architecture",
        type=click.Choice(_ARCHITECTURES),
        help="Of the workers.  [default: the stack's, else x86_64]",
    ),
    click.option(
        "--max-vcpu", type=int, default=16, show_default=True, metavar="N", help="vCPUs at once."
    ),
    click.option("--cluster", is_flag=True, help="On EMR on EC2, as `submit --cluster`."),
    click.option("--region", help=f"[default: the stack's, else {DEFAULT_REGION}]"),
    click.option(
        "--throughput", type=float, metavar="X", help="Images a second that one vCPU embeds."
    ),
    click.option("--measure", is_flag=True, help="Measure it on this machine: the default."),
    click.option("--probe", is_flag=True, help="Run 500 uploaded images on AWS, for a few cents."),
    click.option("--last-run", is_flag=True, help="Take that of the last run on AWS."),
    click.option("--name", default="main", show_default=True, help="Results of that last run."),
    click.option(
        "--sample",
        type=int,
        default=DEFAULT_SAMPLE,
        show_default=True,
        metavar="N",
        help="Images to measure with.",
    ),
    click.option("--model", default="mobilenetv2", show_default=True, help="The network."),
    click.option("--refresh-prices", is_flag=True, help="Ask AWS' price list first."),
    *CURRENCY_OPTIONS,
)


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Add options to a command, in their order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command()
@click.argument("source", metavar="[SRC]", required=False)
@with_options(*_ESTIMATE_OPTIONS)
@connection_options
@dry_run_option
def estimate(
    source: str | None,
    dry_run: bool,
    profile: str | None,
    endpoint_url: str | None,
    **options: Any,
) -> None:
    """Tell what a run on AWS will take: time, vCPU-hours and money, with the arithmetic.

    SRC is a folder of images or an archive; with --images it can be left out. Speed is measured
    on this machine (with drawn pictures where there is no folder), unless it is given, probed on
    AWS, or known from the last run there. Prices come from a table with dates and sources, or
    from AWS by --refresh-prices.

    \b
    Examples:
      featuremill cloud estimate photos
      featuremill cloud estimate --images 1000000 --throughput 60
      featuremill cloud estimate photos --probe --currency EUR --rate 0.9
      featuremill cloud estimate photos --last-run --max-vcpu 64
    """
    from featuremill.cloud.pricing.cost import keep
    from featuremill.cloud.pricing.estimate import BILL

    place, money = _stack(), currency(options)
    plan, region = _estimate_plan(source, place, options)
    aws = connect(region, profile, endpoint_url)
    if place is not None and (options["probe"] or options["last_run"]):
        # these read and write the stack's bucket
        place, aws = reach(profile, endpoint_url, dry_run=dry_run)
        plan, _ = _estimate_plan(source, place, options)
    with interrupted(
        "A probe that was submitted goes on: `featuremill cloud status --last 1` names it,"
        " `featuremill cloud stop JOB` ends it, and its copies stay in results/."
        if options["probe"]
        else "Nothing was changed."
    ):
        answers = carry_out(plan, aws, dry_run=dry_run)
    if answers is None:
        return
    for line in shown(answers[BILL], money):
        tell(line)
    if place is not None:
        tell(f"kept      {keep(answers[BILL], Path())}, for `featuremill cloud cost`")


def _stack() -> Place | None:
    """The stack of this folder, if it has one."""
    return here() if Path(FILE).exists() else None


def _estimate_plan(
    source: str | None, place: Place | None, options: dict[str, Any]
) -> "tuple[Plan, str]":
    from featuremill.cloud.jobs.fleets import FAMILIES
    from featuremill.cloud.pricing.estimate import Question
    from featuremill.cloud.pricing.estimate import estimate as plan

    region = options["region"] or (place.region if place else DEFAULT_REGION)
    architecture = options["architecture"] or _architecture_of(place)
    question = Question(
        region=check_region(region, place.allowed_regions if place else ()),
        architecture=architecture,
        source=source,
        origin=_origin(options),
        speed=options["throughput"],
        **{key: options[key] for key in _PASSED_ON},
    )
    machines = tuple(f"{family}.xlarge" for family in FAMILIES[architecture])
    instances = machines if options["cluster"] else ()
    return plan(question, place, instances if options["refresh_prices"] else None), region


_PASSED_ON = ("images", "cluster", "max_vcpu", "name", "sample", "model")


def _architecture_of(place: Place | None) -> str:
    known = place.outputs.get("Architecture") if place else None
    return known or _ARCHITECTURES[0]


def _origin(options: dict[str, Any]) -> str:
    """The option that says where the throughput comes from."""
    origins = ("throughput", "measure", "probe", "last_run")
    # a throughput of 0 was given too, and is refused
    given = [name for name in origins if options[name] is not None and options[name] is not False]
    named = [f"--{name.replace('_', '-')}" for name in given]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} were given", "Give one of them.")
    return named[0] if named else "--measure"


def currency(options: dict[str, Any]) -> "Currency":
    """What amounts are to be shown in.

    Raises
    ------
    ConfigError
        If a rate is missing, not needed or no number.
    """
    from featuremill.cloud.pricing.bill import USD, Currency

    code, rate, day = options["currency"], options["rate"], options["rate_date"]
    if code == USD.code:
        if rate is not None:
            raise ConfigError(f"--rate is {rate}, but amounts are in USD", "Add --currency EUR.")
        return USD
    if rate is None:
        raise ConfigError(
            f"--currency is {code}, and no --rate was given",
            f"Say how many {code} one USD is, such as --rate 0.9.",
        )
    try:
        return Currency(code, Decimal(rate), day or datetime.now(UTC).date().isoformat())
    except InvalidOperation as error:
        raise ConfigError(f"--rate is {rate!r}, no number", "Write it as 0.9.") from error


def shown(bill: "Bill", money: "Currency") -> Iterator[str]:
    """An estimate for people, a line for each part of the arithmetic."""
    from featuremill.cloud.pricing.bill import MONTH, UPLOAD
    from featuremill.cloud.pricing.throughput import SHIPPING_SECONDS

    speed = bill.throughput
    yield f"images    {bill.images:,}"
    yield f"speed     {speed.per_vcpu:,.1f} images/s for each vCPU, {speed.origin}"
    yield from (f"assumed   {each}" for each in speed.assumptions)
    embedding = bill.images / (bill.slots * speed.per_vcpu)
    parts = [
        f"{SHIPPING_SECONDS:.0f} s archive",
        f"{speed.start_seconds:.0f} s start",
        f"{bill.images:,} / ({bill.slots} slots x {speed.per_vcpu:,.1f}/s) = {embedding:,.0f} s",
        f"{bill.images * speed.after_each:,.0f} s PCA and outputs",
    ]
    parts += [f"{bill.ready_seconds:.0f} s until machines are ready"] if bill.ready_seconds else []
    yield f"time      {bill.seconds:,} s = {' + '.join(parts)}, at least 60 s"
    yield f"workers   {bill.workers}; {bill.vcpu_hours:,.3f} vCPU-hours"
    for line in bill.lines:
        price = f"{line.price.usd.normalize():f} USD for each {line.price.unit}"
        amount = f"{line.quantity.normalize():f} x {price} = {money.shown(line.usd)}"
        yield f"{line.when:8}  {line.what}: {line.how} = {amount}"
    yield from (f"left out  {each}" for each in bill.not_counted)
    yield from (f"prices    {each}" for each in sources(bill))
    yield from _rate_line(money)
    of_million = bill.usd_per_million
    million = f", {money.shown(of_million)} for one of a million images" if of_million else ""
    yield f"total     {money.shown(bill.usd())} for the run{million}"
    once, monthly = money.shown(bill.usd(UPLOAD)), money.shown(bill.usd(MONTH))
    yield f"besides   {once} once for the upload, {monthly} each month while all is kept"


def _rate_line(money: "Currency") -> Iterator[str]:
    if money.date:
        yield f"rate      1 USD = {money.rate} {money.code}, as given for {money.date}"


def sources(bill: "Bill") -> Iterator[str]:
    """Where a bill's prices are from and of which day, each once."""
    names: dict[tuple[str, ...], list[str]] = {}
    for line in bill.lines:
        price = line.price
        known = (price.region, price.date, price.source, price.note)
        names.setdefault(known, []).append(price.item)
    for (region, day, source, note), items in names.items():
        said = f" ({note})" if note else ""
        yield f"{', '.join(dict.fromkeys(items))}: {day}, {region}, {source}{said}"


@click.command()
@with_options(*CURRENCY_OPTIONS)
@click.option("--dry-run", is_flag=True, help="Show the questions that would be asked of AWS.")
@connection_options
def cost(dry_run: bool, profile: str | None, endpoint_url: str | None, **options: Any) -> None:
    """Tell what the last job, and the month so far, have cost, beside estimate and budget.

    A job's own use is billed by EMR Serverless; of a cluster's job AWS tells only the month's
    costs. Each question to Cost Explorer costs 0.01 USD; two are asked.

    \b
    Examples:
      featuremill cloud cost
      featuremill cloud cost --currency EUR --rate 0.9 --rate-date 2026-11-20
    """
    from featuremill.cloud.jobs.job import submitted_here
    from featuremill.cloud.pricing.cost import BUDGET, MONTH
    from featuremill.cloud.pricing.cost import cost as plan

    money = currency(options)
    place, aws = reach(profile, endpoint_url, check=submitted_here, dry_run=dry_run)
    job = submitted_here(place)
    steps = plan(place, job, datetime.now(UTC).date())
    answers = carry_out(steps, aws, dry_run=dry_run)
    if answers is None:
        return
    lines = [
        *_job_lines(place, job, answers, money),
        *_month_lines(answers[MONTH], money),
        _budget_line(answers.get(BUDGET), money),
        *_rate_line(money),
    ]
    for line in lines:
        tell(line)


def _job_lines(
    place: Place, job: "Job | None", answers: "Answers", money: "Currency"
) -> Iterator[str]:
    from featuremill.cloud.pricing import prices
    from featuremill.cloud.pricing.bill import total
    from featuremill.cloud.pricing.cost import BILLED, billed_lines, kept

    if job is None:
        yield "job       none was submitted from this folder"
        return
    if BILLED not in answers:
        yield f"job       {job.id} ran on cluster {job.where}: see EMR and EC2 of the month"
        return
    run = answers[BILLED]["jobRun"]
    yield f"job       {job.id}, {run['state']}"
    table = prices.load(place.region)
    lines = billed_lines(run, table, place.output("Architecture"))
    if lines is None:
        yield "billed    AWS does not know yet; it does when the job is over"
        return
    for line in lines:
        used = f"{line.quantity} {line.price.unit}s x {line.price.usd.normalize():f} USD"
        yield f"billed    {line.what}: {used} = {money.shown(line.usd)} ({line.price.date} price)"
    yield f"billed    {money.shown(total(line.usd for line in lines))} in all, S3 apart"
    before = kept(Path())
    if before is None:
        yield "estimate  none was made in this folder"
        return
    yield (
        f"estimate  {money.shown(Decimal(before.compute_usd))} and"
        f" {Decimal(before.vcpu_hours):,.3f} vCPU-hours for {before.images:,} images,"
        f" made on {before.made}: {before.throughput}"
    )


def _month_lines(month: "Month", money: "Currency") -> Iterator[str]:
    parts = ", ".join(f"{name} {money.shown(usd)}" for name, usd in month.amounts.items())
    yield f"month     since {month.start}, {month.whose}: {money.shown(month.usd)} = {parts}"
    yield f"note      {month.note}"


def _budget_line(answer: Any, money: "Currency") -> str:
    if answer is None:
        return "budget    the stack names none"
    budget = answer["Budget"]
    limit = Decimal(budget["BudgetLimit"]["Amount"])
    spent = Decimal(budget.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", "0"))
    return (
        f"budget    {budget['BudgetName']}: {money.shown(spent)} of {money.shown(limit)},"
        f" {100 * spent / limit:.0f} %"
    )
