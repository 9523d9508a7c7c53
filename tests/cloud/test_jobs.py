"""`cloud submit` and `status`: what a job is asked, what it may use, how far it is."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.worker_size import executor, on_nodes
from featuremill.cloud.aws.worker_size import serverless as executors
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs import job_cluster, serverless
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.jobs.status import newest, status
from featuremill.cloud.jobs.wait import stay
from featuremill.cloud.packaging.shipped import Code, find_code
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RejectLimit, RunConfig
from featuremill.dataset.tables import DataFile, features_table
from featuremill.errors import CloudError, ConfigError
from featuremill.storage import open_store
from featuremill.workers import launch
from tests.cloud.moto_jobs import FAILS, GOES_ON
from tests.cloud.scripted import Scripted
from tests.cloud.stack import (
    ARCHIVE,
    BUCKET,
    ENTRY,
    deployed,
    described,
    dry_run,
    featuremill,
    flow_of,
    folder,
    put,
    recording,
)

__all__ = ["folder"]

LOGS = "logs/serverless/{name}/applications/{where}/jobs/{id}"
KILLED = """\
26/11/21 14:02:11 WARN TaskSetManager: Lost task 3.0 in stage 1.0 (TID 17) ([2600:1f18] executor 2)
26/11/21 14:03:40 ERROR TaskSchedulerImpl: Lost executor 2: Executor exited with exit status 137.
error: a worker process died
"""


@pytest.fixture
def stack(aws: Aws) -> Place:
    """A stack with an archive, and nothing run yet."""
    return deployed(aws)


def run(source: str = "s3://pictures/input", **options: Any) -> RunConfig:
    """A run as `submit` asks for it."""
    return RunConfig(source, "s3://pictures/results/main", region="eu-west-1", **options)


def submit(aws: Aws, stack: Place, config: RunConfig | None = None) -> Job:
    return serverless.submit(aws, stack, config or run(), "main")


def submit_cluster(aws: Aws, stack: Place, architecture: str = "x86_64") -> Job:
    return job_cluster.submit(aws, stack, run(), "main", Machines(architecture))


# What is asked of the job


@pytest.mark.parametrize(
    "config",
    [
        run(),
        run(n_components=128, standardize=False, precision="fp32"),
        run(variance=0.9, include=("*.jpg", "*.png"), exclude=("old/*",)),
        run(classes=("Apple Red 1", "Banana"), max_rejects=RejectLimit(count=7)),
        run(prune=True, keep_pca=True, relative_paths=True),
        run(reduce=False, replace_model=True, model="mobilenetv2-untrained"),
        run(engine="onnxruntime", max_bytes=1_000, max_pixels=2_000, image_timeout=2.5),
    ],
    ids=lambda config: " ".join(config.words()[2:]),
)
def test_the_job_reads_back_from_its_arguments_just_the_run_asked_for(config: RunConfig) -> None:
    arguments = config.words()
    # help is made once, with what the first context says of it
    command = main.get_command(click.Context(main), "run")
    assert command is not None
    read = command.make_context("run", arguments, **main.context_settings).params
    classes = tuple(filter(None, (read.pop("classes") or "").split(",")))
    assert RunConfig(classes=classes, **read) == config


@pytest.mark.parametrize(
    "option",
    [
        {"weights": "my.h5"},
        {"master": "yarn"},
        {"endpoint_url": "http://minio:9000"},
        {"pca_from": "results"},
    ],
)
def test_what_means_something_only_here_is_refused(option: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="has no meaning on AWS"):
        replace(run(), **option).words()


def test_a_job_gets_the_archive_the_interpreter_and_one_thread_for_each_slot() -> None:
    properties = serverless.spark_properties(JobLimits(), "s3://pictures/archive")
    assert properties["spark.archives"] == "s3://pictures/archive#deps"
    for where in ("spark.emr-serverless.driverEnv", "spark.executorEnv"):
        assert properties[f"{where}.PYTHONPATH"] == "./deps"
        assert properties[f"{where}.PYSPARK_PYTHON"] == "python3.11"
        assert properties[f"{where}.OMP_NUM_THREADS"] == "1"
    assert properties["spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON"] == "python3.11"
    assert properties["spark.task.maxFailures"] == str(launch.TASK_ATTEMPTS)


def test_the_job_submitted_is_the_newest_archive_with_these_arguments(
    aws: Aws, stack: Place
) -> None:
    job = submit(aws, stack, run(n_components=64))
    told = aws.client("emr-serverless").get_job_run(applicationId=job.where, jobRunId=job.id)
    asked = told["jobRun"]["jobDriver"]["sparkSubmit"]
    assert asked["entryPoint"] == f"s3://{BUCKET}/{ENTRY}"
    assert asked["entryPointArguments"] == [
        "s3://pictures/input",
        "s3://pictures/results/main",
        "--components",
        "64",
        "--region",
        "eu-west-1",
    ]
    words = asked["sparkSubmitParameters"].split(" ")
    assert set(words[::2]) == {"--conf"}
    properties = dict(word.split("=", 1) for word in words[1::2])
    assert properties["spark.archives"] == f"s3://{BUCKET}/{ARCHIVE}#deps"
    assert told["jobRun"]["tags"] == {"featuremill": "featuremill"}
    assert told["jobRun"]["executionTimeoutMinutes"] == 240


def test_packaging_again_what_is_there_makes_it_the_newest() -> None:
    # two archives; the entry point of the older one was renewed
    other = [key.replace("0123456789ab", "ba9876543210") for key in (ARCHIVE, ENTRY)]
    keys = [ARCHIVE, *other, ENTRY]
    days = {key: datetime(2026, 11, day, tzinfo=UTC) for day, key in enumerate(keys, 1)}
    listed = [{"Key": key, "LastModified": days[key]} for key in sorted(keys)]
    found = find_code(Scripted(list_objects_v2=[{"Contents": listed}]), described(), "x86_64")
    assert found == Code(f"s3://{BUCKET}/{ARCHIVE}", f"s3://{BUCKET}/{ENTRY}")


def test_an_archive_for_the_other_processor_is_not_taken(aws: Aws, stack: Place) -> None:
    arm = replace(stack, outputs={**stack.outputs, "Architecture": "arm64"})
    with pytest.raises(
        CloudError,
        match=r"no archive for arm64 with mobilenetv2 \(there: x86_64 with mobilenetv2\)",
    ) as refused:
        submit(aws, arm)
    assert "featuremill cloud package --architecture arm64" in refused.value.remedy


def test_an_archive_without_the_weights_of_the_jobs_model_is_not_taken(
    aws: Aws, stack: Place
) -> None:
    """Workers reach no other address than S3's."""
    aws.client("s3").delete_object(Bucket=BUCKET, Key=ARCHIVE)
    put(aws, ARCHIVE.replace("mobilenetv2", "embedded"), b"archive")
    with pytest.raises(CloudError, match=r"no archive for x86_64 with mobilenetv2") as refused:
        submit(aws, stack)
    assert "(there: x86_64 with embedded)" in refused.value.problem
    assert "package --architecture x86_64 --model mobilenetv2" in refused.value.remedy
    # what is part of the code, or drawn, is in every archive
    for model in ("embedded", "mobilenetv2-untrained"):
        submit(aws, stack, run(model=model))


