"""``featuremill cloud up``: everything with one command."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.cloud.money import currency, currency_options, shown, sources
from featuremill.cli.cloud.options import (
    Access,
    agreeing,
    interrupted,
    reaching_aws,
    say,
    tell,
    was_dry,
    yes_option,
)
from featuremill.cli.cloud.stack import existing, put_up
from featuremill.cli.cloud.transfer import counting
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
from featuremill.cloud.jobs import job
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.confirm import check_account
from featuremill.cloud.stack.parameters import ARCHITECTURES
from featuremill.cloud.stack.project_file import Place
from featuremill.config import DEFAULT_SAMPLE
from featuremill.errors import CloudError, ConfigError

if TYPE_CHECKING:
    from featuremill.cloud.aws.client import Aws
    from featuremill.cloud.jobs.status import Status
    from featuremill.cloud.pricing.bill import Currency
    from featuremill.cloud.pricing.estimate import Question
    from featuremill.cloud.stack.parameters import StackOptions
    from featuremill.cloud.up import Errand
    from featuremill.storage.archive_bounds import Agree
    from featuremill.workflows.doctor import Finding

_GOES_ON = (
    "The job goes on without this command, and costs: the same command waits for it again,"
    " `featuremill cloud stop` ends it."
)


@click.command()
@click.argument("source", metavar="SRC")
@click.option(
    "--to",
    "destination",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DEST",
    help="Folder for the results.",
)
@click.option(
    "--name",
    default=job.DEFAULT_NAME,
    show_default=True,
    help="Name of the results; they are written to results/NAME.",
)
@click.option(
    "--model",
    default="mobilenetv2",
    show_default=True,
    help="Name of the network; `featuremill models` lists them.",
)
@click.option("--region", help="AWS region in the EU, for a new stack.  [default: eu-west-1]")
@click.option("--architecture", metavar="x86_64|arm64", help="Processors of a new stack's workers.")
@click.option(
    "--email", metavar="ADDRESS", help="Address that gets the alerts of a new stack's budget."
)
@click.option(
    "--max-vcpu",
    type=int,
    metavar="N",
    help=f"Largest number of vCPUs at once.  [default: {DEFAULT_VCPU}, or what the stack may use]",
)
@click.option(
    "--images", type=int, metavar="N", help="Number of images of SRC, where it cannot be counted."
)
@click.option(
    "--throughput",
    type=float,
    metavar="X",
    help="Number of images that one vCPU embeds in a second.  [default: measured here]",
)
@click.option(
    "--sample",
    type=int,
    default=DEFAULT_SAMPLE,
    show_default=True,
    help="Number of images to measure with.",
)
@currency_options
@yes_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the steps, what they would create and the prices, and call nothing.",
)
@click.option("--verbose", is_flag=True, help="Show each call of the --dry-run as well.")
@reaching_aws
def up(
    source: str,
    yes: bool,
    access: Access,
    **options: Any,
) -> None:
    """Go from an empty account to results: deploy, upload, package, submit and fetch.

    SRC is what `upload` takes. The command shows what it will cost, and asks once. After an
    interruption repeat it: it does not do again what is done. Each part has more options in a
    command of its own.

    \b
    Examples:
      featuremill cloud up photos
      featuremill cloud up photos --email me@example.org --throughput 60 --yes
      featuremill cloud up photos --dry-run
      featuremill cloud up photos --dry-run --verbose
    """
    from featuremill.cloud.pricing.cost import keep
    from featuremill.cloud.pricing.estimate import estimate
    from featuremill.cloud.stack.doctor import doctor

    if access.verbose and not access.dry_run:
        raise ConfigError(
            "--verbose was given without --dry-run", "Add --dry-run, or leave it out."
        )
    before, money = existing(), currency(options)
    wanted, errand, question = _asked(source, before, options)
    aws = access.to_region(wanted.region, there=before)
    aws.here(lambda: project_file.check_writable(Path()), None)
    # before time is spent on an estimate
    findings = doctor(aws, wanted.region, max_vcpu=errand.limits.max_vcpu)
    aws.here(lambda: _examined(findings), None)
    aws.step("see who is signed in")
    account = aws.account()
    bill = estimate(aws, question, before)
    if before is not None:
        check_account(before, account)
    aws.owner = account
    for line in aws.here(lambda: shown(bill, money), ()):
        say(line)
    if not (yes or aws.dry):
        click.confirm(f"Go on, in account {account}, {wanted.region}?", abort=True, err=True)
    where = _standing(wanted, before, aws)
    if where is None:
        # a new stack is part of what was agreed to, a change of one that is there is not
        where = put_up(wanted, aws, yes=yes or before is None)
    if where is not None:
        aws.here(partial(keep, bill, Path()), None)
        _go(where, errand, aws, agreeing(yes=yes))
    if aws.dry:
        for line in _planned(question, errand, before, money):
            tell(line)
        was_dry(aws)


def _examined(findings: "list[Finding]") -> None:
    """Say what `cloud doctor` warns of; refuse to go on where something stands in the way."""
    for each in findings:
        if each.level == "fail":
            raise CloudError(f"{each.what}: {each.said}", each.remedy)
        if each.level == "warn":
            say(f"warning: {each.what}: {each.said}")


def _asked(
    source: str, before: Place | None, options: dict[str, Any]
) -> "tuple[StackOptions, Errand, Question]":
    """The stack, the work, and what the estimate is asked; one of them checks each option."""
    from featuremill.cloud.jobs.serverless import JobLimits, default_vcpu
    from featuremill.cloud.pricing.estimate import GIVEN, MEASURED, Question
    from featuremill.cloud.transfer.sources import open_source
    from featuremill.cloud.up import Errand, stack_for
    from featuremill.models import registry

    job.check_name(options["name"])
    registry.get(options["model"])
    max_vcpu = options["max_vcpu"]
    if max_vcpu is None:
        max_vcpu = default_vcpu(before) if before else DEFAULT_VCPU
    asked = (options["region"], options["architecture"], options["email"])
    wanted = stack_for(before, *asked, max_vcpu)
    speed = options["throughput"]
    question = Question(
        region=wanted.region,
        architecture=wanted.architecture or _architecture_of(before),
        source=source,
        images=options["images"],
        origin=MEASURED if speed is None else GIVEN,
        speed=speed,
        max_vcpu=max_vcpu,
        sample=options["sample"],
        model=options["model"],
    )
    limits, folder = JobLimits(max_vcpu), options["destination"]
    errand = Errand(open_source(source), options["name"], options["model"], limits, folder)
    return wanted, errand, question


def _architecture_of(before: Place | None) -> str:
    return before.output("Architecture") if before else ARCHITECTURES[0]


def _planned(
    question: "Question", errand: "Errand", before: Place | None, money: "Currency"
) -> Iterator[str]:
    """What the steps of a dry run would leave in the account, and what that costs."""
    from featuremill.cloud.aws.worker_size import serverless
    from featuremill.cloud.pricing import prices
    from featuremill.cloud.pricing.bill import total, worker_lines
    from featuremill.cloud.stack.parameters import made_without_options

    yield from _created(made_without_options() if before is None else {})
    table = prices.load(question.region)
    workers = worker_lines(table, question.architecture, serverless(question.max_vcpu), 3600)
    amounts = " and ".join(f"{line.quantity.normalize():f} {line.price.unit}s" for line in workers)
    hour = money.shown(total(line.usd for line in workers))
    put, kept = table.of("s3.put_1000"), table.of("s3.storage_gb_month")
    yield "costs    nothing by the hour while no job runs"
    yield f"         {money.shown(put.usd)} for each 1,000 images that are uploaded"
    yield f"         {money.shown(kept.usd)} each month for each GB that is stored"
    yield f"         at most {hour} for an hour of the job, which is {amounts};"
    yield f"         AWS stops the job after {errand.limits.timeout} minutes"
    known = sources([*(line.price for line in workers), put, kept])
    yield from (f"prices   {each}" for each in known)
    yield f"         what this run will take: `featuremill cloud estimate {question.source}`"


def _created(stack: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    """What would be in the account afterwards, by service."""
    for service, kinds in stack.items():
        # of roles and policies people ask which
        each = ", ".join(
            f"{len(names)} {kind}" + (f" ({', '.join(names)})" if service == "IAM" else "")
            for kind, names in kinds.items()
        )
        yield from textwrap.wrap(f"creates  {service}: {each}", 96, subsequent_indent=" " * 11)
    if stack:
        yield "creates  Budgets: a monthly budget of the whole account, which stops nothing"
    yield "creates  in the bucket: the images, the archive that is built here, results and logs"
    yield "creates  EMR Serverless: one job"


def _standing(wanted: "StackOptions", before: Place | None, aws: "Aws") -> Place | None:
    """The folder's stack, if it is there and to stay as it is: who may use it may not change it."""
    from featuremill.cloud.stack.deploy import outputs_of

    if before is None or wanted.parameters.keys() - {"AllowedRegions"}:
        return None
    aws.step(f"look for stack {wanted.stack}")
    outputs = outputs_of(aws, wanted.stack)
    return replace(before, outputs=outputs) if outputs else None


