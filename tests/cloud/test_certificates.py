"""The certificate of a cluster's nodes: made here, kept in the bucket, never replaced."""

import io
import ssl
import zipfile
from pathlib import Path

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.certificates import KEY, make, provide
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import CloudError
from tests.cloud.offline import Stack


@pytest.fixture
def place(aws: Aws) -> Place:
    region = {"LocationConstraint": aws.region}
    aws.client("s3").create_bucket(Bucket="pictures", CreateBucketConfiguration=region)
    return Place("featuremill", aws.region, "123456789012", {"Bucket": "pictures"})


def test_it_is_what_emr_takes(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(make("eu-west-1"))) as archive:
        archive.extractall(tmp_path)
    names = {"privateKey.pem", "certificateChain.pem", "trustedCertificates.pem"}
    assert {file.name for file in tmp_path.iterdir()} == names
    context = ssl.create_default_context(cafile=tmp_path / "trustedCertificates.pem")
    # refuses a key that does not belong to the certificate
    context.load_cert_chain(tmp_path / "certificateChain.pem", tmp_path / "privateKey.pem")
    (trusted,) = context.get_ca_certs()
    assert trusted["subject"] == ((("commonName", "*.eu-west-1.compute.internal"),),)
    # who verifies a name looks at these alone
    names = ["*.eu-west-1.compute.internal", "localhost"]
    assert trusted["subjectAltName"] == tuple(("DNS", name) for name in names)


def test_it_lies_where_the_template_says(aws: Aws, place: Place) -> None:
    provide(aws, place)
    configuration = Stack().properties("SecurityConfiguration")["SecurityConfiguration"]
    transit = configuration["EncryptionConfiguration"]["InTransitEncryptionConfiguration"]
    assert transit["TLSCertificateConfiguration"]["S3Object"] == f"s3://pictures/{KEY}"
    assert aws.client("s3").head_object(Bucket="pictures", Key=KEY)["ContentLength"] > 1000


def test_it_is_never_replaced(aws: Aws, place: Place) -> None:
    aws.client("s3").put_object(Bucket="pictures", Key=KEY, Body=b"that of a running cluster")
    provide(aws, place)
    kept = aws.client("s3").get_object(Bucket="pictures", Key=KEY)["Body"].read()
    assert kept == b"that of a running cluster"


def test_without_openssl_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CloudError, match="no openssl") as caught:
        make("eu-west-1")
    assert "Install openssl" in caught.value.remedy