def test_a_repeated_call_starts_no_second_job_but_a_second_command_does() -> None:
    calls = [flow_of(lambda dry: submit(dry, described()), "start_job_run") for _ in range(2)]
    assert calls[0]["clientToken"] != calls[1]["clientToken"]
    assert calls[0]["retryPolicy"] == {"maxAttempts": 1}


def test_a_job_may_write_its_own_results_and_logs_and_nothing_else() -> None:
    policy = serverless.narrowed_policy("pictures", run("s3://pictures/input/autumn"), "main")
    assert len(policy) <= 2_048, "AWS takes no more"
    allowed = {
        resource: statement["Action"]
        for statement in json.loads(policy)["Statement"]
        for resource in statement["Resource"]
        if "s3:PutObject" in statement["Action"]
    }
    assert set(allowed) == {
        "arn:aws:s3:::pictures/results/main/*",
        "arn:aws:s3:::pictures/logs/serverless/main/*",
    }
    assert "s3:DeleteObject" not in allowed["arn:aws:s3:::pictures/logs/serverless/main/*"]
    assert "arn:aws:s3:::pictures/input/autumn/*" in policy


# What the job may use

SERVERLESS_GB = {1: (2, 8, 1), 2: (4, 16, 1), 4: (8, 30, 1), 8: (16, 60, 4), 16: (32, 120, 8)}


