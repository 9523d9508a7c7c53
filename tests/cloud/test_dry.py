"""`--dry-run`: every changing command has it, shows each call whole, and makes none."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from featuremill.cli import main
from featuremill.cloud.aws.dry_run import DryRun
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.stack import project_file
from tests.cloud.stack import described, dry_run, featuremill, recording

READING = {"doctor", "status", "logs", "notebook", "cluster list"}
"""Commands that change nothing anywhere, and so have nothing to show beforehand."""

# command → words that it needs, and a call that it would make
CHANGING: dict[str, tuple[list[str], str]] = {
    "up": (
        ["photos", "--model", "mobilenetv2-untrained", "--verbose"],
        "emr-serverless.start_job_run",
    ),
    "deploy": ([], "cloudformation.execute_change_set"),
    "destroy": ([], "cloudformation.delete_stack"),
    "upload": (["photos"], "s3.put_object"),
    "fetch": ([], "s3.get_object"),
    "package": (["--model", "mobilenetv2-untrained"], "s3.put_object"),
    "submit": (["--wait"], "emr-serverless.start_job_run"),
    "stop": ([], "emr-serverless.cancel_job_run"),
    "cluster up": ([], "emr.run_job_flow"),
    "cluster down": ([], "emr.terminate_job_flows"),
    "server up": ([], "ec2.run_instances"),
    "server down": ([], "ec2.terminate_instances"),
    "estimate": (["photos", "--probe"], "emr-serverless.start_job_run"),
    "cost": ([], "ce.get_cost_and_usage"),
}


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images that belongs to a stack and has submitted a job."""
    monkeypatch.chdir(tmp_path)
    job = jobs.submitted(jobs.SERVERLESS, "00f1234567890abc", "00abc", "main", "s3://pictures/x")
    project_file.save(job.kept_in(described()), tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.jpg").write_bytes(b"a picture")
    return tmp_path


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, with their names."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def cloud() -> dict[str, click.Command]:
    group = main.get_command(click.Context(main), "cloud")
    assert isinstance(group, click.Group)
    return dict(commands(group))


def test_every_command_that_changes_anything_can_be_tried_dry() -> None:
    can = {
        name
        for name, command in cloud().items()
        if any("--dry-run" in parameter.opts for parameter in command.params)
    }
    assert can == set(cloud()) - READING
    assert can == set(CHANGING)


def test_every_command_works_with_a_profile_and_with_another_endpoint() -> None:
    for name, command in cloud().items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--profile", "--endpoint-url"} <= options, name


@pytest.mark.parametrize("command", CHANGING)
def test_a_dry_run_shows_the_calls_and_makes_none(command: str, ours: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in ours.rglob("*")}
    words, call = CHANGING[command]
    shown = dry_run("cloud", *command.split(), *words)
    assert call in shown
    assert shown.endswith("dry run: nothing was called\n")
    assert "Later(" not in shown
    assert {file: file.stat().st_mtime_ns for file in ours.rglob("*")} == before


def test_the_endpoint_that_records_would_have_noticed(ours: Path) -> None:
    with recording() as (endpoint, came):
        featuremill("cloud", "stop", "--yes", "--endpoint-url", endpoint)
    assert came


def test_a_cluster_is_shown_with_every_argument(ours: Path) -> None:
    shown = dry_run("cloud", "submit", "--cluster", "--components", "77", "--max-nodes", "9")
    flow = shown[shown.index("emr.run_job_flow") :]
    for each in (
        "- <archive of step 2>",
        "MaximumCapacityUnits: 9",
        "- InstanceType: m7i.xlarge",
        "spark.executor.cores: 4",
        "- 77",
        "IdleTimeout: 10800",
        "TimeoutAction: SWITCH_TO_ON_DEMAND",
    ):
        assert each in flow
    assert "…" not in flow


# How a call is shown


def shown(*parameters: tuple[str, object]) -> list[str]:
    """Lines of one call's parameters."""
    told: list[str] = []
    dry = DryRun("eu-west-1", tell=told.append)
    dry.step("start")
    dry.call("emr", "run_job_flow", **dict(parameters))
    return [line[8:] for line in told[1].splitlines()][1:]


def test_values_at_any_depth_are_shown_as_yaml_has_them() -> None:
    assert shown(
        ("Name", "fruits"),
        ("Sizes", [1, 2.5, True]),
        ("None", {}),
        ("Nothing", [{}, []]),
        ("Fleets", [{"Type": "TASK", "Of": [{"Kind": "m5"}]}, {"Type": "CORE"}]),
        ("Text", ""),
    ) == [
        "Name: fruits",
        "Sizes:",
        "  - 1",
        "  - 2.5",
        "  - true",
        "None: {}",
        "Nothing:",
        "  - {}",
        "  - []",
        "Fleets:",
        "  - Type: TASK",
        "    Of:",
        "      - Kind: m5",
        "  - Type: CORE",
        'Text: ""',
    ]


def test_what_an_earlier_step_will_tell_names_the_step() -> None:
    told: list[str] = []
    dry = DryRun("eu-west-1", tell=told.append)
    dry.step("start")
    cluster = dry.call("emr", "run_job_flow", Name="fruits")["JobFlowId"]
    dry.step("ask")
    step = dry.call("emr", "list_steps", ClusterId=cluster)["Steps"][0]["Id"]
    dry.step("look")
    dry.call("emr", "describe_step", ClusterId=cluster, StepId=step)
    assert told[-1].splitlines()[1:] == [
        "        ClusterId: <JobFlowId of step 1>",
        "        StepId: <Steps[0].Id of step 2>",
    ]


def test_a_call_that_is_repeated_in_a_step_is_shown_once() -> None:
    told: list[str] = []
    dry = DryRun("eu-west-1", tell=told.append)
    for _ in range(2):
        dry.step("look")
        for _ in range(2):
            dry.call("emr", "list_steps", ClusterId="j-1")
    assert len(told) == 4


def test_long_texts_are_whole_and_broken_where_one_reads_on() -> None:
    words = [f"--conf spark.some.property{n}={n}" for n in range(9)]
    assert shown(("Spark", " ".join(words))) == ["Spark: >", *(f"  {word}" for word in words)]
    assert shown(("Script", "set -e\necho done\n")) == ["Script: |", "  set -e", "  echo done"]
    assert shown(("Policy", json.dumps({"Effect": "Allow"}))) == [
        "Policy: # as JSON",
        "  Effect: Allow",
    ]


def test_of_a_file_there_is_the_beginning_and_the_checksum() -> None:
    template = shown(("TemplateBody", "\n".join(map(str, range(1_000)))))
    assert template[:2] == ["TemplateBody: |", "  0"]
    assert template[-1].startswith("  … 992 more lines; SHA-256 of all ")
    (body,) = shown(("Body", b"\xff\xd8"))
    assert body.startswith("Body: (2 bytes, SHA-256 ")


def test_secrets_are_never_shown_and_what_only_sounds_like_one_is() -> None:
    told = "\n".join(
        shown(
            ("Login", [{"Password": "hunter2", "User": "ada"}]),
            ("JUPYTER_TOKEN", "hunter2"),
            ("clientToken", "0a1b"),
            ("Parameter", {"Type": "SecureString", "Value": "hunter2", "Name": "/a"}),
        )
    )
    assert "hunter2" not in told
    assert told.count("(not shown)") == 3
    assert "User: ada" in told
    assert "clientToken: 0a1b" in told


def test_waiting_says_until_when() -> None:
    told: list[str] = []
    dry = DryRun("eu-west-1", tell=told.append)
    dry.step("wait")
    dry.wait("emr", "describe_cluster", "State", done=("DONE", "OVER"), limit=9, ClusterId="j-1")
    assert "\n".join(told).splitlines() == [
        " 1. wait",
        "      emr.describe_cluster until DONE or OVER",
        "        ClusterId: j-1",
    ]
