"""The container files, read as Docker would: what a user would notice without building them."""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LONG_ENOUGH = "0123456789abcdef"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return services


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of an instruction's name and its argument."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    words = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return [(name, " ".join(argument.split())) for name, argument in words]


def copied(instructions: list[tuple[str, str]]) -> list[str]:
    """Every path of the checkout that the Dockerfile copies."""
    copies = [argument.split() for name, argument in instructions if name == "COPY"]
    return [each for words in copies if not words[0].startswith("--from=") for each in words[:-1]]


def reaches_the_build(path: str) -> bool:
    """Whether .dockerignore lets a path through: its last line that names the path, or a folder
    above it, decides."""
    passes = True
    parts = path.split("/")
    names = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        anywhere = pattern.startswith("**/")
        candidates = parts if anywhere else [name for name in names if matches_depth(name, pattern)]
        if any(fnmatchcase(name, pattern.removeprefix("**/")) for name in candidates):
            passes = line.startswith("!")
    return passes


def matches_depth(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/")


def start(environment: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """What the container runs, with a ``jupyter`` that only shows how it was called."""
    stand_in = folder / "jupyter"
    stand_in.write_text('#!/bin/sh\necho "$@"\necho "token=$JUPYTER_TOKEN"\n')
    stand_in.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", ROOT / "scripts" / "start-jupyter.sh"],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
    )


# ------------------------------------------------------------------------------- who gets in


@pytest.mark.parametrize("environment", [{}, {"JUPYTER_TOKEN": ""}, {"JUPYTER_TOKEN": "short"}])
def test_jupyterlab_does_not_start_without_a_token(
    environment: dict[str, str], tmp_path: Path
) -> None:
    ran = start(environment, tmp_path)
    assert ran.returncode == 2
    assert ran.stdout == ""
    length = len(environment.get("JUPYTER_TOKEN", ""))
    assert f"JUPYTER_TOKEN has {length} characters, and must have at least 16" in ran.stderr
    assert "openssl rand -hex 32" in ran.stderr


def test_the_token_is_in_no_list_of_processes(tmp_path: Path) -> None:
    ran = start({"JUPYTER_TOKEN": LONG_ENOUGH}, tmp_path)
    arguments, token = ran.stdout.splitlines()
    assert token == f"token={LONG_ENOUGH}"
    assert arguments.startswith("lab ")
    assert "--port=8888" in arguments
    assert LONG_ENOUGH not in arguments
    assert not re.search("allow.root|password|token", arguments)


def test_compose_too_asks_for_the_token(services: dict[str, Any]) -> None:
    assert services["jupyter"]["environment"]["JUPYTER_TOKEN"].startswith("${JUPYTER_TOKEN:?")
    assert "JUPYTER_TOKEN=\n" in (ROOT / ".env.example").read_text()


def test_no_port_is_open_to_other_machines(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all("network_mode" not in service for service in services.values())


def test_a_container_cannot_become_root(
    services: dict[str, Any], instructions: list[tuple[str, str]]
) -> None:
    users = [argument for name, argument in instructions if name == "USER"]
    assert users == ["featuremill"]
    for service in services.values():
        assert "user" not in service
        assert "privileged" not in service
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_aws_credentials_are_only_where_deploying_is_asked_for(services: dict[str, Any]) -> None:
    assert services["deploy"]["profiles"] == ["deploy"]
    others = {name: service for name, service in services.items() if name != "deploy"}
    assert not re.search("aws", str(others), re.IGNORECASE)


# ------------------------------------------------------------------------------- what is inside


def test_every_image_has_a_version(
    services: dict[str, Any], instructions: list[tuple[str, str]]
) -> None:
    bases = [argument.split() for name, argument in instructions if name == "FROM"]
    stages = {words[2] for words in bases}
    images = {words[0] for words in bases} - stages
    images |= {service["image"] for service in services.values() if "image" in service}
    assert images
    for image in images:
        assert re.search(r":\d+\.\d+\.\d+[^@]*@sha256:[0-9a-f]{64}$", image), image
    assert {service["build"]["target"] for service in services.values()} <= stages


def test_every_package_is_installed_by_its_hash(instructions: list[tuple[str, str]]) -> None:
    commands = " && ".join(argument for name, argument in instructions if name == "RUN")
    installs = re.findall(r"pip install ([^&]*)", commands)
    assert len(installs) == 4
    for options in installs:
        assert "--require-hashes -r requirements/" in options or "--no-deps ." in options
        assert "--only-binary :all:" in options or "--no-build-isolation" in options


def test_every_file_copied_is_there_and_reaches_the_build(
    instructions: list[tuple[str, str]],
) -> None:
    paths = copied(instructions)
    assert "src" in paths
    for path in paths:
        assert (ROOT / path).exists(), path
        assert reaches_the_build(path), path
    start_command = next(argument for name, argument in instructions if name == "CMD")
    assert "scripts/start-jupyter.sh" in paths
    assert "/opt/source/scripts/start-jupyter.sh" in start_command


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "demo/images/a.jpg",
        "featuremill-cloud.json",
        "infra/terraform/terraform.tfstate",
        "requirements/dev.lock",
        "src/featuremill/__pycache__/cli.pyc",
    ],
)
def test_nothing_else_reaches_the_build(path: str) -> None:
    assert not reaches_the_build(path)


def test_the_health_of_jupyterlab_is_checked_where_it_listens(
    instructions: list[tuple[str, str]],
) -> None:
    checks = [argument for name, argument in instructions if name == "HEALTHCHECK"]
    assert "127.0.0.1:8888/api" in checks[0]
    assert checks[1:] == ["NONE"]


# ------------------------------------------------------------------------------- compose


def test_every_variable_is_explained_in_the_example() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    used = {*re.findall(r"\$\{(\w+)", compose), *re.findall(r"^ +- ([A-Z_]+)$", compose, re.M)}
    example = (ROOT / ".env.example").read_text()
    assert used == set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert "JUPYTER_TOKEN" in used


def test_a_written_env_file_is_no_part_of_the_checkout() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" in ignored
    assert ".env.example" not in ignored


def test_docker_reads_the_compose_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed")
    compose = [docker, "compose"]
    if subprocess.run([*compose, "version"], capture_output=True).returncode:
        pytest.skip("docker is here, its plugin compose is not")
    config = [*compose, "--file", ROOT / "compose.yaml", "--profile", "deploy", "config", "--quiet"]
    for token, code in ((LONG_ENOUGH, 0), ("", 1)):
        environment = {**os.environ, "JUPYTER_TOKEN": token}
        ran = subprocess.run(config, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert (ran.returncode != 0) == bool(code), ran.stderr
