"""`cloud logs`: which logs there are, and which of all those lines is the cause."""

import gzip
from pathlib import Path

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs import job as jobs
from featuremill.cloud.jobs.diagnose import CAUSES, Diagnosis, diagnose
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.jobs.logs import explain, fetch, files, lines
from featuremill.cloud.stack import project_file
from featuremill.cloud.stack.project_file import Place
from featuremill.errors import StorageError
from tests.cloud.stack import deployed, featuremill, folder, put

__all__ = ["folder"]

SERVERLESS = Job(
    jobs.SERVERLESS,
    "00fapp",
    "00fjob",
    "main",
    "s3://pictures/results/main",
    "2026-11-21T14:00:00Z",
)
CLUSTER = Job(
    jobs.CLUSTER, "j-1CLUSTER", "s-1STEP", "main", "s3://pictures/results/main", "2026-11-21T14:00Z"
)
RUN = "logs/serverless/main/applications/00fapp/jobs/00fjob"
EMR = "logs/emr/j-1CLUSTER"


@pytest.fixture
def stack(aws: Aws) -> Place:
    return deployed(aws)


def cause_of(*logs: str, ended: str = "") -> Diagnosis:
    """The cause in logs of which the first is the driver's."""
    found = diagnose(((f"log {n}", text.splitlines()) for n, text in enumerate(logs)), ended)
    assert found is not None
    return found


# Which log lines are the cause

SUBMITTED = """\
26/11/21 14:00:41 INFO SparkContext: Spark configuration:
spark.executor.memoryOverhead=4096m
spark.executorEnv.PYTHONPATH=./deps
26/11/21 14:00:58 WARN S3AInputStream: Retrying on 503 SlowDown, attempt 1 of 10
"""

MISSING = """\
26/11/21 14:01:19 WARN TaskSetManager: Lost task 0.0 in stage 0.0 (TID 0) ([2a05:d018] executor 1):
Traceback (most recent call last):
  File "/tmp/spark-1f/job.py", line 14, in <module>
    from featuremill.cli.cluster_job import main
  File "/tmp/localPyFiles/deps/featuremill/cli/cluster_job.py", line 40, in main
    spark.range(4).mapInArrow(run, "task int").collect()
py4j.protocol.Py4JJavaError: An error occurred while calling o93.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 4\
 times, most recent failure: org.apache.spark.api.python.PythonException: Traceback (most recent\
 call last):
  File "/usr/lib/spark/python/lib/pyspark.zip/pyspark/worker.py", line 1247, in main
    func, profiler, deserializer, serializer = read_command(pickleSer, infile)
  File "./deps/featuremill/images/decode.py", line 9, in <module>
    import simplejpeg
ModuleNotFoundError: No module named 'simplejpeg'

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRun
\tat org.apache.spark.scheduler.Task.run(Task.scala:141)
Caused by: org.apache.spark.api.python.PythonException: Traceback (most recent call last):
"""

GLIBC = """\
Traceback (most recent call last):
  File "./deps/openvino/__init__.py", line 26, in <module>
    from openvino._pyopenvino import AxisSet
ImportError: /lib64/libc.so.6: version `GLIBC_2.35' not found (required by ./deps/openvino/libs/lib)
"""

KILLED = """\
26/11/21 14:02:30 ERROR YarnScheduler: Lost executor 3 on ip-10-0-0-7.eu-west-1.compute.internal:
 Container killed by YARN for exceeding physical memory limits. 8.1 GB of 8 GB physical memory used.
 Consider boosting spark.executor.memoryOverhead.
26/11/21 14:02:31 WARN TaskSetManager: Lost task 5.2 in stage 1.0: Python worker exited unexpectedly
error: a worker process died
"""

HEAP = """\
26/11/21 14:02:30 ERROR Executor: Exception in task 0.0 in stage 1.0 (TID 1)
java.lang.OutOfMemoryError: Java heap space
\tat java.base/java.util.Arrays.copyOf(Arrays.java:3537)
"""

INTERPRETER = """\
Exception in thread "main" java.io.IOException: Cannot run program "./environment/bin/python":\
 error=2, No such file or directory
\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)
Caused by: java.io.IOException: error=2, No such file or directory
"""

