"""The Terraform module for tests: parsed, and evaluated by Terraform without its provider."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from tests.cloud.conftest import ROOT
from tests.cloud.stack import BUCKET, OUTPUTS

MODULE = ROOT / "infra" / "terraform"
ARCHIVE = f"s3://{BUCKET}/code/featuremill-0.1.0-mobilenetv2-x86_64-0123456789ab.tar.gz"
CLUSTER = {"cluster": True, "cluster_archive": ARCHIVE}

Body = dict[str, Any]
"""Arguments of a block, and its nested blocks by type, as the parser gives them."""

Terraform = Callable[..., subprocess.CompletedProcess[str]]
"""Runs Terraform in a folder."""

Evaluate = Callable[..., dict[str, Any]]
"""Evaluates expressions with the module's variables and locals."""


# ------------------------------------------------------------------------------------ parsed


def parsed(text: str) -> Body:
    """A file of Terraform's language."""
    options = SerializationOptions(with_comments=False, strip_string_quotes=True)
    return dict(hcl2.loads(text, serialization_options=options))


@cache
def module() -> Body:
    """All files of the module, by kind of block."""
    whole: Body = {}
    for file in sorted(MODULE.glob("*.tf")):
        for kind, blocks in parsed(file.read_text()).items():
            whole[kind] = [*whole.get(kind, []), *blocks]
    return whole


def named(kind: str) -> dict[str, Body]:
    """Blocks of one kind with one label: variables, outputs, providers."""
    return {name: body for block in module()[kind] for name, body in block.items()}


def of_provider(content: Body) -> Iterator[tuple[str, str, Body]]:
    """Blocks of the AWS provider: kind and type, name, body."""
    for kind in ("resource", "data", "ephemeral"):
        for block in content.get(kind, ()):
            for type_, each in block.items():
                for name, body in each.items():
                    if type_.startswith("aws_"):
                        yield f"{kind} {type_}", name, body
    for block in content.get("provider", ()):
        yield "provider aws", "", block["aws"]


def resource(type_: str) -> Body:
    """The body of the one resource of a type."""
    [body] = [body for kind, _, body in of_provider(module()) if kind == f"resource {type_}"]
    return body


# --------------------------------------------------------------------------------- evaluated


@pytest.fixture(scope="session")
def terraform() -> Terraform:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not installed: its files are parsed, but not evaluated")

    def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            **more,
            # it would ask whether there is a newer one
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
        }
        command = [program, *arguments, "-no-color"]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with those files of the module that need no provider."""
    folder = tmp_path / "infra" / "terraform"
    folder.mkdir(parents=True)
    (tmp_path / "src").symlink_to(ROOT / "src")
    for name in ("variables.tf", "locals.tf"):
        shutil.copy(MODULE / name, folder)
    (folder / "outputs.tf.json").write_text(json.dumps({"locals": {"outputs": OUTPUTS}}))
    return folder


@pytest.fixture
def evaluate(terraform: Terraform, inputs: Path) -> Evaluate:
    def evaluate(
        variables: Mapping[str, Any], outputs: Mapping[str, str] = OUTPUTS, **wanted: Any
    ) -> dict[str, Any]:
        shown = {"output": {"wanted": {"value": wanted}}, "locals": {"outputs": outputs}}
        (inputs / "outputs.tf.json").write_text(json.dumps(shown))
        (inputs / "terraform.tfvars.json").write_text(json.dumps(dict(variables)))
        done = terraform(inputs, "apply", "-auto-approve")
        if done.returncode:
            raise ValueError(" ".join(done.stderr.split()))
        return dict(json.loads(terraform(inputs, "output", "-json", "wanted").stdout))

    return evaluate
