"""``featuremill cloud estimate`` and ``cost``."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.cloud.options import (
    Access,
    changing_aws,
    here,
    interrupted,
    tell,
    was_dry,
)
from featuremill.cloud.aws.regions import DEFAULT_REGION, check_region
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.jobs.job import DEFAULT_NAME
from featuremill.cloud.stack.parameters import ARCHITECTURES
from featuremill.cloud.stack.project_file import FILE, Place
from featuremill.config import DEFAULT_SAMPLE
from featuremill.errors import CloudError, ConfigError

if TYPE_CHECKING:
    from featuremill.cloud.jobs.job import Job
    from featuremill.cloud.pricing.bill import Bill, Currency
    from featuremill.cloud.pricing.cost import Month, Spent
    from featuremill.cloud.pricing.estimate import Question
    from featuremill.cloud.pricing.prices import Price

_flag = partial(click.option, is_flag=True)
_number = partial(click.option, type=int, metavar="N", show_default=True)
_named = partial(click.option, show_default=True)


def currency_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--currency``, ``--rate`` and ``--rate-date``."""
    day = "Date of the rate.  [default: today, in UTC]"
    command = click.option("--rate-date", metavar="DATE", help=day)(command)
    rate = "Price of one US dollar in euros, such as 0.9."
    command = click.option("--rate", metavar="R", help=rate)(command)
    known, what = click.Choice(["USD", "EUR"]), "Currency of the amounts; EUR needs --rate."
    return _named("--currency", type=known, default="USD", help=what)(command)


@click.command()
@click.argument("source", metavar="[SRC]", required=False)
@_number("--images", help="Number of images.  [default: those of SRC are counted]")
@_named(
    "--architecture",
    type=click.Choice(ARCHITECTURES),
    help="Processors of the workers.  [default: the stack's, else x86_64]",
)
@_number("--max-vcpu", default=DEFAULT_VCPU, help="Largest number of vCPUs in use at once.")
@_flag("--cluster", help="Reckon with EMR on EC2 instead, as `submit --cluster` uses it.")
@_named(
    "--region", help=f"Region whose prices count.  [default: the stack's, else {DEFAULT_REGION}]"
)
@_named("--throughput", type=float, metavar="X", help="Images that one vCPU embeds in a second.")
@_flag("--measure", help="Measure the throughput on this machine: the default.")
@_flag("--probe", help="Run 500 uploaded images on AWS first, for a few cents.")
@_flag("--last-run", help="Take the throughput of the last run on AWS.")
@_named("--name", default=DEFAULT_NAME, help="Name of the results of that last run.")
@_number("--sample", default=DEFAULT_SAMPLE, help="Number of images to measure with.")
@_named("--model", default="mobilenetv2", help="Network that embeds the images.")
@_flag("--refresh-prices", help="Ask AWS' price list first, and keep its answer.")
@currency_options
@changing_aws
def estimate(
    source: str | None,
    access: Access,
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
    from featuremill.cloud.pricing.estimate import estimate as reckon

    place, money = (here() if Path(FILE).exists() else None), currency(options)
    question = _question(source, place, options)
    question.check_stack(place)
    aws = access.to_region(question.region)
    if place is not None and (options["probe"] or options["last_run"]):
        # these read and write the stack's bucket
        place, aws = access.to_stack()
        question = _question(source, place, options)
    instances = _machines(question) if options["cluster"] else ()
    with interrupted(
        "A probe that was submitted goes on: `featuremill cloud status --last 1` names it,"
        " `featuremill cloud stop JOB` ends it, and its copies stay in results/."
        if options["probe"]
        else "Nothing was changed."
    ):
        bill = reckon(aws, question, place, instances if options["refresh_prices"] else None)
    if was_dry(aws):
        return
    for line in shown(bill, money):
        tell(line)
    if place is not None:
        tell(f"kept      {keep(bill, Path())}, for `featuremill cloud cost`")


def _question(source: str | None, place: Place | None, options: dict[str, Any]) -> "Question":
    from featuremill.cloud.pricing.estimate import Question

    passed_on = ("images", "cluster", "max_vcpu", "name", "sample", "model")
    region = options["region"] or (place.region if place else DEFAULT_REGION)
    stacks = place.outputs.get("Architecture") if place else None
    return Question(
        region=check_region(region, place.allowed_regions if place else ()),
        architecture=options["architecture"] or stacks or ARCHITECTURES[0],
        source=source,
        origin=_origin(options),
        speed=options["throughput"],
        **{key: options[key] for key in passed_on},
    )


def _machines(question: "Question") -> tuple[str, ...]:
    """EC2 machines whose prices count."""
    from featuremill.cloud.jobs.fleets import FAMILIES

    return tuple(f"{family}.xlarge" for family in FAMILIES[question.architecture])


def _origin(options: dict[str, Any]) -> str:
    """The option that says where the throughput comes from."""
    # a throughput of 0 was given too, and is refused
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("throughput", "measure", "probe", "last_run")
        if options[name] is not None and options[name] is not False
    ]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} were given", "Give one of them.")
    return given[0] if given else "--measure"


def currency(options: dict[str, Any]) -> "Currency":
    """What amounts are to be shown in.

    Raises
    ------
    ConfigError
        If a rate is missing, not needed or no number.
    """
    from featuremill.cloud.pricing.bill import Currency

    code, rate, day = options["currency"], options["rate"], options["rate_date"]
    if code == "USD" and rate is not None:
        raise ConfigError(f"--rate is {rate}, but amounts are in USD", "Add --currency EUR.")
    if code == "USD":
        return Currency()
    remedy = f"Say how many {code} one USD is, such as --rate 0.9."
    if rate is None:
        raise ConfigError(f"--currency is {code}, and no --rate was given", remedy)
    try:
        return Currency(code, Decimal(rate), day or datetime.now(UTC).date().isoformat())
    except InvalidOperation as error:
        raise ConfigError(f"--rate is {rate!r}, no number", remedy) from error