@pytest.mark.parametrize("cores", SERVERLESS_GB)
@pytest.mark.parametrize("slot_mb", [1_200, 2_400])
def test_an_executor_is_a_worker_that_serverless_has_with_room_for_every_slot(
    cores: int, slot_mb: int
) -> None:
    smallest, largest, step = SERVERLESS_GB[cores]
    size = executor(cores, slot_mb)
    assert smallest <= size.memory_gb <= largest
    assert (size.memory_gb - smallest) % step == 0
    assert size.overhead_mb >= cores * slot_mb + 500


@pytest.mark.parametrize("max_vcpu", [3, 4, 8, 16, 17, 64, 100, 400])
def test_a_job_stays_within_its_vcpus_and_leaves_few_unused(max_vcpu: int) -> None:
    fleet = executors(max_vcpu)
    used = 2 + fleet.slots
    assert max_vcpu * 0.88 - 1 <= used <= max_vcpu
    properties = fleet.properties()
    assert properties["spark.default.parallelism"] == str(fleet.slots)
    assert properties["spark.dynamicAllocation.maxExecutors"] == str(fleet.executors)


def test_the_executor_of_a_node_leaves_room_for_the_driver_of_a_notebook() -> None:
    assert on_nodes(4, nodes=4).executor.memory_gb + 4 <= 12, "which YARN has of 16 GB"


@pytest.mark.parametrize(
    ("option", "refused"),
    [
        (lambda: executors(2), "--max-vcpu is 2, it must be at least 3"),
        (lambda: executors(16, 90_000), "--slot-memory is 90000, it must be from 500 to about"),
        (lambda: on_nodes(4, 4, 3_000), "a node has 12 GB for them"),
        (lambda: JobLimits(timeout=4), "--timeout is 4, it must be from 5 to 10,080 minutes"),
        (lambda: Machines("sparc"), "--architecture is 'sparc'"),
        (lambda: Machines("arm64", nodes=(4, 2)), "--min-nodes is 4 and --max-nodes is 2"),
        (lambda: Machines("arm64", idle_hours=0.01), "--idle-hours is 0.01"),
        (lambda: jobs.check_name("../code"), "--name is '../code'"),
    ],
)
def test_out_of_bounds_is_refused_with_the_bound(option: Any, refused: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(refused)):
        option()


# On a cluster of its own


def test_a_cluster_for_one_job_uses_spot_machines_and_ends_itself(aws: Aws, stack: Place) -> None:
    flow = flow_of(lambda dry: submit_cluster(dry, stack))
    primary, core, task = flow["Instances"]["InstanceFleets"]
    assert primary["TargetOnDemandCapacity"] == core["TargetOnDemandCapacity"] == 1
    assert task["LaunchSpecifications"]["SpotSpecification"]["TimeoutAction"] == (
        "SWITCH_TO_ON_DEMAND"
    )
    assert {each["InstanceType"] for each in task["InstanceTypeConfigs"]} == {
        "m5.xlarge",
        "m7i.xlarge",
    }
    assert flow["ManagedScalingPolicy"]["ComputeLimits"]["MinimumCapacityUnits"] == 2
    assert flow["ManagedScalingPolicy"]["ComputeLimits"]["MaximumCapacityUnits"] == 4
    assert flow["AutoTerminationPolicy"] == {"IdleTimeout": 3 * 3600}
    assert flow["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False

    job = submit_cluster(aws, stack)
    step = aws.client("emr").describe_step(ClusterId=job.where, StepId=job.id)["Step"]
    # a run that hangs is no idle cluster: the step itself has a limit
    limit, args = step["Config"]["Args"][:3], step["Config"]["Args"][3:]
    assert limit == ["timeout", "--kill-after=60", str(4 * 3600)]
    assert args[:4] == [
        "spark-submit",
        "--deploy-mode",
        "client",
        "/opt/featuremill/job.py",
    ]
    assert args[4:] == run().words()
    action = aws.client("emr").list_bootstrap_actions(ClusterId=job.where)["BootstrapActions"][0]
    assert action["Args"][:2] == [f"s3://{BUCKET}/{ARCHIVE}", f"s3://{BUCKET}/{ENTRY}"]
    script = action["ScriptPath"].removeprefix(f"s3://{BUCKET}/")
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key=script)["Body"].read()
    assert stored.startswith(b"#!/bin/bash")


