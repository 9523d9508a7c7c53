"""What a dry run shows is what the command calls: both are recorded, and compared.

A dry run answers itself, so its values for what only AWS can tell are in angle brackets.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from featuremill.cli.cloud import options
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.dry_run import DryRun
from featuremill.cloud.notebooks import server
from featuremill.cloud.packaging import package
from featuremill.cloud.stack import deploy, project_file
from tests.cloud.stack import BUCKET, deployed, featuremill
from tests.cloud.test_destroy import TEMPLATE
from tests.cloud.test_server import stack as machine_stack
from tests.cloud.test_server import tell

__all__ = ["machine_stack"]

Call = tuple[str, Mapping[str, Any]]
"""``service.Operation`` and its parameters."""

RANDOM = {"clientToken", "ClientToken", "ChangeSetName", "ExpectedBucketOwner", "Value"}
"""Parameters that are others each time, or that every call to S3 has."""

MODEL = "mobilenetv2-untrained"


@pytest.fixture
def calls(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[Call], list[Call]]]:
    """Gives a command, first as its dry run, and tells the calls of both; a real stack is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.jpg").write_bytes(b"a picture")
    monkeypatch.setattr(package, "build", partial(built, tmp_path))
    found: list[Call] = []

    def note(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        call = f"{service}.{operation}", {**parameters}
        if call not in found:
            found.append(call)

    monkeypatch.setattr(options, "Aws", partial(Aws, recorder=note, sleep=lambda _: None))
    monkeypatch.setattr("featuremill.cloud.aws.dry_run.DryRun", partial(DryRun, recorder=note))

    def both(*words: str) -> tuple[list[Call], list[Call]]:
        told = []
        for dry in (["--dry-run"], []):
            found.clear()
            done = featuremill("cloud", *words, *dry, "--endpoint-url", str(aws.endpoint_url))
            # the application, which is beside the stack here
            assert done.exit_code == 0 or "things are left" in done.output, done.output
            told.append([*found])
        return told[0], told[1]

    return both


def built(folder: Path, recipe: Any) -> Any:
    """An archive that is sent in parts, as the real one is."""
    archive = folder / recipe.archive
    archive.write_bytes(bytes(9 << 20))
    return type("Built", (), {"archive": archive, "unpacked": 1, "files": 1, "sizes": {}})


@pytest.fixture
def stack(aws: Aws, tmp_path: Path) -> project_file.Place:
    place = deployed(aws)
    project_file.save(place, tmp_path)
    return place


def agrees(shown: Any, real: Any) -> bool:
    """Whether a value of a dry run is the real one, or stands for it."""
    if isinstance(shown, Mapping):
        names = {*shown, *real} - RANDOM
        return names <= {*shown} & {*real} and all(agrees(shown[n], real[n]) for n in names)
    if isinstance(shown, list | tuple):
        if any(re.search("<Versions|<DeleteMarkers", str(one)) for one in shown):
            # these stand for as many as there are
            return all(any(agrees(one, other) for one in shown) for other in real)
        return len(shown) == len(real) and all(map(agrees, shown, real))
    if isinstance(shown, str) and shown != real:
        known = map(re.escape, re.split("<[^<>]+>", shown))
        return bool(re.fullmatch(".*".join(known), str(real), re.DOTALL))
    return bool(shown in (b"", real))


def same(shown: Sequence[Call], real: Sequence[Call]) -> bool:
    return len(shown) == len(real) and all(
        one[0] == other[0] and agrees(*pair)
        for one, other in zip(shown, real, strict=True)
        for pair in [(one[1], other[1])]
    )


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["upload", "photos"], "s3.PutObject"),
        (["submit"], "emr-serverless.StartJobRun"),
        (["submit", "--wait", "--components", "9"], "emr-serverless.GetJobRun"),
        (["submit", "--cluster"], "emr.RunJobFlow"),
        (["cluster", "up"], "emr.RunJobFlow"),
        (["fetch"], "s3.GetObject"),
    ],
    ids=" ".join,
)
def test_a_command_calls_what_its_dry_run_shows(
    words: list[str], call: str, stack: project_file.Place, calls: Any, aws: Aws
) -> None:
    if words == ["fetch"]:
        aws.client("s3").put_object(Bucket=BUCKET, Key="results/main/pca.csv", Body=b"1,2")
    shown, real = calls(*words)
    assert call in [name for name, _ in real]
    assert [name for name, _ in shown] == [name for name, _ in real]
    assert same(shown, real)


def test_an_archive_is_sent_as_shown(stack: project_file.Place, calls: Any) -> None:
    shown, real = calls("package", "--model", MODEL)
    assert [name for name, _ in shown] == [*dict.fromkeys(name for name, _ in real)]
    assert same([shown[0], shown[-1]], [real[0], real[-1]])


def test_a_machine_is_started_as_shown(
    machine_stack: project_file.Place, aws: Aws, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_file.save(machine_stack, Path())
    monkeypatch.setattr(server, "launched", lambda: "1")
    tell(aws, "ready")
    shown, real = calls("server", "up")
    assert "ec2.RunInstances" in [name for name, _ in real]
    assert same(shown, real)
    shown, real = calls("server", "down")
    assert "ec2.TerminateInstances" in [name for name, _ in real]
    assert same(shown, real)


def test_a_new_stack_is_made_as_shown(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "template_body", lambda: json.dumps(TEMPLATE))
    shown, real = calls("deploy", "--yes")
    assert "cloudformation.ExecuteChangeSet" in [name for name, _ in real]
    # by its ARN, which a dry run does not know
    assert [name for name, _ in shown] == [*dict.fromkeys(name for name, _ in real)]


@pytest.mark.parametrize(
    ("before", "words", "call"),
    [
        (["submit", "--cluster"], ["stop", "--yes"], "emr.TerminateJobFlows"),
        (["cluster", "up"], ["cluster", "down"], "emr.TerminateJobFlows"),
        (["cluster", "up"], ["destroy", "--yes"], "cloudformation.DeleteStack"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_what_ends_things_shows_all_that_it_may_call(
    before: list[str], words: list[str], call: str, stack: project_file.Place, calls: Any
) -> None:
    calls(*before)
    shown, real = calls(*words)
    assert call in [name for name, _ in real]
    left = iter(shown)
    missing = [one for one in real if not any(same([other], [one]) for other in left)]
    assert [name for name, _ in missing] == []