def shown(bill: "Bill", money: "Currency") -> Iterator[str]:
    """An estimate for people, a line for each part of the arithmetic."""
    from featuremill.cloud.pricing.bill import MONTH, UPLOAD
    from featuremill.cloud.pricing.throughput import SHIPPING_SECONDS

    speed, ready = bill.throughput, bill.ready_seconds
    yield f"images    {bill.images:,}"
    yield f"speed     {speed.per_vcpu:,.1f} images/s for each vCPU, {speed.origin}"
    yield from (f"assumed   {each}" for each in speed.assumptions)
    embedding = bill.images / (bill.slots * speed.per_vcpu)
    yield (
        f"time      {bill.seconds:,} s = {SHIPPING_SECONDS:.0f} s archive"
        f" + {speed.start_seconds:.0f} s start"
        f" + {bill.images:,} / ({bill.slots} slots x {speed.per_vcpu:,.1f}/s) = {embedding:,.0f} s"
        f" + {bill.images * speed.after_each:,.0f} s PCA and outputs"
        + (f" + {ready:.0f} s until machines are ready" if ready else "")
        + ", at least 60 s"
    )
    yield f"workers   {bill.workers}; {bill.vcpu_hours:,.3f} vCPU-hours"
    for line in bill.lines:
        price = f"{line.price.usd.normalize():f} USD for each {line.price.unit}"
        amount = f"{line.quantity.normalize():f} x {price} = {money.shown(line.usd)}"
        yield f"{line.when:8}  {line.what}: {line.how} = {amount}"
    yield from (f"left out  {each}" for each in bill.not_counted)
    yield from (f"prices    {each}" for each in sources(line.price for line in bill.lines))
    yield from _rate_line(money)
    of_million = bill.usd_per_million
    million = f", {money.shown(of_million)} for one of a million images" if of_million else ""
    yield f"total     {money.shown(bill.usd())} for the run{million}"
    once, monthly = money.shown(bill.usd(UPLOAD)), money.shown(bill.usd(MONTH))
    yield f"besides   {once} once for the upload, {monthly} each month while all is kept"


def _rate_line(money: "Currency") -> Iterator[str]:
    if money.date:
        yield f"rate      1 USD = {money.rate} {money.code}, as given for {money.date}"


def sources(prices: Iterable["Price"]) -> Iterator[str]:
    """Where prices are from and of which day, each once."""
    items: dict[str, list[str]] = {}
    for price in prices:
        note = f" ({price.note})" if price.note else ""
        source = f"{price.date}, {price.region}, {price.source}{note}"
        items.setdefault(source, []).append(price.item)
    for source, named in items.items():
        yield f"{', '.join(dict.fromkeys(named))}: {source}"


@click.command()
@currency_options
@changing_aws
def cost(access: Access, **options: Any) -> None:
    """Tell what the last job, and the month so far, have cost, beside estimate and budget.

    A job's own use is billed by EMR Serverless; of a cluster's job AWS tells only the month's
    costs. Each question to Cost Explorer costs 0.01 USD; two are asked.

    \b
    Examples:
      featuremill cloud cost
      featuremill cloud cost --currency EUR --rate 0.9 --rate-date 2026-11-20
    """
    from featuremill.cloud.jobs.job import submitted_here
    from featuremill.cloud.pricing.cost import cost as ask

    money = currency(options)
    place, aws = access.to_stack(check=submitted_here)
    job = submitted_here(place)
    spent = ask(aws, place, job, datetime.now(UTC).date())
    if was_dry(aws):
        return
    for line in (
        *_job_lines(place, job, spent, money),
        *_month_lines(spent.month, money),
        _budget_line(spent.budget, money),
        *_rate_line(money),
    ):
        tell(line)


def _job_lines(place: Place, job: "Job | None", spent: "Spent", money: "Currency") -> Iterator[str]:
    from featuremill.cloud.pricing import prices
    from featuremill.cloud.pricing.bill import total
    from featuremill.cloud.pricing.cost import billed_lines, kept

    if job is None:
        yield "job       none was submitted from this folder"
        return
    if spent.job_run is None:
        yield f"job       {job.id} ran on cluster {job.where}: see EMR and EC2 of the month"
        return
    run = spent.job_run
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


def _month_lines(month: "Month | CloudError", money: "Currency") -> Iterator[str]:
    if isinstance(month, CloudError):
        yield f"month     unknown: {month.problem}"
        yield f"note      {month.remedy}"
        return
    parts = ", ".join(f"{name} {money.shown(usd)}" for name, usd in month.amounts.items())
    yield f"month     since {month.start}, {month.whose}: {money.shown(month.usd)} = {parts}"
    yield f"note      {month.note}"


def _budget_line(budget: Any, money: "Currency") -> str:
    if budget is None:
        return "budget    there is none, or it may not be seen; `featuremill cloud deploy` makes it"
    limit = Decimal(budget["BudgetLimit"]["Amount"])
    spent = Decimal(budget.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", "0"))
    return (
        f"budget    {budget['BudgetName']}: {money.shown(spent)} of {money.shown(limit)},"
        f" {100 * spent / limit:.0f} %"
    )
