"""The Java that Spark needs, found and checked before anything starts."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from featuremill.errors import JavaError
from featuremill.workers.environment import java_options

OLDEST, NEWEST = 17, 21

_REMEDY = (
    f"Install Java {OLDEST}: `apt-get install openjdk-17-jre-headless` on Debian or Ubuntu,"
    " `dnf install java-17-amazon-corretto-headless` on Amazon Linux, `brew install openjdk@17`"
    " on a Mac; then set JAVA_HOME to it if it is not on the PATH."
)
_LACK = re.compile(
    "(?:There is insufficient memory|Could not (?:reserve|allocate)|unable to create).*"
)
MAKE_ROOM = (
    "Give it more room: a higher `ulimit -v` (or `ulimit -v unlimited`), more memory for the"
    " container, more threads (`ulimit -u`)."
)
"""What to do where Java lacks memory or threads."""


def check_java() -> int:
    """Major version of the Java that Spark will start.

    Raises
    ------
    JavaError
        If there is none, or it is older than 17 or newer than 21.
    """
    java = _find_java()
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, errors="replace", timeout=60
        )
    except BlockingIOError as error:
        raise JavaError(f"{java} cannot be started: {error.strerror}", MAKE_ROOM) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JavaError(f"{java} does not run: {error}", _REMEDY) from error
    said = answer.stderr + answer.stdout
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None and (lack := _LACK.search(said)):
        raise JavaError(f"{java} does not start: {lack[0]}", MAKE_ROOM)
    if found is None and (options := java_options()):
        refused = next((line for line in said.splitlines() if "Picked up" not in line), "no words")
        raise JavaError(
            f"{java} does not start: {refused}",
            f"Unset the options for every Java that the environment holds: {options}.",
        )
    if found is None:
        raise JavaError(f"{java} -version gave no version", _REMEDY)
    major = int(found[1])
    if not OLDEST <= major <= NEWEST:
        raise JavaError(
            f"{java} is Java {major}, Spark needs {OLDEST} to {NEWEST}",
            _REMEDY,
        )
    return major


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home, "bin", "java")
        if not java.is_file():
            raise JavaError(f"JAVA_HOME is {home}, but there is no {java}", _REMEDY)
        return str(java)
    java_on_path = shutil.which("java")
    if java_on_path is None:
        raise JavaError("no Java was found, and Spark runs on Java", _REMEDY)
    return java_on_path
