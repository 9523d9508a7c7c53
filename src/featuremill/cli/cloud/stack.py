"""``featuremill cloud deploy``, ``destroy`` and ``doctor``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featuremill.cli.cloud.options import (
    Access,
    changing_aws,
    here,
    interrupted,
    reaching_aws,
    say,
    tell,
    was_dry,
    yes_option,
)
from featuremill.cloud.aws.regions import DEFAULT_REGION, check_region
from featuremill.cloud.stack import project_file as places
from featuremill.cloud.stack.confirm import check_signed_in
from featuremill.cloud.stack.parameters import (
    ARCHITECTURES,
    DEFAULT_BUDGET,
    DEFAULT_STACK,
    OPERATOR_KINDS,
    StackOptions,
)
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError, ConfigError

if TYPE_CHECKING:
    from featuremill.cloud.aws.client import Aws

_WIDTH = 24


def existing() -> Place | None:
    """The stack that belongs to this folder, if one does."""
    return here() if (Path() / places.FILE).exists() else None


@click.command()
@click.option("--stack", metavar="NAME", help=f"Name of the stack.  [default: {DEFAULT_STACK}]")
@click.option(
    "--region", metavar="REGION", help=f"AWS region in the EU.  [default: {DEFAULT_REGION}]"
)
@click.option(
    "--allow-region",
    "allowed_regions",
    multiple=True,
    metavar="REGION",
    help="Allow this region outside the EU; may be repeated.",
)
@click.option(
    "--architecture",
    metavar="|".join(ARCHITECTURES),
    help="Processors of the EMR Serverless application.",
)
@click.option("--bucket", metavar="NAME", help="Name of the bucket.  [default: a free name]")
@click.option("--email", metavar="ADDRESS", help="Address that gets the alerts of the budget.")
@click.option(
    "--budget",
    type=int,
    metavar="USD",
    help=f"Budget of a month; alerts come at 50, 80 and 100 %.  [default: {DEFAULT_BUDGET}]",
)
@click.option(
    "--max-vcpu",
    type=int,
    metavar="N",
    help="Largest number of vCPUs that the application uses at once.",
)
@click.option(
    "--kms-key", metavar="ARN", help="KMS key that encrypts the bucket, instead of S3's own."
)
@click.option("--studio/--no-studio", default=None, help="Make an EMR Studio for notebooks.")
@click.option(
    "--jupyter-cidr", metavar="CIDR", help="Addresses that may reach JupyterHub without a tunnel."
)
@click.option(
    "--deny-other-regions/--let-other-regions",
    default=None,
    help="Deny operators everything in regions outside the EU that are not allowed, including what"
    " other policies let them do there.",
)
@click.option(
    "--operator",
    default="",
    metavar="NAME",
    help="User, role or group that gets the operator policy.",
)
@click.option(
    "--operator-kind",
    default="user",
    show_default=True,
    metavar="|".join(OPERATOR_KINDS),
    help="Kind of identity that --operator names.",
)
@click.option(
    "--create-operator", is_flag=True, help="Create the user that --operator names, without keys."
)
@yes_option
@changing_aws
def deploy(yes: bool, access: Access, **options: Any) -> None:
    """Create the stack, or change it: bucket, EMR application, roles, network, budget.

    The command shows the changes before it makes them. While idle, the stack costs next to nothing
    beyond what is stored. Settings whose options are left out stay as they are.

    \b
    Examples:
      featuremill cloud deploy --email me@example.org
      featuremill cloud deploy --architecture arm64 --budget 25
      featuremill cloud deploy --operator ada --yes
      featuremill cloud deploy --dry-run
    """
    wanted = _wanted(existing(), **options)
    aws = access.to_region(wanted.region, there=existing())
    aws.here(lambda: places.check_writable(Path()), None)
    place = put_up(wanted, aws, yes=yes)
    if place is not None and not was_dry(aws):
        for name, value in place.outputs.items():
            tell(f"{name:{_WIDTH}} {value}")
        tell(f"{places.FILE} says that this folder belongs to stack {place.stack}")


def put_up(wanted: StackOptions, aws: "Aws", *, yes: bool) -> Place | None:
    """Make or change a stack, asking unless ``yes``; None where the changes are not wanted."""
    from featuremill.cloud.stack import deploy

    def agree(question: str) -> bool:
        return yes or aws.here(lambda: click.confirm(question, err=True), True)

    before = existing()
    if before is not None:
        check_signed_in(before, aws)
    prepared = deploy.prepare(aws, wanted, agree)
    changes = prepared.changes
    for change in changes or ():
        say(f"  {change}")
    if any(change.loses_data for change in changes or ()):
        say("warning: the bucket would be another one; what is in the old one stays there")
    with interrupted(
        "CloudFormation goes on without this command: repeat it in some minutes, and it reads what"
        " was made."
    ):
        if changes is None:
            say(f"stack {wanted.stack} is as it should be: nothing to change")
            outputs = deploy.finish(aws, wanted)
        elif agree(_question(len(changes), prepared.account)):
            stopping = any(change.needs_it_stopped for change in changes)
            outputs = deploy.carry_out(
                aws, wanted, stopping=aws.here(lambda: stopping, before is not None)
            )
        else:
            deploy.discard(aws, wanted, prepared.kind)
            say("nothing was changed")
            return None
    place = deploy.place_of(wanted, prepared.account, outputs, before)
    aws.here(lambda: places.save(place, Path()), None)
    return place


def _question(changes: int, account: str) -> str:
    what = f"these {changes} changes" if changes else "changes of settings alone"
    return f"Make {what} in account {account}?"


def _wanted(before: Place | None, **options: Any) -> StackOptions:
    """What is asked for, of the stack that this folder belongs to."""
    if before is not None:
        for name in ("stack", "region"):
            asked, known = options[name], getattr(before, name)
            if asked not in (None, known):
                raise ConfigError(
                    f"--{name} is {asked}, but this folder belongs to stack {before.stack} in"
                    f" {before.region}",
                    "Go to another folder, or take that stack down: `featuremill cloud destroy`.",
                )
            options[name] = known
        options["allowed_regions"] = options["allowed_regions"] or before.allowed_regions
    options["stack"] = options["stack"] or DEFAULT_STACK
    options["region"] = options["region"] or DEFAULT_REGION
    return StackOptions(**options)


@click.command()
@click.option("--keep-data", is_flag=True, help="Leave the bucket with everything in it.")
@yes_option
@changing_aws
def destroy(keep_data: bool, yes: bool, access: Access) -> None:
    """Delete jobs, machines, data and the stack, then check that nothing is left.

    The command shows what would be lost, and then asks for the stack's name.

    \b
    Examples:
      featuremill cloud destroy
      featuremill cloud destroy --keep-data
      featuremill cloud destroy --dry-run
    """
    from featuremill.cloud.stack import destroy as taking

    place, aws = access.to_stack(gone_too=True, holds=True)
    seen = taking.survey(aws, place)
    if not aws.dry:
        _show_losses(place, seen, keep_data=keep_data)
    if not (yes or aws.dry):
        typed = click.prompt(f"Type the stack's name ({place.stack}) to go on", err=True)
        if typed != place.stack:
            raise ConfigError(
                f"{typed!r} is not {place.stack!r}: nothing was deleted",
                "Repeat the command and type the name, or say --yes.",
            )
    with interrupted("Some of it may be gone already; run the same command again to resume."):
        looked = taking.destroy(aws, place, keep_data=keep_data)
    if was_dry(aws):
        return
    for each in looked:
        tell(each)
    _judge(looked)


def _show_losses(place: Place, seen: Any, *, keep_data: bool) -> None:
    bucket = place.output("Bucket")
    fate = "stay in" if keep_data else "will be deleted from"
    say(f"{seen.objects:,} objects, {seen.size / 1e6:,.1f} MB, {fate} s3://{bucket}")
    for each in seen.jobs:
        say(f"job {each} will be cancelled")
    for each in seen.machines:
        say(f"{each} will be ended")
    say(f"stack {place.stack} in {place.region}, account {place.account}, will be deleted")
    if place.outputs.get("StudioUrl"):
        say(
            "workspaces of the Studio outlive it, and no call lists them: delete them first in the"
            f" EMR console, or at {place.outputs['StudioUrl']}"
        )


def _judge(looked: Any) -> None:
    """Forget the stack if it is gone; otherwise say what is left."""
    left = [each for each in looked if each.state in ("left", "unknown")]
    if left:
        names = ", ".join(f"{each.what} {each.name}" for each in left)
        raise CloudError(
            f"{len(left)} of {len(looked)} things are left or could not be looked for: {names}",
            "Repeat the command: what is gone does no harm. Otherwise delete them in the console.",
        )
    places.forget(Path())
    kept = [each for each in looked if each.state == "kept"]
    tell(
        f"{len(looked) - len(kept)} things were looked for and are gone"
        + "".join(f"; kept: {each.what} {each.name}" for each in kept)
    )


@click.command()
@click.option(
    "--region",
    metavar="REGION",
    help=f"AWS region to check.  [default: the stack's, or {DEFAULT_REGION}]",
)
@click.option(
    "--allow-region",
    "allowed_regions",
    multiple=True,
    metavar="REGION",
    help="Allow this region outside the EU; may be repeated.",
)
@click.option(
    "--max-vcpu", type=int, metavar="N", help="Number of vCPUs that jobs are to use at once."
)
@reaching_aws
def doctor(
    region: str | None, allowed_regions: tuple[str, ...], max_vcpu: int | None, access: Access
) -> None:
    """Check account, region, quotas, releases and the archive, before anything is paid for.

    The command exits with 1 if something stands in the way.

    \b
    Examples:
      featuremill cloud doctor
      featuremill cloud doctor --region eu-north-1 --max-vcpu 64
    """
    from featuremill.cloud.aws.worker_size import DEFAULT_VCPU
    from featuremill.cloud.stack import doctor

    place = existing()
    allowed = allowed_regions or (place.allowed_regions if place else ())
    region = check_region(region or (place.region if place else DEFAULT_REGION), allowed)
    if place is not None and place.region != region:
        place = None
    aws = access.to_region(region, place.account if place else "")
    findings = doctor.doctor(aws, region, place, max_vcpu or DEFAULT_VCPU)
    for finding in findings:
        tell(f"{finding.level:5} {finding.what:{_WIDTH}} {finding.said}")
        if finding.remedy:
            tell(f"{'':5} {'':{_WIDTH}} {finding.remedy}")
    if any(finding.level == "fail" for finding in findings):
        raise click.exceptions.Exit(1)
