"""Terraform: its cluster is the one that `cloud cluster up` starts, argument for argument."""

import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.jobs import certificates
from featuremill.cloud.jobs.fleets import FAMILIES, SIZES, Machines
from featuremill.cloud.notebooks import clusters
from tests.cloud.stack import BUCKET, ENTRY, asked_by, described, flow_of
from tests.cloud.terraform import (
    ARCHIVE,
    CLUSTER,
    MODULE,
    Body,
    Evaluate,
    evaluate,
    inputs,
    named,
    parsed,
    resource,
    terraform,
)

__all__ = ["evaluate", "inputs", "terraform"]

# of Terraform itself, not of the provider
META = {"count", "for_each", "depends_on", "lifecycle"}


def values_of(body: Body) -> Any:
    """A block as a value: dynamic blocks become loops, and what is Terraform's own is left out."""
    plain: Body = {
        name: [values_of(each) if isinstance(each, dict) else each for each in value]
        if isinstance(value, list)
        else value
        for name, value in body.items()
        if name not in {*META, "__is_block__", "dynamic"}
    }
    for each in body.get("dynamic", ()):
        for name, block in each.items():
            [content] = block["content"]
            # the iterator's name is known inside the loop only
            fields = ", ".join(
                f"{key} = {str(value).removeprefix('${').removesuffix('}')}"
                for key, value in values_of(content).items()
            ).replace(f"{name}.value", "each")
            source = block["for_each"].removeprefix("${").removesuffix("}")
            plain[name] = f"${{[for each in {source} : {{ {fields} }}]}}"
    if "cluster_id" in plain:
        plain["cluster_id"] = "j-1"
    return plain


def fleet(kind: str, body: Body) -> Body:
    """An instance fleet as ``run_job_flow`` takes it."""
    names = {
        "on_demand_specification": "OnDemandSpecification",
        "spot_specification": "SpotSpecification",
    }
    [launch] = body["launch_specifications"]
    targets = ("target_on_demand_capacity", "target_spot_capacity")
    return {
        "Name": body["name"],
        "InstanceFleetType": kind,
        "InstanceTypeConfigs": [camel(each) for each in body["instance_type_configs"]],
        "LaunchSpecifications": {names[each]: camel(launch[each][0]) for each in launch},
        **camel({name: body[name] for name in targets if name in body}),
    }


def camel(body: Body) -> Body:
    """Names of arguments as AWS' own."""
    return {name.title().replace("_", ""): value for name, value in body.items()}


def as_job_flow(values: Mapping[str, Any]) -> Body:
    """What the provider would ask EMR for, by its sources, in one call."""
    made, [network] = values["cluster"], values["cluster"]["ec2_attributes"]
    [action], [step] = made["bootstrap_action"], made["step"]
    [jar], [limits] = step["hadoop_jar_step"], values["scaling"]["compute_limits"]
    fleets = [
        fleet("MASTER", made["master_instance_fleet"][0]),
        fleet("CORE", made["core_instance_fleet"][0]),
        *(fleet("TASK", values["task"]) for _ in range(values["tasks"])),
    ]
    ondemand = {"MaximumOnDemandCapacityUnits": limits.pop("maximum_ondemand_capacity_units")}
    return {
        "Name": made["name"],
        "ReleaseLabel": made["release_label"],
        "LogUri": made["log_uri"],
        "ServiceRole": made["service_role"],
        "JobFlowRole": network["instance_profile"],
        "SecurityConfiguration": made["security_configuration"],
        "VisibleToAllUsers": made["visible_to_all_users"],
        "ScaleDownBehavior": made["scale_down_behavior"],
        "ManagedScalingPolicy": {"ComputeLimits": camel(limits) | ondemand},
        "AutoTerminationPolicy": camel(made["auto_termination_policy"][0]),
        "BootstrapActions": [
            {
                "Name": action["name"],
                "ScriptBootstrapAction": {"Path": action["path"], "Args": action["args"]},
            }
        ],
        "Configurations": json.loads(made["configurations_json"]),
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in sorted((values["tags"] | made["tags"]).items())
        ],
        "Applications": [{"Name": name} for name in made["applications"]],
        "Instances": {
            "InstanceFleets": fleets,
            "Ec2SubnetIds": network["subnet_ids"],
            "EmrManagedMasterSecurityGroup": network["emr_managed_master_security_group"],
            "EmrManagedSlaveSecurityGroup": network["emr_managed_slave_security_group"],
            "KeepJobFlowAliveWhenNoSteps": made["keep_job_flow_alive_when_no_steps"],
            "TerminationProtected": made["termination_protection"],
            **({"Ec2KeyName": network["key_name"]} if network.get("key_name") else {}),
        },
        "Steps": [
            {
                "Name": step["name"],
                "ActionOnFailure": step["action_on_failure"],
                "HadoopJarStep": {"Jar": jar["jar"], "Args": jar["args"]},
            }
        ],
    }