def test_graviton_is_one_flag_and_needs_its_archive(aws: Aws, stack: Place) -> None:
    asked = flow_of(lambda dry: submit_cluster(dry, stack, "arm64"))
    types = asked["Instances"]["InstanceFleets"][0]
    assert [each["InstanceType"] for each in types["InstanceTypeConfigs"]] == [
        "m7g.xlarge",
        "m6g.xlarge",
    ]
    with pytest.raises(CloudError, match="no archive for arm64"):
        submit_cluster(aws, stack, "arm64")
    assert aws.client("emr").list_clusters()["Clusters"] == []


def test_how_a_step_is_can_be_asked(aws: Aws, stack: Place) -> None:
    now = status(aws, stack, submit_cluster(aws, stack))
    assert now.state == "RUNNING"
    assert not now.over
    assert "NormalizedInstanceHours" in now.billed


# Waiting


def test_waiting_ends_with_the_job(aws: Aws, stack: Place) -> None:
    states: list[str] = []
    job = submit(aws, stack)
    ended = stay(replace(aws, report=states.append), stack, job, 240)
    assert ended.state == "SUCCESS"
    assert states[-1] == "wait for the job: SUCCESS"


def test_a_job_that_ran_out_of_memory_says_so_and_what_helps(aws: Aws, stack: Place) -> None:
    job = serverless.submit(aws, stack, run(), FAILS)
    put(
        aws,
        f"{LOGS.format(name=job.name, where=job.where, id=job.id)}/SPARK_DRIVER/stderr.gz",
        KILLED,
    )
    with pytest.raises(CloudError) as failed:
        stay(aws, stack, job, 240)
    assert "a worker needed more memory than it has" in failed.value.problem
    assert "exit status 137" in failed.value.problem
    assert "--slot-memory" in failed.value.remedy


# How far it is


def commit(aws: Aws, stack: Place, run_id: str, number: int, rows: int) -> None:
    """What a run's commit leaves in the table."""
    store = open_store(
        "s3://pictures/results/main", endpoint_url=aws.endpoint_url, region="eu-west-1"
    )
    table = features_table(store)
    table.create()
    name = f"status=ok/{run_id}-{number:05d}-0.parquet"
    put(aws, f"results/main/features/{name}", b"rows")
    table.commit(run_id, number, [DataFile(name, rows, 4, {"status": "ok"})])


def test_images_count_as_done_when_this_job_has_committed_them(aws: Aws, stack: Place) -> None:
    commit(aws, stack, "20200101T000000000Z-aaaaaa", 0, 1_000)
    job = submit(aws, stack)
    assert status(aws, stack, job).images == 0
    commit(aws, stack, "20990101T000000000Z-bbbbbb", 0, 40)
    commit(aws, stack, "20990101T000000000Z-bbbbbb", 1, 2)
    now = status(aws, stack, job)
    assert now.images == 42
    assert now.dashboard == f"https://spark.example/{job.id}"


def test_jobs_of_others_are_listed_too(aws: Aws, stack: Place) -> None:
    submitted = {submit(aws, stack).id for _ in range(3)}
    assert {job.id for job in newest(aws, stack, 5)} == submitted
    assert len(newest(aws, stack, 2)) == 2


# On the command line


