"""Regions of the European Union, where personal data may stay, and the EMR releases used there."""

from featuremill.errors import ConfigError

DEFAULT_REGION = "eu-west-1"

RELEASE = "emr-7.14.0"
"""The newest release with JupyterHub: Spark 3.5, Python 3.11."""

SERVERLESS_RELEASE = "emr-spark-8.1.0"

EU_REGIONS = (
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-3",
)
"""AWS' regions in member states. eu-west-2 (London) and eu-central-2 (Zurich) are not in the EU."""


def check_region(region: str, allowed: tuple[str, ...] = ()) -> str:
    """Refuse a region outside the EU unless it is allowed by name.

    Parameters
    ----------
    region : str
        Such as ``eu-west-1``.
    allowed : tuple of str
        Further regions, as given to ``--allow-region``.

    Returns
    -------
    str
        The region.

    Raises
    ------
    ConfigError
        If it is neither in the EU nor allowed.
    """
    if region in (*EU_REGIONS, *allowed):
        return region
    raise ConfigError(
        f"region is {region!r}, must be in the EU: {', '.join(EU_REGIONS)}",
        f"Choose one of them. If data may leave the EU: `featuremill cloud deploy --region {region}"
        f" --allow-region {region}` first.",
    )