NUMPY = """\
A module that was compiled using NumPy 1.x cannot be run in NumPy 2.4.6 as it may crash.
ImportError: numpy.core.multiarray failed to import
"""

DENIED = """\
26/11/21 14:01:02 INFO Credentials: using the job's role
error: cannot write s3://other/results/network.json: AccessDenied: User: arn:aws:sts::123456789012:\
assumed-role/featuremill-job is not authorized to perform: s3:PutObject
  Check the bucket's name, your permissions and --endpoint-url.
"""

REJECTED = """\
26/11/21 14:00:58 WARN S3AInputStream: Retrying on 503 SlowDown, attempt 1 of 10
error: 61 of 1,000 images were rejected, --max-rejects is 5% (61 × decode: truncated)
  See rejects.csv. Everything embedded is kept; to accept the rejects, run again with a higher one.
"""

SPOT = """\
26/11/21 14:09:51 WARN YarnAllocator: Container from a bad node: container_1_000004. Exit status:\
 -100. Diagnostics: Container released on a *lost* node.
"""

DISK = """\
OSError: [Errno 28] No space left on device: './deps/numba'
"""

EXPIRED = """\
error: cannot read s3://pictures/input: ExpiredToken: The provided token has expired.
  Set AWS_PROFILE, or run `aws configure` or `aws sso login`.
"""

BUSY = """\
error: cannot write s3://pictures/results/main/features: SlowDown: Please reduce your request rate.
"""

CHAIN = """\
26/11/21 14:01:00 ERROR Utils: Aborting task
java.lang.RuntimeException: could not commit
\tat com.example.A.a(A.java:1)
Caused by: java.io.UncheckedIOException: while closing
\tat com.example.B.b(B.java:2)
\t... 9 more
Caused by: java.net.UnknownHostException: sts.eu-west-1.amazonaws.com
\t... 12 more
26/11/21 14:01:09 INFO ShutdownHookManager: Shutdown hook called
Caused by: java.lang.IllegalStateException: too late to matter
"""

ARM = """\
ImportError: ./deps/numpy/_core/_umath.so: cannot open shared object file: wrong ELF class
"""


@pytest.mark.parametrize(
    ("log", "cause", "remedy"),
    [
        (MISSING, "a package is missing from the archive", "cloud package"),
        (GLIBC, "the archive was built for a newer Linux", "cloud package"),
        (ARM, "the archive was built for another processor", "--architecture"),
        (KILLED, "a worker needed more memory than it has", "--slot-memory"),
        (HEAP, "Java's heap was full", "--slot-memory"),
        (INTERPRETER, "the Python that workers were to use is not there", "cloud deploy"),
        (NUMPY, "NumPy and the packages built on it do not fit together", "cloud package"),
        (DENIED, "the job's role may not do that", "input/"),
        (SPOT, "AWS took a Spot machine back", "goes on where it was"),
        (DISK, "a worker's disk is full", "--max-vcpu"),
        (EXPIRED, "the credentials had run out", "Submit again"),
        (BUSY, "S3 was asked too much at once", "--max-vcpu"),
    ],
    ids=lambda text: text[:40] if "\n" not in text else "",
)
def test_the_root_is_named_with_what_helps(log: str, cause: str, remedy: str) -> None:
    found = cause_of(SUBMITTED + log)
    assert found.cause == cause
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("reason", "cause", "remedy"),
    [
        (
            "ApplicationMaxCapacityExceededException: Worker could not be allocated as the"
            " application has exceeded maximumCapacity settings: [cpu: 16 vCPU]",
            "the account or the application may not use so much at once",
            "--max-vcpu",
        ),
        (
            "ServiceQuotaExceededException: Max concurrent vCPUs per account",
            "the account or the application may not use so much at once",
            "Service Quotas",
        ),
        (
            "On the master instance (i-0ab), bootstrap action 1 returned a non-zero return code",
            "a machine of the cluster could not be set up",
            "cloud logs --to",
        ),
        (
            "Type 'SPARK' is not supported for release label 'emr-99' or it does not exist",
            "the release is unknown in this region",
            "cloud doctor",
        ),
        (
            "Job run execution timeout of 240 minutes was reached",
            "it took longer than it was allowed",
            "--timeout",
        ),
        ("Job failed. ExitCode: 3. Last few exceptions:", "more images were rejected", ""),
        ("Job failed. ExitCode: 137", "a worker needed more memory than it has", "--slot-memory"),
        ("Nobody knows.", "AWS gave only this reason", ""),
    ],
)
def test_what_aws_says_counts_where_no_log_says_more(reason: str, cause: str, remedy: str) -> None:
    found = cause_of(SUBMITTED, ended=reason)
    assert found.cause.startswith(cause)
    assert remedy in found.remedy
    assert found.where == "AWS"


