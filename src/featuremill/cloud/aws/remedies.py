"""What helps when AWS refuses: by its error code, by its words, by what the connection met."""

import re
from collections.abc import Mapping
from types import MappingProxyType

_SIGN_IN = "Sign in again (`aws sso login`, or new keys), then repeat the command."
_PROFILE = (
    "The key is unknown there: check the profile (`aws configure list`), or --profile NAME. Regions"
    " such as eu-south-1 accept no sign-in until they are switched on: `aws account enable-region"
    " --region-name REGION`."
)
_OPERATOR = (
    "Ask for the operator policy: `featuremill cloud deploy --operator NAME` by an administrator"
    " attaches it. deploy and destroy themselves need an administrator."
)
_NAME = "Bucket names are shared by all accounts: choose another --bucket, or leave it out."
_QUOTA = (
    "Ask for a higher quota in the Service Quotas console, or lower --max-vcpu;"
    " `featuremill cloud doctor` tells what the account has."
)
_EC2_QUOTA = (
    "Ask for a higher quota of EC2 vCPUs in the Service Quotas console, take fewer or smaller"
    " machines (--max-nodes, --size), or use EMR Serverless: submit without --cluster."
)
_PATIENCE = "AWS asks for patience: repeat the command in a minute."
_CLOCK = "Set this machine's clock, and sign in again if that does not help."
_RELEASE = (
    "That release is not offered in this region: `featuremill cloud doctor` tells which are;"
    " choose another region, or install a newer featuremill."
)
_NETWORK = "Check the network (proxy, firewall), the region's name and --endpoint-url."
_CREDENTIALS = "Sign in: `aws configure sso` or `aws configure`; or choose --profile NAME."
_CONFIGURATION = "Check ~/.aws/config and ~/.aws/credentials; `aws configure list` reads them too."

_BY_CODE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _SIGN_IN
        ),
        # where an answer has no text, S3 says no more of an expired token
        "400": _SIGN_IN,
        **dict.fromkeys(("RequestExpired", "RequestTimeTooSkewed"), _CLOCK),
        **dict.fromkeys(
            (
                "InvalidClientTokenId",
                "UnrecognizedClient",
                "UnrecognizedClientException",
                "InvalidAccessKeyId",
                "AuthFailure",
                "IncompleteSignature",
            ),
            _PROFILE,
        ),
        "SignatureDoesNotMatch": "The secret key does not belong to the access key: check the"
        " profile.",
        **dict.fromkeys(
            (
                "AccessDenied",
                "AccessDeniedException",
                "UnauthorizedOperation",
                "AuthorizationError",
                "403",
            ),
            _OPERATOR,
        ),
        "BucketAlreadyExists": _NAME,
        "BucketAlreadyOwnedByYou": "It is yours already: choose another --bucket or delete it.",
        **dict.fromkeys(
            ("ServiceQuotaExceededException", "LimitExceededException", "LimitExceeded"), _QUOTA
        ),
        **dict.fromkeys(
            ("VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"),
            _EC2_QUOTA,
        ),
        **dict.fromkeys(
            ("InsufficientInstanceCapacity", "Unsupported"),
            "AWS has no such machine to spare there now: repeat the command later, or take"
            " another --architecture or --size.",
        ),
        "InvalidKeyPair.NotFound": "`aws ec2 describe-key-pairs` lists them; without --key-pair the"
        " tunnel needs none.",
        **dict.fromkeys(
            ("OptInRequired", "SubscriptionRequiredException", "PendingVerification", "Blocked"),
            "The account is not ready for that: finish signing up (address, payment) in the AWS"
            " console, and wait for AWS' mail.",
        ),
        **dict.fromkeys(
            ("ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequests"),
            _PATIENCE,
        ),
        "SlowDown": "S3 asks for patience: repeat the command, which goes on where it was.",
        **dict.fromkeys(
            ("NoSuchBucket", "ResourceNotFoundException"),
            "Is it gone, or in another account? `featuremill cloud doctor` looks;"
            " `featuremill cloud deploy` makes it anew.",
        ),
        "ParameterNotFound": "No password is there: `featuremill cloud server up` and `cluster up`"
        " each make one.",
        **dict.fromkeys(
            ("PermanentRedirect", "301", "IllegalLocationConstraintException"),
            "It is in another region: go to the folder of the stack that it belongs to.",
        ),
    }
)