def test_submit_and_status(aws: Aws, stack: Place, endpoint: str, folder: Path) -> None:
    project_file.save(stack, folder)
    done = featuremill(
        "cloud", "submit", "--components", "64", "--wait", "--endpoint-url", endpoint
    )
    assert done.exit_code == 0, done.output
    assert "SUCCESS" in done.stdout
    job = jobs.last_job(project_file.load(folder))
    assert job.destination == "s3://pictures/results/main"
    told = featuremill("cloud", "status", "--watch", "--endpoint-url", endpoint)
    assert job.id in told.stdout
    assert "vCPU-hours" in told.stdout
    told = featuremill("cloud", "status", "--last", "3", "--endpoint-url", endpoint)
    assert told.stdout.count("results   s3://pictures/results/main") == 1


@pytest.mark.parametrize("where", [[], ["--cluster", "--architecture", "arm64"]])
def test_a_dry_run_shows_the_job_and_calls_nothing(where: list[str], folder: Path) -> None:
    shown = dry_run("cloud", "submit", *where, "--wait", "--variance", "0.9")
    assert ("emr.run_job_flow" if where else "emr-serverless.start_job_run") in shown
    assert not project_file.load(folder).last_job


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--components", "0"], "--components is 0, it must be at least 1"),
        (["--variance", "0.9", "--components", "5"], "were both given"),
        (["--precision", "fp8"], "--precision is 'fp8'"),
        (["--master", "yarn"], "--master yarn has no meaning on AWS"),
        (["--componets", "5"], "No such option"),
        (["--name", "a/b"], "--name is 'a/b'"),
        (["--model", "resnet"], "resnet"),
        (["photos", "out"], "cloud submit [OPTIONS] [RUN OPTIONS]..."),
    ],
)
def test_wrong_options_are_refused_before_any_call(
    words: list[str], problem: str, folder: Path
) -> None:
    refused = featuremill("cloud", "submit", *words, "--endpoint-url", "http://127.0.0.1:9")
    assert refused.exit_code == 2
    assert problem in refused.stderr


def test_without_a_job_there_is_nothing_to_tell(
    aws: Aws, stack: Place, endpoint: str, folder: Path
) -> None:
    application = stack.output("ApplicationId")
    job = submit(aws, stack)
    aws.client("emr-serverless").cancel_job_run(applicationId=application, jobRunId=job.id)
    project_file.save(stack, folder)
    told = featuremill("cloud", "status", "--endpoint-url", endpoint)
    assert "CANCELLED" in told.stdout, "the stack's newest job, where this folder has none"


def test_help_says_that_run_options_can_be_given() -> None:
    page = CliRunner().invoke(main, ["cloud", "submit", "--help"]).output
    assert "options of `featuremill run`, too" in " ".join(page.split())


# Stopping it


def long_job(aws: Aws, stack: Place, folder: Path) -> Job:
    """A job that goes on, submitted from this folder."""
    job = serverless.submit(aws, stack, run(), GOES_ON)
    project_file.save(job.kept_in(stack), folder)
    return job


def stop(endpoint: str, *words: str, typed: str | None = None) -> Result:
    command = ["cloud", "stop", *words, "--endpoint-url", endpoint]
    return CliRunner().invoke(main, command, input=typed)


def state_of(aws: Aws, job: Job) -> str:
    told = aws.client("emr-serverless").get_job_run(applicationId=job.where, jobRunId=job.id)
    return str(told["jobRun"]["state"])


def test_a_job_is_stopped_after_asking(aws: Aws, stack: Place, endpoint: str, folder: Path) -> None:
    job = long_job(aws, stack, folder)
    kept = stop(endpoint, typed="n\n")
    assert f"Stop job {job.id}, RUNNING for" in kept.stderr
    assert (kept.exit_code, state_of(aws, job)) == (1, "RUNNING")
    done = stop(endpoint, typed="y\n")
    assert done.exit_code == 0, done.output
    assert "state     CANCELLED" in done.stdout
    assert state_of(aws, job) == "CANCELLED"
    again = stop(endpoint)
    assert again.stdout == f"job {job.id} is over already: CANCELLED\n"


