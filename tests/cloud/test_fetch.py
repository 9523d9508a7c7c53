"""`cloud fetch`: whole files, only what changed, and no name that leads elsewhere."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.cloud.transfer.fetch import Fetched, fetch, listed, receive
from featuremill.errors import CloudError, ConfigError, DestinationError, StorageError
from tests.cloud.scripted import answering
from tests.cloud.stack import describe

RESULTS = {
    "main/features/_delta_log/0.json": b"{}",
    "main/features/part-0.parquet": b"rows" * 1000,
    "main/report.html": b"<html>",
    "second/pca.csv": b"1,2",
}


@pytest.fixture
def stack(aws: Aws) -> Place:
    """A stack of which there is only the bucket, with results."""
    region = {"LocationConstraint": aws.region}
    aws.client("s3").create_bucket(Bucket="pictures", CreateBucketConfiguration=region)
    for name, data in RESULTS.items():
        put(aws, name, data)
    place = Place("featuremill", aws.region, "123456789012", {"Bucket": "pictures"})
    describe(aws, place.outputs)
    return place


def put(aws: Aws, name: str, data: bytes) -> None:
    aws.client("s3").put_object(Bucket="pictures", Key=f"results/{name}", Body=data)


def bring(aws: Aws, stack: Place, destination: Path, name: str = "") -> Fetched:
    return fetch(aws, stack, destination, name)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_all_results_come_to_disk(aws: Aws, stack: Place, tmp_path: Path) -> None:
    done = bring(aws, stack, tmp_path / "out")
    assert files(tmp_path / "out") == RESULTS
    assert (done.received, done.there, done.size) == (4, 0, sum(map(len, RESULTS.values())))


def test_one_name_can_be_fetched_alone(aws: Aws, stack: Place, tmp_path: Path) -> None:
    bring(aws, stack, tmp_path, "second")
    assert files(tmp_path) == {"pca.csv": b"1,2"}
    with pytest.raises(ConfigError, match="--name"):
        fetch(aws, stack, tmp_path, "../code")


def test_only_what_changed_is_fetched_again(aws: Aws, stack: Place, tmp_path: Path) -> None:
    bring(aws, stack, tmp_path)
    put(aws, "second/pca.csv", b"3,4")
    (tmp_path / "main/report.html").write_bytes(b"<HTML>")  # changed here, of the same size
    os.utime(tmp_path / "main/report.html", (1, 1))
    # copied here by other means: the time differs, the content does not
    os.utime(tmp_path / "main/features/part-0.parquet", (1, 1))
    os.utime(tmp_path / "second/pca.csv", (1, 1))
    done = bring(aws, stack, tmp_path)
    assert (done.received, done.there) == (2, 2)
    assert files(tmp_path) == RESULTS | {"second/pca.csv": b"3,4"}


def test_what_was_sent_in_parts_is_known_by_its_time(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    s3, key = aws.client("s3"), {"Bucket": "pictures", "Key": "results/third/large"}
    upload = s3.create_multipart_upload(**key)["UploadId"]
    etag = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"ETag": etag, "PartNumber": 1}]}
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload=parts)
    (there,) = listed(aws, "pictures", "results/third", tmp_path)
    earlier = [replace(there, modified=datetime(2026, 1, 1, tzinfo=UTC))]
    assert receive(aws, "pictures", tmp_path, earlier).received == 1
    assert receive(aws, "pictures", tmp_path, earlier).received == 0
    assert bring(aws, stack, tmp_path, "third").received == 1


@pytest.mark.parametrize("name", ["../evil", "main/../../evil", "/etc/passwd", "a//b", "x" * 256])
def test_names_that_cannot_be_files_are_refused_before_anything_is_written(
    aws: Aws, stack: Place, tmp_path: Path, name: str
) -> None:
    put(aws, name, b"evil")
    with pytest.raises(DestinationError, match="cannot be a file") as caught:
        bring(aws, stack, tmp_path / "out")
    assert "aws s3 rm" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_file_and_folder_is_refused(aws: Aws, stack: Place, tmp_path: Path) -> None:
    put(aws, "main/report.html/deep", b"x")
    with pytest.raises(DestinationError, match=r"report\.html' cannot be a file"):
        bring(aws, stack, tmp_path)


def test_marks_of_folders_are_no_files(aws: Aws, stack: Place, tmp_path: Path) -> None:
    put(aws, "main/", b"")
    assert bring(aws, stack, tmp_path).received == 4


def test_results_rewritten_meanwhile_are_not_mixed_and_leave_no_partial_file(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    there = listed(aws, "pictures", "results", tmp_path)
    put(aws, "second/pca.csv", b"9,9,9")
    with pytest.raises(CloudError, match=r"fetch second/pca\.csv: AWS answered") as caught:
        receive(aws, "pictures", tmp_path, there)
    assert "run the same command again to resume" in caught.value.remedy
    assert not [name for name in files(tmp_path) if name.endswith(".part")]


def test_the_log_of_a_table_comes_after_its_files(aws: Aws, stack: Place, tmp_path: Path) -> None:
    there = listed(aws, "pictures", "results", tmp_path)
    aws.client("s3").delete_object(Bucket="pictures", Key="results/main/features/part-0.parquet")
    with pytest.raises(CloudError):
        receive(aws, "pictures", tmp_path, there)
    assert "main/features/_delta_log/0.json" not in files(tmp_path)


def test_no_results_yet_is_explained(aws: Aws, stack: Place, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="results/third holds nothing") as caught:
        bring(aws, stack, tmp_path, "third")
    assert "cloud status" in caught.value.remedy


def test_a_destination_that_cannot_be_written_is_explained(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        bring(aws, stack, tmp_path / "out")
    assert "name another folder" in caught.value.remedy


def test_the_command_says_what_it_fetched(
    aws: Aws, stack: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_file.save(stack, tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["cloud", "fetch", "--endpoint-url", str(aws.endpoint_url)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "4 files, 0.0 MB fetched, 0 there already, in results" in result.stdout
    assert files(tmp_path / "results") == RESULTS


def test_a_dry_run_shows_every_call_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {"Bucket": "pictures"}
    project_file.save(Place("featuremill", "eu-west-1", "123456789012", outputs), tmp_path)
    monkeypatch.chdir(tmp_path)
    with answering() as endpoint:
        command = ["cloud", "fetch", "--dry-run", "--endpoint-url", endpoint.address]
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "s3.get_object" in result.stdout
    assert endpoint.requests == []
    assert not (tmp_path / "results").exists()