def test_what_featuremill_said_goes_before_what_it_survived() -> None:
    found = cause_of(KILLED.replace("error: a worker process died\n", "") + REJECTED)
    assert found.said.startswith("61 of 1,000 images were rejected")
    assert found.remedy.startswith("See rejects.csv.")


def test_the_wrapper_is_not_taken_for_the_root() -> None:
    wrapper = "error: a Spark job failed: org.apache.spark.SparkException: Job aborted"
    raised = "Traceback (most recent call last):\n  File 'x.py', line 1\nZeroDivisionError: by 0\n"
    ended = "Job failed. ExitCode: 1. Last few exceptions: Py4JJavaError"
    found = cause_of(wrapper, raised, ended=ended)
    assert (found.said, found.where) == ("ZeroDivisionError: by 0", "log 1")
    assert cause_of(wrapper, "", ended=ended).said == wrapper.removeprefix("error: ")
    found = cause_of("", GLIBC, "error: a worker process died")
    assert (found.cause, found.where) == ("the archive was built for a newer Linux", "log 1")


def test_an_exception_nobody_knows_is_shown_without_those_around_it() -> None:
    unknown = MISSING.replace("ModuleNotFoundError: No module", "KeyError: no module")
    assert cause_of(unknown).said == "KeyError: no module named 'simplejpeg'"
    assert cause_of(SPOT + unknown).said == "KeyError: no module named 'simplejpeg'"
    handled = "Traceback (most recent call last):\nValueError: tried once\n"
    assert cause_of(handled + unknown).said == "KeyError: no module named 'simplejpeg'"
    assert cause_of(CHAIN).said == "java.net.UnknownHostException: sts.eu-west-1.amazonaws.com"


def test_logs_that_say_nothing_name_no_cause() -> None:
    assert diagnose([("driver stderr", SUBMITTED.splitlines())]) is None
    assert diagnose([]) is None


def test_every_known_cause_has_a_remedy_that_is_a_sentence() -> None:
    assert all(cause.remedy.endswith(".") and cause.name for cause in CAUSES)


# Which logs there are; that the driver's Python speaks on stdout, the end-to-end test showed


@pytest.fixture
def serverless_logs(aws: Aws, stack: Place) -> Place:
    """What a job on Serverless leaves."""
    put(aws, f"{RUN}/SPARK_DRIVER/stdout.gz", "report    s3://pictures/results/main/report.html\n")
    put(aws, f"{RUN}/SPARK_DRIVER/stderr.gz", SUBMITTED + "error: a worker process died\n")
    put(aws, f"{RUN}/SPARK_DRIVER/archived/stderr_1.gz", "older lines\n")
    put(aws, f"{RUN}/SPARK_EXECUTOR/10/stderr.gz", "fine\n")
    put(aws, f"{RUN}/SPARK_EXECUTOR/2/stderr.gz", GLIBC)
    put(aws, f"{RUN}/SPARK_EXECUTOR/2/stdout.gz", "\n")
    put(aws, f"{RUN}/sparklogs/eventlog_v2_00fjob/events_1.gz", "{}\n")
    put(aws, "logs/serverless/main/applications/00fapp/jobs/another/SPARK_DRIVER/stderr.gz", HEAP)
    return stack


