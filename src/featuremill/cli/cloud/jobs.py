"""``featuremill cloud submit``, ``status`` and ``logs``."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.cloud.options import (
    Access,
    changing_aws,
    interrupted,
    machine_options,
    reaching_aws,
    say,
    tell,
    was_dry,
    yes_option,
)
from featuremill.cli.options import run_config
from featuremill.cloud.aws.worker_size import DEFAULT_VCPU, SLOT_MB
from featuremill.cloud.aws.worker_size import serverless as executors
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs import job_cluster, serverless
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig

if TYPE_CHECKING:
    from featuremill.cloud.aws.client import Aws
    from featuremill.cloud.jobs.status import Status

_SECONDS = 10.0
_TAIL = 40

GOES_ON = (
    "The job goes on without this command, and costs: `featuremill cloud status --watch` follows"
    " it, `featuremill cloud stop` ends it."
)

_UNITS: Mapping[str, str] = {
    "vCPUHour": "vCPU-hours",
    "memoryGBHour": "GB-hours of memory",
    "storageGBHour": "GB-hours of disk",
    "NormalizedInstanceHours": "normalized instance hours",
}


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("run_options", nargs=-1, type=click.UNPROCESSED, metavar="[RUN OPTIONS]...")
@click.option(
    "--name",
    default=jobs.DEFAULT_NAME,
    show_default=True,
    help="Name of the results; they are written to results/NAME.",
)
@click.option(
    "--source", default="", metavar="FOLDER", help="Folder of input/ to read, instead of all of it."
)
@click.option("--wait", is_flag=True, help="Wait until the job is over, and say why if it fails.")
@click.option(
    "--timeout",
    type=int,
    default=serverless.DEFAULT_TIMEOUT,
    show_default=True,
    metavar="MINUTES",
    help="Longest time that the job may take.",
)
@click.option(
    "--slot-memory",
    type=int,
    default=SLOT_MB,
    show_default=True,
    metavar="MB",
    help="Memory of each task slot.",
)
@click.option(
    "--max-vcpu",
    type=int,
    metavar="N",
    help="Largest number of vCPUs at once, on EMR Serverless."
    f"  [default: {DEFAULT_VCPU}, or what the stack may use]",
)
@click.option("--cluster", is_flag=True, help="Run on EMR on EC2, in a cluster of the job's own.")
@machine_options
@changing_aws
@click.pass_context
def submit(
    context: click.Context,
    /,
    run_options: tuple[str, ...],
    name: str,
    source: str,
    wait: bool,
    access: Access,
    **options: Any,
) -> None:
    """Run the job on AWS: on EMR Serverless, or with --cluster on machines of its own.

    The job reads the uploaded images and writes to results/NAME of the stack's bucket. It takes all
    options of `featuremill run`, too.

    \b
    Examples:
      featuremill cloud submit --wait
      featuremill cloud submit --name fruits --components 128 --max-vcpu 8
      featuremill cloud submit --cluster --architecture arm64 --wait
    """

    def asked(where: Place) -> tuple[RunConfig, JobLimits | Machines]:
        return _config(context, where, name, source, run_options), _wanted(where, options)

    where, aws = access.to_stack(check=asked)
    config, wanted = asked(where)
    aws.here(lambda: project_file.check_writable(Path()), None)
    if isinstance(wanted, Machines):
        job = job_cluster.submit(aws, where, config, name, wanted, options["timeout"])
    else:
        job = serverless.submit(aws, where, config, name, wanted)
    if not aws.dry:
        project_file.save(job.kept_in(where), Path())
        tell(f"submitted {job.id} on {job.where}; results: {job.destination}")
    if wait:
        from featuremill.cloud.jobs.wait import stay

        with interrupted(GOES_ON):
            ended = stay(aws, where, job, options["timeout"])
        if not was_dry(aws):
            _show(ended)
    elif not was_dry(aws):
        tell("`featuremill cloud status` tells how it is.")


def _config(
    context: click.Context, where: Place, name: str, source: str, words: tuple[str, ...]
) -> RunConfig:
    """The run that the words ask for, read as `featuremill run` reads them."""
    from featuremill.models import registry

    commands: Any = context.find_root().command
    ends = [jobs.source_of(where, source), jobs.destination_of(where, name)]
    run = commands.get_command(context, "run")
    try:
        asked = run.make_context("run", [*ends, *words], parent=context).params
    except click.UsageError as error:
        # its own page names SRC and DEST, which are given here
        error.ctx = context
        raise
    registry.get(asked["model"])
    # so that no bucket has to be asked where it is
    config = run_config(**{**asked, "region": where.region})
    # refuses what has no meaning there
    config.words()
    return config


def _wanted(where: Place, options: Mapping[str, Any]) -> JobLimits | Machines:
    """What the job may use: on EMR Serverless, or a cluster of its own."""
    timeout, slot_mb = options["timeout"], options["slot_memory"]
    max_vcpu = options["max_vcpu"]
    if max_vcpu is None:
        max_vcpu = serverless.default_vcpu(where)
    limits = JobLimits(max_vcpu, timeout, slot_mb)
    if not options["cluster"]:
        serverless.check_capacity(where, max_vcpu)
        executors(max_vcpu, slot_mb)
        return limits
    machines = Machines(
        options["architecture"] or where.output("Architecture"),
        options["size"],
        (options["min_nodes"], options["max_nodes"]),
        options["idle_hours"],
        slot_mb,
    )
    _ = machines.fleet
    return machines


@click.command()
@click.option("--watch", is_flag=True, help="Follow the job until it is over.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the stack's newest N jobs instead.",
)
@reaching_aws
def status(watch: bool, last: int | None, access: Access) -> None:
    """Show the newest job's state, the images done and what is billed so far.

    \b
    Examples:
      featuremill cloud status
      featuremill cloud status --watch
      featuremill cloud status --last 5
    """
    from featuremill.cloud.jobs.status import newest
    from featuremill.cloud.jobs.status import status as ask

    where, aws = access.to_stack(check=jobs.submitted_here)
    if last:
        for job in newest(aws, where, last):
            _show(ask(aws, where, job))
        return
    job = _job(aws, where)
    now = ask(aws, where, job)
    while watch and not now.over:
        say(_line(now))
        time.sleep(_SECONDS)
        now = ask(aws, where, job)
    _show(now)


def _job(aws: "Aws", where: Place) -> Job:
    """The job this folder submitted last, else the stack's newest."""
    from featuremill.cloud.jobs.status import newest

    found = [] if where.last_job else newest(aws, where, 1)
    return found[0] if found else jobs.last_job(where)


