"""Of what Java and Python print of a failure, people get the line that tells its cause."""

import pytest

from featuremill.workers.failures import lack_of_threads, root_cause, translated

SHADOWED = """\
An error occurred while calling o77.collectToPython.
: org.apache.spark.SparkException: Job aborted: Task 0 failed: org.apache.spark.SparkException: 
Error from python worker:
  Traceback (most recent call last):
    File "/usr/lib/python3.11/tempfile.py", line 45, in <module>
      from random import Random as _Random
  ImportError: cannot import name 'Random' from 'random' (/home/me/random.py)
PYTHONPATH was:
  /usr/lib/pyspark.zip
org.apache.spark.SparkException: 
Bad data in pyspark.daemon's standard output. Invalid port number/socket path:
  1836654703 (0x6d79206f)
Also, check if you have a sitecustomize.py module in your python path,
or in your python installation, that is printing to standard output

Driver stacktrace:
Caused by: org.apache.spark.SparkException: 
Error from python worker:
  ImportError: cannot import name 'Random' from 'random' (/home/me/random.py)
PYTHONPATH was:
\tat org.apache.spark.api.python.PythonWorkerFactory.startDaemon(PythonWorkerFactory.scala:300)
\t... 1 more
"""  # noqa: W291
OF_JAVA = """\
Exception in thread "main" java.lang.ExceptionInInitializerError
\tat org.apache.spark.deploy.SparkSubmit.main(SparkSubmit.scala)
Caused by: java.lang.RuntimeException: the launcher cannot go on
\t... 3 more
Caused by: java.net.UnknownHostException: nosuch-host: Name or service not known
\tat java.base/java.net.InetAddress.getLocalHost(InetAddress.java:1671)
Caused by: org.apache.spark.SparkException:
\t... 9 more
"""
CHAINED = """\
org.apache.spark.api.python.PythonException: Traceback (most recent call last):
  File "worker.py", line 9, in require
ModuleNotFoundError: No module named 'pyarrow'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "worker.py", line 12, in main
PySparkImportError: [PACKAGE_NOT_INSTALLED] PyArrow >= 11.0.0 must be installed

\tat org.apache.spark.api.python.BasePythonRunner.handle(PythonRunner.scala:581)
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (SHADOWED, "ImportError: cannot import name 'Random' from 'random' (/home/me/random.py)"),
        (
            OF_JAVA,
            "java.net.UnknownHostException: nosuch-host: Name or service not known",
        ),
        (CHAINED, "ModuleNotFoundError: No module named 'pyarrow'"),
        (
            "first line\nspark-submit: no such file\n\tat a.b.c(D.java:1)",
            "spark-submit: no such file",
        ),
        ("", ""),
    ],
    ids=["worker", "Java", "Python", "no exception", "nothing"],
)
def test_the_deepest_error_that_says_something(text: str, cause: str) -> None:
    assert root_cause(text) == cause


def test_a_worker_without_a_package_is_told_to_have_it_installed() -> None:
    failed = translated(RuntimeError(CHAINED))
    assert failed.problem == "a Spark job failed: ModuleNotFoundError: No module named 'pyarrow'"
    assert "the Python of every worker" in failed.remedy


def test_where_no_thread_can_be_started_the_limit_is_named() -> None:
    text = "java.lang.OutOfMemoryError: unable to create native thread: resource limits reached"
    assert "ulimit -u" in translated(RuntimeError(text)).remedy


def test_a_thread_of_spark_that_java_could_not_start_is_the_cause() -> None:
    warning = "[9.1s][warning][os,thread] Failed to start the native thread for java.lang.Thread"
    garbage = '[0.1s][warning][os,thread] Failed to start thread "GC Thread#1" - pthread_create'
    said = f'{garbage}\n{warning} "dag-scheduler-event-loop"\n'
    cause = lack_of_threads(said)
    assert cause == 'Java could start no more threads: "dag-scheduler-event-loop" failed'
    assert lack_of_threads(garbage) == ""
    died = translated(ConnectionResetError("gone"), last_words=cause)
    assert died.problem == f"Spark's Java process died ({cause})"
    assert "ulimit -u" in died.remedy
