"""``models``: lists the networks, shows one, fetches its weights."""

import click


@click.group()
def models() -> None:
    """List the networks, show one, or fetch its weights."""


@models.command("list")
def models_list() -> None:
    """List the networks.

    \b
    Example:
      featuremill models list
    """
    from featuremill.models import registry

    for name in registry.names():
        click.echo(f"{name:24}  {registry.get(name).summary}")


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

    weights = registry.get(name).weights
    with ConsoleProgress() as progress:
        network = registry.load(name, progress=download_progress(progress))
    click.echo(f"{network.name} is ready (weights {network.weights_sha256})")
    if not isinstance(weights, registry.Published):
        click.echo(f"nothing to fetch: its weights are {weights.origin}")