@pytest.mark.parametrize(
    ("machines", "studio"),
    [
        pytest.param(Machines("x86_64"), False, id="xlarge"),
        pytest.param(Machines("arm64", "2xlarge", (1, 6), 0.5), True, id="2xlarge"),
        pytest.param(
            Machines("x86_64", "4xlarge", (3, 3), 167.9, key_pair="mine"), False, id="4xlarge"
        ),
    ],
)
def test_a_cluster_is_the_one_that_the_command_starts(
    evaluate: Evaluate, machines: Machines, studio: bool
) -> None:
    archive = ARCHIVE.replace("x86_64", machines.architecture)
    given = {
        "cluster": True,
        "cluster_archive": archive,
        "architecture": machines.architecture,
        "cluster_size": machines.size,
        "cluster_min_nodes": machines.nodes[0],
        "cluster_max_nodes": machines.nodes[1],
        "cluster_idle_hours": machines.idle_hours,
        "cluster_key_pair": machines.key_pair,
        "studio": studio,
    }
    place = described()
    if studio:
        outputs = {
            **place.outputs,
            "StudioUrl": "https://es-1.emrstudio-prod.eu-west-1.amazonaws.com",
        }
        place = replace(place, outputs=outputs)
    values = evaluate(
        given,
        cluster=values_of(resource("aws_emr_cluster")),
        task=values_of(resource("aws_emr_instance_fleet")),
        tasks=resource("aws_emr_instance_fleet")["count"],
        scaling=values_of(resource("aws_emr_managed_scaling_policy")),
        tags=named("provider")["aws"]["default_tags"][0]["tags"],
    )
    flow = flow_of(lambda dry: clusters.up(dry, place, machines, {}))
    # in its place the command looks for the newest archive
    [action] = flow["BootstrapActions"]
    action["ScriptBootstrapAction"]["Args"][:2] = [archive, f"s3://{BUCKET}/{ENTRY}"]
    assert as_job_flow(values) == flow


def test_sizes_and_families_are_the_commands_own(evaluate: Evaluate) -> None:
    values = evaluate({}, sizes="${local.sizes}", families="${local.families}")
    assert {name: size["cores"] for name, size in values["sizes"].items()} == dict(SIZES)
    assert values["families"] == {name: list(each) for name, each in FAMILIES.items()}


def test_nothing_of_a_cluster_is_there_unless_it_is_asked_for(evaluate: Evaluate) -> None:
    blocks = [
        body
        for file in (MODULE / "cluster.tf",)
        for kind in ("resource", "ephemeral")
        for block in parsed(file.read_text()).get(kind, ())
        for each in block.values()
        for body in each.values()
    ]
    for given, expected in (({}, {0}), (CLUSTER, {1, 3})):
        counted = {
            f"block{i}": body.get("count") or f"${{length({body['for_each'][2:-1]})}}"
            for i, body in enumerate(blocks)
        }
        assert set(evaluate(given, **counted).values()) == expected


def test_scripts_lie_where_the_command_puts_them(evaluate: Evaluate) -> None:
    body = resource("aws_s3_object")
    values = evaluate(CLUSTER, keys=body["for_each"], texts="${local.scripts}")
    put = {
        call.parameters["Key"]: call.parameters["Body"]
        for call in asked_by(lambda dry: clusters.up(dry, described(), Machines("x86_64"), {}))
        if call.operation == "put_object"
        # an apply would write over what people made of the notebooks; certificates are made there
        and not call.parameters["Key"].startswith(("notebooks/", "tls/"))
    }
    assert {key: values["texts"][name] for name, key in values["keys"].items()} == put


def test_the_password_reaches_neither_state_nor_plan(evaluate: Evaluate) -> None:
    body = resource("aws_ssm_parameter")
    assert body["type"] == "SecureString"
    assert "value" not in body
    assert body["value_wo"].startswith("${ephemeral.")
    assert evaluate({}, name=body["name"]) == {"name": "/featuremill/featuremill/jupyterhub"}


# a stand-in for the AWS command line: what it stores is in a folder
AWS = """#!/bin/sh
case "$2" in
    list-objects-v2)
        ls "$STORED" | wc -l ;;
    cp)
        for address; do :; done
        echo "$address" >"$STORED/address"
        cp certificates.zip "$STORED" ;;
esac
"""


def test_nodes_get_a_certificate_like_the_commands_once(tmp_path: Path) -> None:
    stored, programs = tmp_path / "stored", tmp_path / "programs"
    stored.mkdir()
    programs.mkdir()
    (programs / "aws").write_text(AWS)
    (programs / "aws").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "STORED": str(stored)}
    command = ["sh", str(MODULE / "certificate.sh"), BUCKET, "eu-west-1"]
    contents = []
    for _ in range(2):
        subprocess.run(command, check=True, env=environment)
        contents.append((stored / "certificates.zip").read_bytes())
    assert contents[0] == contents[1]
    assert (stored / "address").read_text() == f"s3://{BUCKET}/{certificates.KEY}\n"
    (tmp_path / "own.zip").write_bytes(certificates.make("eu-west-1"))
    described = [
        certificate_in(file) for file in (stored / "certificates.zip", tmp_path / "own.zip")
    ]
    assert described[0] == described[1]
    assert "DNS:localhost" in described[0][1]


def certificate_in(file: Path) -> tuple[set[str], str]:
    """Names of the files, and whom the certificate is for."""
    with zipfile.ZipFile(file) as packed:
        names, chain = set(packed.namelist()), packed.read("certificateChain.pem")
        assert chain == packed.read("trustedCertificates.pem")
    command = ["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName"]
    shown = subprocess.run(command, input=chain, check=True, capture_output=True)
    return names, shown.stdout.decode()
