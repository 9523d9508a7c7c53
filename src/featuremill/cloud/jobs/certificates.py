"""The certificate by which a cluster's nodes talk to each other in secret.

It is made on this machine, once for a stack, by the openssl that every system brings; nodes fetch
it from ``tls/``, where jobs may not read. Only real AWS shows that EMR takes it: unverified here.
"""

import io
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError

KEY = "tls/certificates.zip"
"""As the template's security configuration names it."""

_DAYS = 3650
_KEY_FILE, _CHAIN, _TRUSTED = "privateKey.pem", "certificateChain.pem", "trustedCertificates.pem"


def provide(aws: Aws, place: Place) -> None:
    """Put the certificate in the bucket, unless it is there.

    It is never replaced: nodes that join a running cluster need the one that the others have.
    """
    bucket = place.output("Bucket")
    aws.step(f"have a certificate for nodes at s3://{bucket}/{KEY}")
    if any(aws.objects(bucket, KEY)):
        return
    # made by somebody else in the meantime
    done = ("PreconditionFailed",)
    body = aws.here(lambda: make(place.region), b"")
    aws.call("s3", "put_object", forgives=done, Bucket=bucket, Key=KEY, Body=body, IfNoneMatch="*")


def make(region: str) -> bytes:
    """A new private key and its certificate, as EMR takes them.

    Parameters
    ----------
    region : str
        Whose internal names the certificate is for.

    Returns
    -------
    bytes
        A ZIP with three PEM files.

    Raises
    ------
    CloudError
        If there is no openssl here, or it fails.
    """
    if shutil.which("openssl") is None:
        raise CloudError(
            "a certificate for the cluster's nodes cannot be made: there is no openssl here",
            "Install openssl, or use EMR Serverless, which needs none.",
        )
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    with tempfile.TemporaryDirectory() as name:
        key, chain = Path(name) / _KEY_FILE, Path(name) / _CHAIN
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256"]
        command += ["-days", str(_DAYS), "-subj", f"/CN=*.{domain}"]
        # whoever verifies a name looks here alone; notebooks reach Livy on their own machine
        command += ["-addext", f"subjectAltName=DNS:*.{domain},DNS:localhost"]
        command += ["-keyout", str(key), "-out", str(chain)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CloudError(
                f"openssl could not make a certificate: {done.stderr.strip()[-300:]}",
                "Try the command `openssl req -help`: is it a usual openssl?",
            )
        return _zipped(key.read_bytes(), chain.read_bytes())


def _zipped(key: bytes, chain: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # it vouches for itself
        for name, content in ((_KEY_FILE, key), (_CHAIN, chain), (_TRUSTED, chain)):
            archive.writestr(name, content)
    return buffer.getvalue()
