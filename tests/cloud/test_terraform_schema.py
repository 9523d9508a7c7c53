"""Terraform: each block against what the provider accepts, without the provider.

`terraform validate` would need it. `schema.json` holds what its published bindings say of the
blocks that are used here.
"""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cloud.terraform import MODULE, Body, module, named, of_provider, parsed

SCHEMA: dict[str, Any] = json.loads((MODULE / "schema.json").read_text())

META = {"count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection"}


def problems(body: Body, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """What the provider would refuse in a block."""
    arguments, blocks = schema["arguments"], schema.get("blocks", {})
    found = {name: value for name, value in body.items() if name not in ("__is_block__", "dynamic")}
    for each in body.get("dynamic", ()):
        for name, block in each.items():
            # it may come any number of times, or not at all
            found[name] = [*found.get(name, ()), *block["content"]]
    for name, value in found.items():
        if name in blocks:
            yield from _nested(value, blocks[name], f"{where}.{name}")
        elif name not in arguments and name not in META:
            yield f"{where} has no {name}"
        elif name in arguments and not _fits(value, arguments[name]):
            yield f"{where}.{name} is {value!r}, not {arguments[name]}"
    needed = {name for name, type_ in arguments.items() if type_.endswith("required")}
    needed |= {name for name, block in blocks.items() if block.get("required")}
    yield from (f"{where} lacks {name}" for name in sorted(needed - set(found)))


def _nested(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} is a block, not {value!r}"
        return
    if len(value) > 1 and not schema["many"]:
        yield f"{where} may come once"
    for each in value:
        yield from problems(each, schema, where)


def _fits(value: Any, type_: str) -> bool:
    """Whether a value can have a type; an expression's own is not known."""
    if isinstance(value, str):
        return "${" in value or type_.startswith("string")
    kinds: dict[str, Any] = {"list": list, "map": dict, "bool": bool, "number": (int, float)}
    kind = next((kinds[name] for name in kinds if type_.startswith(name)), object)
    return isinstance(value, kind)


def refused(text: str) -> list[str]:
    """What the provider would refuse in a piece of configuration."""
    found = of_provider(parsed(text))
    return [
        each
        for kind, name, body in found
        for each in problems(body, SCHEMA["blocks"][kind], f"{kind} {name}".strip())
    ]


def test_the_schema_was_taken_for_every_block_that_is_used() -> None:
    used = {kind for kind, _, _ in of_provider(module())}
    assert used == set(SCHEMA["blocks"]), "run infra/terraform/schema_excerpt.py"
    assert SCHEMA["package"] == "cdktf-cdktf-provider-aws 21.22.1"
    assert len(SCHEMA["sha256"]) == 64


def test_the_versions_asked_for_include_the_one_that_was_checked() -> None:
    [block] = module()["terraform"]
    [providers] = block["required_providers"]
    checked = SCHEMA["provider"].removeprefix("hashicorp/aws ").rpartition(".")[0]
    assert providers["aws"] == {"source": "hashicorp/aws", "version": f">= {checked}, < 7.0"}


def test_the_provider_accepts_every_block() -> None:
    for file in sorted(MODULE.glob("*.tf")):
        assert refused(file.read_text()) == [], file.name


def test_what_the_provider_does_not_accept_would_be_found() -> None:
    wrong = """
    resource "aws_cloudformation_stack" "wrong" {
      template         = "a"
      capabilities     = "CAPABILITY_NAMED_IAM"
      timeouts         = 3
    }
    resource "aws_emr_managed_scaling_policy" "wrong" {
      cluster_id = aws_emr_cluster.notebooks[0].id
      compute_limits {
        unit_type              = "InstanceFleetUnits"
        maximum_capacity_units = 4
      }
      compute_limits {
        unit_type              = "InstanceFleetUnits"
        minimum_capacity_units = var.nodes
        maximum_capacity_units = "${var.nodes}"
      }
    }
    """
    where, limits = "resource aws_cloudformation_stack wrong", "compute_limits"
    scaling = "resource aws_emr_managed_scaling_policy wrong"
    assert refused(wrong) == [
        f"{where} has no template",
        f"{where}.capabilities is 'CAPABILITY_NAMED_IAM', not list(string)",
        f"{where}.timeouts is a block, not 3",
        f"{where} lacks name",
        f"{scaling}.{limits} lacks minimum_capacity_units",
    ]


def test_the_excerpt_is_read_from_bindings_as_they_are_written(tmp_path: Path) -> None:
    wheel = tmp_path / "bindings.whl"
    binding = '''
class SsmParameter(_cdktf.TerraformResource):
    def __init__(self, scope, id_, *, name: builtins.str,
                 from_: typing.Optional[jsii.Number] = None,
                 tags: typing.Optional[typing.Mapping[builtins.str, builtins.str]] = None,
                 rule: typing.Union[_cdktf.IResolvable, typing.Sequence["SsmParameterRule"]],
                 count: typing.Optional[jsii.Number] = None) -> None:
        """A parameter.

        :param name: Its name. Docs {@link https://x/ssm_parameter#name SsmParameter#name}
        :param from_: Docs {@link https://x/ssm_parameter#from SsmParameter#from}
        """
    @builtins.property
    def version(self) -> jsii.Number: ...
    @builtins.property
    def name_input(self) -> builtins.str: ...
class SsmParameterRule:
    def __init__(self, *, on: typing.Union[builtins.bool, _cdktf.IResolvable]) -> None:
        """A rule."""
'''
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("cdktf_cdktf_provider_aws/ssm_parameter/__init__.py", binding)
        metadata = "Version: 1.2.3\n\n# Bindings for hashicorp/aws provider version 6.7.8\n"
        packed.writestr("cdktf_cdktf_provider_aws-1.2.3.dist-info/METADATA", metadata)
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "main.tf").write_text('resource "aws_ssm_parameter" "x" {\n}\n')
    script = shutil.copy(MODULE / "schema_excerpt.py", folder)
    subprocess.run([sys.executable, script, wheel], check=True)
    taken = json.loads((folder / "schema.json").read_text())
    assert (taken["package"], taken["provider"]) == (
        "cdktf-cdktf-provider-aws 1.2.3",
        "hashicorp/aws 6.7.8",
    )
    assert taken["blocks"]["resource aws_ssm_parameter"] == {
        "arguments": {"name": "string, required", "from": "number", "tags": "map(string)"},
        "blocks": {"rule": {"many": True, "required": True, "arguments": {"on": "bool, required"}}},
        "exports": ["version"],
    }


def test_every_name_that_is_referred_to_is_there() -> None:
    files = [re.sub(r"#.*", "", file.read_text()) for file in sorted(MODULE.glob("*.tf"))]
    text = "\n".join(files)
    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(named("variable"))
    locals_ = {name for block in module()["locals"] for name in block} - {"__is_block__"}
    assert set(re.findall(r"\blocal\.(\w+)", text)) == locals_
    kinds = {f"{kind} {name}": kind for kind, name, _ in of_provider(module())}
    pattern = r"\b(ephemeral\.)?(aws_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?"
    for ephemeral, type_, name, exported in re.findall(pattern, text):
        kind = f"{'ephemeral' if ephemeral else 'resource'} {type_}"
        assert f"{kind} {name}" in kinds
        schema = SCHEMA["blocks"][kind]
        assert not exported or exported in {*schema["arguments"], *schema["exports"]}
