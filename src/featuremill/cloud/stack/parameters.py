"""The template of a stack, and the options for it, checked before anything is called."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from uuid import uuid4

from featuremill.cloud.aws.regions import DEFAULT_REGION, check_region
from featuremill.cloud.aws.worker_size import serverless
from featuremill.errors import ConfigError

DEFAULT_STACK = "featuremill"
DEFAULT_BUDGET = 10
ARCHITECTURES = ("x86_64", "arm64")
OPERATOR_KINDS = ("user", "role", "group")

MOST_VCPU = 4_000
"""As the template has it."""

_IDENTITY_CENTER = "AWSReservedSSO_"
"""What the names of its roles begin with."""

_NARROWEST = 8
"""Shortest prefix of an address range that JupyterHub may be opened to."""

# option of the command → parameter of the template
_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "architecture": "Architecture",
        "bucket": "BucketName",
        "email": "AlertEmail",
        "budget": "MonthlyBudget",
        "max_vcpu": "MaximumVcpu",
        "kms_key": "KmsKeyArn",
        "studio": "Studio",
        "jupyter_cidr": "JupyterCidr",
        "deny_other_regions": "DenyOtherRegions",
    }
)


@dataclass(frozen=True)
class StackOptions:
    """The stack as it is asked for; what is None stays as it is, or takes the template's default.

    Parameters
    ----------
    stack, region : str
        Its name, and where it is.
    allowed_regions : tuple of str
        Regions outside the EU that are allowed on purpose.
    architecture : str or None
        ``x86_64`` or ``arm64``.
    bucket : str or None
        Name of the bucket.
    email : str or None
        Where the budget's alerts go.
    budget : int or None
        USD a month.
    max_vcpu : int or None
        vCPUs that the Serverless application may use at once.
    kms_key : str or None
        ARN of a key for the bucket.
    studio : bool or None
        Whether to make an EMR Studio.
    jupyter_cidr : str or None
        Addresses that may reach JupyterHub without a tunnel.
    deny_other_regions : bool or None
        Whether operators are refused everything in regions that are not allowed, whatever other
        policies let them do there.
    operator, operator_kind : str
        Whom the operator policy is attached to, if anybody.
    create_operator : bool
        Whether to make a user for it, without keys.
    change_set : str
        Name of the change set.
    """

    stack: str = DEFAULT_STACK
    region: str = DEFAULT_REGION
    allowed_regions: tuple[str, ...] = ()
    architecture: str | None = None
    bucket: str | None = None
    email: str | None = None
    budget: int | None = None
    max_vcpu: int | None = None
    kms_key: str | None = None
    studio: bool | None = None
    jupyter_cidr: str | None = None
    deny_other_regions: bool | None = None
    operator: str = ""
    operator_kind: str = "user"
    create_operator: bool = False
    change_set: str = field(default_factory=lambda: f"featuremill-{uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        check_region(self.region, self.allowed_regions)
        _check_names(self)
        _check_amounts(self)
        _check_access(self)

    @property
    def parameters(self) -> dict[str, str]:
        """The template's parameters that are given."""
        given = {
            _PARAMETERS[name]: _text(value)
            for name in _PARAMETERS
            if (value := getattr(self, name)) is not None
        }
        if self.operator:
            given[f"Operator{self.operator_kind.title()}"] = self.operator
        if self.create_operator:
            given["CreateOperator"] = "true"
        if self.allowed_regions:
            given["AllowedRegions"] = ",".join(self.allowed_regions)
        return given

    def first_parameters(self) -> dict[str, str]:
        """The template's parameters for a stack that is not there yet."""
        return {_PARAMETERS["budget"]: str(DEFAULT_BUDGET)} | self.parameters


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse(option: str, value: object, bound: str, remedy: str) -> None:
    raise ConfigError(f"--{option} is {value}, must be {bound}", remedy)


def _check_names(wanted: StackOptions) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,39}", wanted.stack):
        _refuse(
            "stack",
            repr(wanted.stack),
            "up to 40 letters, digits and hyphens that begin with a letter",
            f"The default is {DEFAULT_STACK}.",
        )
    if wanted.bucket is not None and not re.fullmatch(
        r"(?!xn--|sthree-)[a-z0-9][a-z0-9-]{1,61}[a-z0-9](?<!-s3alias)", wanted.bucket
    ):
        _refuse(
            "bucket",
            repr(wanted.bucket),
            "3 to 63 lower-case letters, digits and hyphens",
            "Leave it out, and a free name is made.",
        )
    if wanted.email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", wanted.email):
        _refuse("email", repr(wanted.email), "an e-mail address", "For example me@example.org.")
    if wanted.kms_key and not re.fullmatch(
        rf"arn:aws:kms:{wanted.region}:\d{{12}}:key/[\w-]+", wanted.kms_key
    ):
        _refuse(
            "kms-key",
            repr(wanted.kms_key),
            f"the ARN of a key in {wanted.region}",
            "`aws kms list-keys` lists them; without it S3's own encryption costs nothing.",
        )


