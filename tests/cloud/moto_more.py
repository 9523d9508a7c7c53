"""What moto does not know, added to it: small models that delegate to its own back ends."""

from tests.cloud import moto_jobs, moto_resources, moto_stacks


def install() -> None:
    """Add everything, before the server starts."""
    moto_jobs.install()
    moto_stacks.install()
    moto_resources.install()