def _go(where: Place, errand: "Errand", aws: "Aws", agree: "Agree") -> None:
    """Bring everything there, run it unless that has been done, and bring the results home."""
    from featuremill.cloud.transfer.fetch import fetch
    from featuremill.cloud.up import bring, under_way

    with counting("sent", aws) as show:
        uploaded, packaged = bring(aws, where, errand, show, agree)
    if not aws.dry:
        say(f"{uploaded.files:,} files are there, {uploaded.sent:,} of them new")
        for why, count in uploaded.left_out.items():
            say(f"left out: {count:,} {why}")
    all_there = packaged.stored and not uploaded.sent
    found = aws.here(lambda: under_way(aws, where, errand, all_there=all_there), None)
    _run(where, errand, aws, found)
    with counting("fetched", aws) as show:
        fetched = fetch(aws, where, errand.destination, errand.name, show)
    if aws.dry:
        return
    tell(f"{fetched.received:,} files fetched, {fetched.there:,} there already")
    tell(f"results are in {errand.destination}")
    tell("`featuremill cloud cost` tells what it cost, `destroy` takes everything down.")


def _run(where: Place, errand: "Errand", aws: "Aws", found: "Status | None") -> None:
    from featuremill.cloud.jobs.wait import stay
    from featuremill.cloud.up import submit

    if found is not None and found.over:
        say(f"job {found.job.id} has done it already, and nothing was sent since")
        return
    if found is not None:
        job = found.job
        say(f"job {job.id} is under way")
    else:
        job = submit(aws, where, errand)
        if not aws.dry:
            project_file.save(job.kept_in(where), Path())
            say(f"submitted {job.id}; results: {job.destination}")
    with interrupted(_GOES_ON):
        stay(aws, where, job, errand.limits.timeout)