# AWS has one code for many things: its words, where the code says too little
_BY_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[Rr]elease ?[Ll]abel"), _RELEASE),
    (re.compile(r"[Tt]oken .{0,40}expired|expired .{0,20}token"), _SIGN_IN),
    (re.compile(r"[Qq]uota|[Ll]imit.{0,20}exceeded|exceed.{0,20}limit|maximumCapacity"), _QUOTA),
    (
        re.compile(r"[Bb]lock.?[Pp]ublic.?[Aa]ccess"),
        "EMR refuses clusters whose security groups are open to the world: deploy without"
        " --jupyter-cidr, and use `featuremill cloud notebook`.",
    ),
    (re.compile(r"not authorized|AccessDenied|UnauthorizedOperation"), _OPERATOR),
)

_BY_EXCEPTION: Mapping[str, str] = MappingProxyType(
    {
        "NoCredentialsError": _CREDENTIALS,
        "PartialCredentialsError": _CONFIGURATION,
        "CredentialRetrievalError": _SIGN_IN,
        "UnauthorizedSSOTokenError": "Sign in again: `aws sso login`, with --profile NAME if the"
        " profile has a name.",
        "SSOTokenLoadError": "Sign in: `aws sso login`, with --profile NAME if the profile has a"
        " name.",
        "TokenRetrievalError": "Sign in again: `aws sso login`.",
        "MissingDependencyException": "A profile made by `aws login` needs one package more: `pip"
        " install 'botocore[crt]'`; one made by `aws configure sso` does not.",
        "LoginRefreshRequired": "Sign in again: `aws login`.",
        "LoginTokenLoadError": "Sign in: `aws login`.",
        "RefreshWithMFAUnsupportedError": "Sign in with the second factor first, such as"
        " by `aws sts get-session-token`.",
        "ConfigParseError": _CONFIGURATION,
        "InvalidConfigError": _CONFIGURATION,
        "ProfileNotFound": "`aws configure list-profiles` lists them; `aws configure --profile"
        " NAME` adds.",
        "SSLError": "Is a proxy between? Name its certificate in AWS_CA_BUNDLE.",
        **dict.fromkeys(
            (
                "EndpointConnectionError",
                "ConnectTimeoutError",
                "ReadTimeoutError",
                "ConnectionClosedError",
                "ProxyConnectionError",
                "HTTPClientError",
                "ResponseStreamingError",
                "InvalidRegionError",
                "ValueError",
            ),
            _NETWORK,
        ),
    }
)

PERHAPS_DONE = "AWS may have done it all the same"
"""Where the answer to a call that starts something was lost."""

LOOK_FIRST = (
    "Look before you repeat the command: `featuremill cloud cluster list` shows what is up, and"
    " `featuremill cloud cluster down` ends it."
)

SAID: Mapping[str, str] = MappingProxyType(
    {
        "NoCredentialsError": "no AWS credentials were found",
        "UnauthorizedSSOTokenError": "the AWS sign-in has expired",
        "SSOTokenLoadError": "nobody is signed in to AWS by SSO here",
    }
)
"""Exception → what it means, where its own words do not say so."""


def of_answer(code: str, message: str) -> str:
    """What helps against an error that AWS answered; empty where nothing is known.

    Parameters
    ----------
    code, message : str
        Of the answer.
    """
    words = (remedy for pattern, remedy in _BY_WORDS if pattern.search(message))
    return _BY_CODE.get(code) or next(words, "")


def of_exception(error: Exception) -> str:
    """What helps against an error that came before any answer; empty where nothing is known."""
    kinds = (each.__name__ for each in type(error).__mro__)
    return next((_BY_EXCEPTION[kind] for kind in kinds if kind in _BY_EXCEPTION), "")
