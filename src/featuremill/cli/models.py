"""``models``: lists the networks, shows one, fetches its weights, certifies somebody else's."""

from typing import Any

import click

from featuremill.cli.check import print_checks
from featuremill.cli.options import s3_options

_EXIT_CODES = """\b
Exit codes:
  0    all comparisons hold
  1    a comparison failed, or storage did
  2    refused before anything was compared: the network, the images, an option
  130  interrupted
"""


@click.group()
def models() -> None:
    """List the networks, show one, fetch its weights, or certify one of your own."""


@models.command("list")
def models_list() -> None:
    """List the networks.

    \b
    Example:
      featuremill models list
    """
    from featuremill.models import registry

    for name in registry.names():
        click.echo(f"{name:24}  {registry.describe(name)['summary']}")


@models.command("show")
@click.argument("name")
@click.option("--output", metavar="TENSOR", help="Tensor of an ONNX file to embed.")
@click.option(
    "--pool", type=click.Choice(("cls", "mean")), help="How a row for each place becomes one."
)
def models_show(name: str, output: str | None, pool: str | None) -> None:
    """Show one network: its weights, licence, input and preprocessing.

    NAME is one that `featuremill models list` shows, an ONNX file, or a folder with one; of a file
    it also says what would be embedded.

    \b
    Example:
      featuremill models show mobilenetv2
    """
    from featuremill.models import registry

    for fact, value in registry.describe(name, output, pool).items():
        click.echo(f"{fact:14}  {value}")


@models.command("fetch")
@click.argument("name", default="mobilenetv2")
def models_fetch(name: str) -> None:
    """Download a network's weights into the cache, if it needs any, and check them.

    \b
    Example:
      featuremill models fetch mobilenetv2
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.models import registry
    from featuremill.models.download import download_progress

    with ConsoleProgress() as progress:
        network = registry.load(name, progress=download_progress(progress))
    click.echo(f"{network.name} is ready (weights {network.weights_sha256})")
    spec = registry.MODELS.get(name)
    if spec and not isinstance(spec.weights, registry.Published):
        click.echo(f"nothing to fetch: its weights are {spec.weights.origin}")


@models.command("certify", epilog=_EXIT_CODES)
@click.argument("model", metavar="MODEL")
@click.argument("images", metavar="IMAGES")
@click.option(
    "--against",
    metavar="FEATURES",
    help="Features of another program that are compared: an .npz with `paths` and `features`, or"
    " the destination of a run.",
)
@click.option(
    "-o", "--out", metavar="FOLDER", help="Folder for the certificate.  [default: the network's]"
)
@click.option(
    "--count", type=int, default=200, show_default=True, help="Images to compare, at most."
)
@click.option("--output", metavar="TENSOR", help="Tensor of the ONNX file that is embedded.")
@click.option(
    "--pool", type=click.Choice(("cls", "mean")), help="How a row for each place becomes one."
)
@s3_options
@click.pass_context
def models_certify(context: click.Context, /, **options: Any) -> None:
    """Certify that a network of yours gives here what its own file gives.

    MODEL is an ONNX file, or a folder with one. Its features of IMAGES are compared with those of
    ONNX Runtime on the file itself and Pillow, and with themselves: alone and in batches, by both
    engines, by two threads. Where features differ, also those of another program (--against), what
    was done otherwise is named: another filter, no crop, BGR, another mean, another tensor. The
    cosine from which photographs are near-duplicates is measured from copies of IMAGES, and
    `duplicates` takes it from there. It writes certificate.json and certificate.html.

    \b
    Examples:
      featuremill models certify ~/nets/dinov2-small ~/Pictures --pool cls
      featuremill models certify model.onnx photos --against keras.npz -o reports
    """
    from featuremill.cli.console import ConsoleProgress
    from featuremill.workflows.certify import CertifyConfig, certify
    from featuremill.workflows.check import Check

    with ConsoleProgress() as progress:
        made = certify(CertifyConfig(**options), progress=progress)
    print_checks(Check(**each) for each in made["checks"])
    for sentence in made["culprits"]:
        click.echo(sentence)
    near = made["near"]
    found = f"cosine {near['cosine']:.3f}" if near else "not measured: it needs 20 images"
    click.echo(f"near     {found}")
    click.echo(f"written  {', '.join(made['files'])}")
    click.echo("certified" if made["certified"] else "not certified")
    context.exit(0 if made["certified"] else 1)