def test_a_job_of_another_folder_is_stopped_by_its_name(
    aws: Aws, stack: Place, endpoint: str, folder: Path
) -> None:
    other, job = long_job(aws, stack, folder), submit(aws, stack)
    project_file.save(job.kept_in(stack), folder)
    done = stop(endpoint, other.id, "--yes")
    assert done.exit_code == 0, done.output
    assert state_of(aws, other) == "CANCELLED"
    unknown = stop(endpoint, "00nothing", "--yes")
    assert unknown.exit_code == 1
    assert "stack featuremill has no job 00nothing" in unknown.stderr


def test_where_none_was_submitted_here_the_newest_is_meant(
    aws: Aws, stack: Place, endpoint: str, folder: Path
) -> None:
    job = long_job(aws, stack, folder)
    project_file.save(stack, folder)
    assert stop(endpoint, "--yes").exit_code == 0
    assert state_of(aws, job) == "CANCELLED"


def test_of_a_job_on_a_cluster_the_cluster_is_ended(
    aws: Aws, stack: Place, endpoint: str, folder: Path
) -> None:
    job = submit_cluster(aws, stack)
    project_file.save(job.kept_in(stack), folder)
    done = stop(endpoint, "--yes")
    assert done.exit_code == 0, done.output
    cluster = aws.client("emr").describe_cluster(ClusterId=job.where)["Cluster"]
    assert cluster["Status"]["State"] == "TERMINATED"


def test_another_cluster_is_not_a_job(endpoint: str, folder: Path) -> None:
    refused = stop(endpoint, "j-1ANOTHER", "--yes")
    assert refused.exit_code == 2
    assert "featuremill cloud cluster down" in refused.stderr


def test_whoever_stops_waiting_is_told_that_the_job_goes_on(
    aws: Aws, stack: Place, endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_file.save(stack, folder)

    def ctrl_c(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("featuremill.cli.cloud.options.Aws", partial(Aws, sleep=ctrl_c))
    left = featuremill("cloud", "submit", "--wait", "--name", GOES_ON, "--endpoint-url", endpoint)
    assert left.exit_code == 130
    assert "The job goes on without this command, and costs" in left.stderr
    assert "`featuremill cloud stop` ends it" in left.stderr
    assert state_of(aws, jobs.last_job(project_file.load(folder))) == "RUNNING"


# What the stack may use


def test_more_than_the_stack_may_use_is_refused_and_the_default_stays_below(
    folder: Path,
) -> None:
    small = replace(described(), outputs={**described().outputs, "MaximumVcpu": "8"})
    project_file.save(small, folder)
    with recording() as (endpoint, came):
        words = ["cloud", "submit", "--max-vcpu", "64", "--endpoint-url", endpoint]
        refused = featuremill(*words)
    assert (refused.exit_code, came) == (2, [])
    assert "--max-vcpu is 64, the application of stack featuremill may use 8" in refused.stderr
    assert "`featuremill cloud deploy --max-vcpu 64`" in refused.stderr
    shown = dry_run("cloud", "submit")
    assert "spark.dynamicAllocation.maxExecutors=3" in shown


def test_a_step_of_a_cluster_that_is_gone_is_over(
    aws: Aws, stack: Place, endpoint: str, folder: Path
) -> None:
    job = submit_cluster(aws, stack)
    aws.client("emr").terminate_job_flows(JobFlowIds=[job.where])
    now = status(aws, stack, job)
    assert (now.state, now.over) == ("INTERRUPTED", True)


def test_what_the_folder_says_of_a_job_may_be_damaged(folder: Path) -> None:
    project_file.save(replace(described(), last_job={"id": "00f"}), folder)
    refused = featuremill("cloud", "status")
    assert refused.exit_code == 2
    assert "is damaged where it names the newest job" in refused.stderr


def test_a_record_of_another_version_does_not_hide_how_the_job_is(aws: Aws, stack: Place) -> None:
    job = submit(aws, stack)
    put(aws, "results/main/runs/20990101T000000000Z-cccccc.json", b'{"run": "of tomorrow"}')
    now = status(aws, stack, job)
    assert (now.state, now.images, now.ledger) == ("SUCCESS", 0, "")