def test_logs_of_serverless_come_driver_first(aws: Aws, serverless_logs: Place) -> None:
    assert [log.title for log in files(aws, serverless_logs, SERVERLESS)] == [
        "driver stdout",
        "driver stderr",
        "driver stderr",
        "executor 2 stderr",
        "executor 10 stderr",
        "executor 2 stdout",
    ]
    found = explain(aws, serverless_logs, SERVERLESS)
    assert found is not None
    assert found.where == "executor 2 stderr"
    assert "GLIBC_2.35" in found.said


def test_logs_of_a_cluster_are_the_steps_and_the_containers(aws: Aws, stack: Place) -> None:
    for name, text in {
        "steps/s-1STEP/stderr.gz": "error: a worker process died\n",
        "steps/s-1STEP/controller.gz": "INFO waitProcessCompletion ended with exit code 1\n",
        "steps/s-2OTHER/stderr.gz": HEAP,
        "containers/application_17_0001/container_17_0001_01_000002/stderr.gz": KILLED,
        "node/i-0ab/bootstrap-actions/1/stderr.gz": "",
        "node/i-0ab/applications/hadoop-yarn/yarn.log.gz": "",
    }.items():
        put(aws, f"{EMR}/{name}", text)
    titles = [log.title for log in files(aws, stack, CLUSTER)]
    assert titles == [
        "driver stderr",
        "driver controller",
        "bootstrap i-0ab stderr",
        "executor container_17_0001_01_000002 stderr",
    ]
    found = explain(aws, stack, CLUSTER)
    assert found is not None
    assert found.cause == "a worker needed more memory than it has"


def test_all_logs_come_to_disk_as_text(aws: Aws, serverless_logs: Place, tmp_path: Path) -> None:
    written = fetch(aws, serverless_logs, SERVERLESS, tmp_path)
    names = {file.relative_to(tmp_path).as_posix() for file in written}
    assert "SPARK_DRIVER/stderr" in names
    assert "SPARK_EXECUTOR/10/stderr" in names
    assert len(names) == 6
    assert (tmp_path / "SPARK_EXECUTOR/2/stderr").read_text() == GLIBC