@click.command()
@click.argument("identifier", required=False, default="", metavar="[JOB]")
@yes_option
@changing_aws
def stop(identifier: str, yes: bool, access: Access) -> None:
    """Stop a job: the one submitted last from this folder, else the stack's newest.

    A job on EMR Serverless is cancelled, a cluster of the job's own is ended. What was committed
    is kept; the next `submit` under the same name resumes from there.

    \b
    Examples:
      featuremill cloud stop
      featuremill cloud stop 00fl1u5pe8q8gk09 --yes
    """
    from featuremill.cloud.jobs import stop
    from featuremill.cloud.jobs.status import status as ask

    def asked(where: Place) -> Job | None:
        return stop.known(where, identifier)

    where, aws = access.to_stack(check=asked, holds=True)
    now = stop.look(aws, where, asked(where), identifier)
    if now.over:
        tell(f"job {now.job.id} is over already: {now.state}")
        return
    if not (yes or aws.dry):
        click.confirm(f"Stop job {now.job.id}, {_line(now)}?", abort=True, err=True)
    with interrupted("The job stops without this command: `featuremill cloud status` tells."):
        stop.stop(aws, now.job)
    if not was_dry(aws):
        _show(ask(aws, where, now.job))


@click.command()
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder to write all logs to, decompressed.",
)
@click.option(
    "--lines",
    type=click.IntRange(min=1),
    default=_TAIL,
    show_default=True,
    metavar="N",
    help="Number of lines to show of the driver's log.",
)
@reaching_aws
def logs(folder: Path | None, lines: int, access: Access) -> None:
    """Show the newest job's log, and name what went wrong and what usually helps.

    \b
    Examples:
      featuremill cloud logs
      featuremill cloud logs --to logs
    """
    from featuremill.cloud.jobs import logs as stored
    from featuremill.cloud.jobs.status import status as ask

    where, aws = access.to_stack(check=jobs.submitted_here)
    job = _job(aws, where)
    now = ask(aws, where, job)
    found = stored.files(aws, where, job)
    if not found:
        tell(f"job {job.id} ({now.state}) has no logs yet; they come within minutes")
    elif folder is not None:
        for file in stored.fetch(aws, where, job, folder):
            tell(file)
    else:
        log, last = stored.end(aws, where, found, lines)
        tell(f"{log.title}, the last {lines} lines; {len(found)} logs in all")
        for line in last:
            tell(f"  {line}")
    if now.failed:
        from featuremill.cloud.jobs.wait import failure

        raise failure(aws, where, now)


def _line(now: "Status") -> str:
    done = f", {now.images:,} images committed" if now.images is not None else ""
    return f"{now.state} {'after' if now.over else 'for'} {now.seconds / 60:.1f} min{done}"


def _show(now: "Status") -> None:
    job = now.job
    tell(f"job       {job.id} ({job.kind} {job.where}), submitted {job.submitted}")
    tell(f"state     {_line(now)}")
    if now.reason:
        tell(f"reason    {now.reason}")
    if now.ledger:
        tell(f"ledger    {now.ledger}")
    if now.dashboard:
        tell(f"Spark     {now.dashboard}")
    billed = ", ".join(f"{value:.3f} {_UNITS[key]}" for key, value in now.billed.items())
    tell(f"billed    {billed or 'nothing is said of it yet'}")
    tell(f"results   {job.destination}")
