"""Nothing is installed that was not locked with its hash: on AWS, in containers, by make."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

EXCEPTIONS = {
    "--no-build-isolation --no-deps .": "featuremill itself, from its own folder",
    "--no-build-isolation --no-deps --editable .": "featuremill itself, from its own folder",
    "--no-deps --target .train torch==": "no hash fits all builds of PyTorch",
    # lines that errors print, for the user to run
    "{_requirement(extra)}": "the user's own environment",
    "pip install -e '/home/me/featuremill[aws]'": "the user's own environment",
    "`make demo`, or `pip install --editable .`": "the user's own environment",
    "`uv pip install pip`": "the user's own environment",
    "`pip install '.[spark,pandas,onnxruntime]' matplotlib`": "the user's own environment",
}
"""Part of a command → why it goes without hashes."""

_INSTALLS = re.compile(r"\bpip\b.*\binstall\b|\$\(pip\)")
# of a command that goes on: in a shell, and in a list of Python's
_GOES_ON = re.compile(r"\\\n\s*|(?<=[,(\[])\n\s*")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def installs() -> Iterator[tuple[str, str]]:
    """File and command of everything that installs packages."""
    files = tracked(
        "src", "scripts", "infra", "notebooks", "Dockerfile", "Makefile", "compose.yaml"
    )
    for file in files:
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for line in _GOES_ON.sub(" ", text).splitlines():
            for command in line.split("&&"):
                if _INSTALLS.search(command) and not command.startswith("pip :="):
                    yield file.relative_to(ROOT).as_posix(), " ".join(command.split())


def test_every_installation_asks_for_hashes_or_has_a_reason() -> None:
    found = [*installs()]
    assert {name for name, _ in found} >= {
        *("Dockerfile", "Makefile", "notebooks/featuremill.ipynb"),
        "src/featuremill/cloud/jobs/bootstrap/install.sh",
        "src/featuremill/cloud/jobs/bootstrap/server.sh",
        "src/featuremill/cloud/packaging/dependencies.py",
    }
    without = [
        f"{name}: {line}"
        for name, line in found
        if "--require-hashes" not in line and not any(part in line for part in EXCEPTIONS)
    ]
    assert without == []


def test_every_exception_is_still_there() -> None:
    lines = [line for _, line in installs()]
    assert [part for part in EXCEPTIONS if not any(part in line for line in lines)] == []


@pytest.mark.parametrize("lock", tracked("*.lock"), ids=lambda file: file.name)
def test_every_package_of_a_lock_has_its_hash(lock: Path) -> None:
    requirements = re.sub(r"\\\n\s*", " ", lock.read_text("utf-8")).splitlines()
    assert requirements
    for each in requirements:
        assert re.fullmatch(r"[\w.-]+(\[\w+\])?==\S+( ;.*?)?( +--hash=sha256:[0-9a-f]{64})+", each)


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "src" / "featuremill" / "cloud" / lock).read_text("utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("beside", ["figures", "server"])
def test_what_is_installed_beside_the_archive_has_the_archives_versions(
    machine: str, beside: str
) -> None:
    # on a node pip would try to replace what the archive brought, which has no record for that
    archive, other = pins(f"packaging/locks/{machine}.lock"), pins(f"jobs/bootstrap/{beside}.lock")
    shared = archive.keys() & other.keys()
    assert {"numpy", "pillow"} <= shared
    assert {name: other[name] for name in shared} == {name: archive[name] for name in shared}