def test_a_folder_that_cannot_be_written_is_named(
    aws: Aws, serverless_logs: Place, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(StorageError, match=r"logs/SPARK_DRIVER.* cannot be written") as refused:
        fetch(aws, serverless_logs, SERVERLESS, tmp_path / "logs")
    assert refused.value.remedy == "Name another folder."


@pytest.mark.parametrize(
    "key",
    [
        "SPARK_DRIVER/../../../x.gz",
        "SPARK_DRIVER/../../../stderr.gz",
        "SPARK_EXECUTOR/../stderr.gz",
        "SPARK_EXECUTOR/2/../../stdout.gz",
        "attempts/1/SPARK_DRIVER/../stderr",
        "SPARK_DRIVER//stderr.gz",
        "SPARK_DRIVER/./stderr.gz",
        "SPARK_DRIVER/stderr.gz/../../stderr.gz",
        "SPARK_DRIVER/stderr\\..\\x.gz",
        "SPARK_DRIVER/stderr.gz/.pth",
        "SPARK_DRIVER/lib/site-packages/stdlib.pth",
    ],
)
def test_a_job_cannot_have_a_file_written_outside_the_folder(
    aws: Aws, stack: Place, tmp_path: Path, key: str
) -> None:
    put(aws, f"{RUN}/{key}", "import evil\n")
    put(aws, f"{RUN}/SPARK_DRIVER/stderr.gz", "a log\n")
    written = fetch(aws, stack, SERVERLESS, tmp_path / "a" / "b" / "logs")
    assert [file.name for file in written] == ["stderr"]
    there = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert there == [tmp_path / "a/b/logs/SPARK_DRIVER/stderr"]
    assert there[0].read_text() == "a log\n"


@pytest.mark.parametrize(
    "key",
    [
        "steps/s-1STEP/../../../stderr.gz",
        "steps/../s-1STEP/stderr.gz",
        "containers/application_1/../x/../../stderr.gz",
        "containers/../../stderr.gz",
        "node/i-0ab/bootstrap-actions/../../../../stderr.gz",
        "node/../bootstrap-actions/1/stderr.gz",
    ],
)
def test_a_node_cannot_either(aws: Aws, stack: Place, tmp_path: Path, key: str) -> None:
    put(aws, f"{EMR}/{key}", "import evil\n")
    assert fetch(aws, stack, CLUSTER, tmp_path / "a" / "b" / "logs") == []
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_of_two_logs_of_one_name_both_are_written(aws: Aws, stack: Place, tmp_path: Path) -> None:
    put(aws, f"{RUN}/SPARK_DRIVER/stderr", "one\n")
    put(aws, f"{RUN}/SPARK_DRIVER/stderr.gz", "other\n")
    written = fetch(aws, stack, SERVERLESS, tmp_path)
    assert {file.read_text() for file in written} == {"one\n", "other\n"}


def test_a_log_that_is_none_does_not_hide_the_others(
    aws: Aws, stack: Place, tmp_path: Path
) -> None:
    put(aws, f"{RUN}/SPARK_DRIVER/stdout.gz", b"no gzip")
    put(aws, f"{RUN}/SPARK_DRIVER/stderr.gz", DISK)
    found = explain(aws, stack, SERVERLESS)
    assert found is not None
    assert found.cause == "a worker's disk is full"


def test_a_log_that_unpacks_to_very_much_is_cut(
    aws: Aws, stack: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featuremill.cloud.jobs.logs._LARGEST", 1 << 20)
    put(aws, f"{RUN}/SPARK_DRIVER/stderr.gz", "\0" * (4 << 20))
    read = list(lines(aws, stack, files(aws, stack, SERVERLESS)[0]))
    assert sum(map(len, read)) < 2 << 20
    assert max(map(len, read)) <= 1 << 16
    assert read[-1].startswith("(cut here: ")


def test_a_log_that_is_still_being_written_is_read_as_far_as_it_goes(
    aws: Aws, stack: Place
) -> None:
    whole = gzip.compress("".join(f"line {n} of many\n" for n in range(20_000)).encode())
    put(aws, f"{RUN}/SPARK_DRIVER/stderr.gz", whole[: len(whole) // 2])
    [log] = files(aws, stack, SERVERLESS)
    read = list(lines(aws, stack, log))
    assert 1_000 < len(read) < 20_000
    assert read[0] == "line 0 of many"


# On the command line


def test_logs_show_the_end_of_the_drivers_log_and_the_cause(
    aws: Aws, endpoint: str, stack: Place, folder: Path
) -> None:
    from tests.cloud.moto_jobs import FAILS

    project_file.save(stack, folder)
    done = featuremill("cloud", "submit", "--name", FAILS, "--endpoint-url", endpoint)
    assert done.exit_code == 0, done.output
    empty = featuremill("cloud", "logs", "--endpoint-url", endpoint)
    assert "has no logs yet" in empty.stdout
    job = jobs.last_job(project_file.load(folder))
    where = f"logs/serverless/{FAILS}/applications/{job.where}/jobs/{job.id}"
    put(aws, f"{where}/SPARK_DRIVER/stdout.gz", "")
    put(aws, f"{where}/SPARK_DRIVER/stderr.gz", SUBMITTED + DENIED)
    told = featuremill("cloud", "logs", "--lines", "2", "--endpoint-url", endpoint)
    assert told.exit_code == 1
    assert told.stdout.count("\n") == 3
    assert "the job's role may not do that" in told.stderr
    assert "input/ and results in results/" in told.stderr
    put(aws, f"{where}/SPARK_DRIVER/stdout.gz", "\x1b]0;owned\x07\rall is well\x9b2J\n")
    told = featuremill("cloud", "logs", "--endpoint-url", endpoint)
    assert "%1B]0;owned%07%0Dall is well%C2%9B2J" in told.stdout
    put(aws, f"{where}/SPARK_DRIVER/stderr.gz", "error: \x1b[8mhidden\n")
    assert "%1B[8mhidden" in featuremill("cloud", "logs", "--endpoint-url", endpoint).stderr
    put(aws, f"{where}/SPARK_DRIVER/stderr.gz", SUBMITTED + DENIED)
    featuremill("cloud", "logs", "--to", "logs", "--endpoint-url", endpoint)
    assert "AccessDenied" in (folder / "logs" / "SPARK_DRIVER" / "stderr").read_text()