def _check_amounts(wanted: StackOptions) -> None:
    if wanted.architecture is not None and wanted.architecture not in ARCHITECTURES:
        _refuse(
            "architecture", repr(wanted.architecture), " or ".join(ARCHITECTURES), "Choose one."
        )
    if wanted.budget is not None and not 1 <= wanted.budget <= 1_000_000:
        _refuse(
            "budget",
            wanted.budget,
            "from 1 to 1,000,000 USD a month",
            f"The default is {DEFAULT_BUDGET}.",
        )
    if wanted.max_vcpu is not None:
        # refuses what has no room for a driver and an executor
        serverless(wanted.max_vcpu)
        if wanted.max_vcpu > MOST_VCPU:
            _refuse(
                "max-vcpu",
                f"{wanted.max_vcpu:,}",
                f"up to {MOST_VCPU:,}",
                "`featuremill cloud doctor` tells what the account may use.",
            )


def _check_access(wanted: StackOptions) -> None:
    if wanted.jupyter_cidr:
        try:
            network = ipaddress.IPv4Network(wanted.jupyter_cidr)
        except ValueError as error:
            raise ConfigError(
                f"--jupyter-cidr is {wanted.jupyter_cidr!r}: {error}",
                "Give a range such as 198.51.100.7/32.",
            ) from error
        if network.prefixlen < _NARROWEST:
            _refuse(
                "jupyter-cidr",
                wanted.jupyter_cidr,
                f"/{_NARROWEST} or narrower: it would open JupyterHub to the world",
                "Leave it out and use `featuremill cloud notebook`, or give your own address /32.",
            )
    if wanted.operator_kind not in OPERATOR_KINDS:
        _refuse(
            "operator-kind", repr(wanted.operator_kind), " or ".join(OPERATOR_KINDS), "Choose one."
        )
    if wanted.operator and not re.fullmatch(r"[\w+=,.@-]{1,64}", wanted.operator, re.ASCII):
        _refuse(
            "operator",
            repr(wanted.operator),
            "the name of a user, role or group",
            "Give the name alone, not the ARN.",
        )
    if wanted.operator.startswith(_IDENTITY_CENTER):
        names = " and ".join(operator_policies(wanted.stack, wanted.region))
        raise ConfigError(
            f"--operator is {wanted.operator!r}, a role of IAM Identity Center: AWS lets nobody"
            " attach policies to it",
            "Deploy without --operator, and name the customer managed policies"
            f" {names} in that person's permission set.",
        )
    if wanted.operator and wanted.create_operator:
        raise ConfigError(
            f"--operator {wanted.operator} and --create-operator contradict each other",
            "Give one of them.",
        )


def operator_policies(stack: str, region: str) -> tuple[str, str]:
    """Names of the two policies for people, by which a permission set refers to them."""
    name = f"{stack}-{region}-operator"
    return name, f"{name}-machines"


LARGEST = 51_200
"""Bytes that CloudFormation takes as the text of a template."""

_COMMENT = re.compile(r"^ *#.*\n", re.MULTILINE)


_RESOURCE = re.compile(
    # what has a condition is made for an option that is off unless it is given
    r"^  (\w+):\n    Type: AWS::(\w+)::(\w+)\n(?!    Condition:)",
    re.MULTILINE,
)


def made_without_options() -> dict[str, dict[str, list[str]]]:
    """What a stack has if no option asks for more: service → kind of resource → names."""
    made: dict[str, dict[str, list[str]]] = {}
    for name, service, kind in _RESOURCE.findall(template_body()):
        made.setdefault(service, {}).setdefault(kind, []).append(name)
    return made


def template_body() -> str:
    """Text of the template as it is sent: without comments, which would make it too long."""
    file = resources.files("featuremill.cloud.stack") / "templates" / "featuremill.yaml"
    return _COMMENT.sub("", file.read_text(encoding="utf-8"))
