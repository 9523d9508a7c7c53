"""What a check is asked for."""

from dataclasses import dataclass

from featuremill.errors import ConfigError


@dataclass(frozen=True)
class CheckConfig:
    """A result, and what is expected of it beyond being sound.

    Parameters
    ----------
    destination : str
        Of an earlier run: a folder or ``s3://bucket/prefix``.
    source : str, optional
        List this source, and compare its images and their versions with the rows.
    min_variance : float, optional
        Smallest share of the variance that the components may hold, in (0, 1].
    components : int, optional
        Number of components there must be.
    expect_count : int, optional
        Number of images with features there must be.
    endpoint_url, region : str, optional
        For S3 and stores that speak it.

    Raises
    ------
    ConfigError
        If a value is out of its bounds.
    """

    destination: str
    source: str | None = None
    min_variance: float | None = None
    components: int | None = None
    expect_count: int | None = None
    endpoint_url: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        if self.min_variance is not None and not 0 < self.min_variance <= 1:
            raise ConfigError(
                f"--min-variance is {self.min_variance}, it must be above 0 and at most 1",
                "For 90 % write --min-variance 0.9.",
            )
        if self.components is not None and self.components < 1:
            raise ConfigError(
                f"--components is {self.components}, it must be at least 1",
                "Give the number of components.",
            )
        if self.expect_count is not None and self.expect_count < 0:
            raise ConfigError(
                f"--expect-count is {self.expect_count}, it must be at least 0",
                "Give the number of images.",
            )
