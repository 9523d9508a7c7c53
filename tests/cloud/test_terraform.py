"""Terraform: what it makes of the module's variables, a stack made of that, and the example.

The provider is not here, so nothing is planned against AWS. Without it Terraform still evaluates
every variable and local, which is most of the module, and it runs the example whole.
"""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.aws.regions import DEFAULT_REGION, EU_REGIONS
from featuremill.cloud.stack import budget, project_file
from featuremill.cloud.stack.parameters import DEFAULT_STACK, template_body
from featuremill.cloud.stack.project_file import Place
from tests.cloud.offline import load
from tests.cloud.stack import featuremill
from tests.cloud.terraform import (
    CLUSTER,
    MODULE,
    Body,
    Evaluate,
    Terraform,
    evaluate,
    inputs,
    named,
    parsed,
    resource,
    terraform,
)

__all__ = ["evaluate", "inputs", "terraform"]

EXAMPLE = MODULE / "examples" / "cli"
# what has no parameter of the same name: CloudFormation is told otherwise
OWN = {"stack", "region", "template"}


def snake(name: str) -> str:
    """A name of the template's as Terraform writes names."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_the_files_are_formatted_as_terraform_does(terraform: Terraform) -> None:
    done = terraform(MODULE, "fmt", "-check", "-diff", "-recursive")
    assert (done.returncode, done.stdout) == (0, "")


@cache
def parameters() -> dict[str, Body]:
    """Parameters of the template, under the names of the variables."""
    declared = load(template_body())["Parameters"]
    return {snake(name): parameter for name, parameter in declared.items()}


@pytest.mark.slow
def test_each_parameter_of_the_template_is_a_variable_and_says_what_it_is() -> None:
    variables = set(named("variable"))
    others = {name for name in variables if name.startswith("cluster") or name in OWN}
    assert variables - others == set(parameters())
    for name, variable in named("variable").items():
        assert len(variable["description"]) > 10, name
        assert variable["type"], name


def test_defaults_are_those_of_the_template_and_of_the_commands(evaluate: Evaluate) -> None:
    values = evaluate(
        {}, parameters="${local.parameters}", stack="${var.stack}", at="${var.region}"
    )
    declared = load(template_body())["Parameters"]
    assert values["parameters"] == {name: str(declared[name]["Default"]) for name in declared}
    assert (values["stack"], values["at"]) == (DEFAULT_STACK, DEFAULT_REGION)


SAMPLES: dict[str, list[Any]] = {
    "architecture": ["x86_64", "arm64", "ARM64", ""],
    "release_label": ["emr-spark-8.1.0", "emr-7.14.0", "emr-99", "xemr-7.14.0", "emr-7.14.0x"],
    "maximum_vcpu": [1, 2, 4000, 4001],
    "idle_minutes": [0, 1, 10080, 10081],
    "bucket_name": ["", "pictures", "ab", "a-b", "Pictures", "-ab", "a_b", "a" * 63, "a" * 64],
    "log_days": [7, 365, 8],
    "kms_key_arn": ["", "arn:aws:kms:eu-west-1:123456789012:key/0a-1B", "alias/mine"],
    "monthly_budget": [1, 1_000_000, 0, 0.5],
    "alert_email": ["", "me@example.org", "me@example", "me", "a b@c.d"],
    "jupyter_cidr": ["", "198.51.100.7/32", "10.0.0.0/8", "10.0.0.0/7", "0.0.0.0/0", "::/0", "a"],
    "operator_user": ["", "ada", "a" * 65, "arn:aws:iam::123456789012:user/ada"],
    "operator_role": ["", "analysts", "a b"],
    "operator_group": ["", "analysts", "a/b"],
}


def accepts(parameter: Mapping[str, Any], value: Any) -> bool:
    """Whether CloudFormation would take a value for a parameter of the template."""
    if "AllowedValues" in parameter and value not in parameter["AllowedValues"]:
        return False
    if not re.fullmatch(parameter.get("AllowedPattern", ".*"), str(value)):
        return False
    if parameter["Type"] != "Number":
        return True
    return bool(parameter.get("MinValue", value) <= value <= parameter.get("MaxValue", value))


def as_test(name: str, number: int, value: Any) -> str:
    """A run of `terraform test` that passes if the variable is taken just where CloudFormation
    would take the parameter."""
    refusal = "" if accepts(parameters()[name], value) else f"expect_failures = [var.{name}]"
    return (
        f'run "{name}_{number}" {{\n  command = plan\n  {refusal}\n'
        f"  variables {{\n    {name} = {json.dumps(value)}\n  }}\n}}\n"
    )


@pytest.mark.slow
def test_a_variable_takes_what_the_template_takes(terraform: Terraform, inputs: Path) -> None:
    runs = [
        as_test(name, number, value)
        for name, values in SAMPLES.items()
        for number, value in enumerate(values)
    ]
    (inputs / "samples.tftest.hcl").write_text("".join(runs))
    done = terraform(inputs, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(runs)} passed, 0 failed" in done.stdout


def test_all_that_has_bounds_is_tried_on_both_sides() -> None:
    bounds = {"AllowedValues", "AllowedPattern", "MinValue", "MaxValue"}
    bounded = {name for name, each in parameters().items() if bounds & set(each)}
    # yes and no are a type of their own here, and regions are a list
    other = {
        name for name, each in named("variable").items() if re.search("bool|list", each["type"])
    }
    assert bounded - other == set(SAMPLES)
    for name, values in SAMPLES.items():
        assert {accepts(parameters()[name], value) for value in values} == {True, False}


@pytest.mark.parametrize("region", EU_REGIONS)
def test_regions_of_the_eu_get_the_template_that_the_command_sends(
    evaluate: Evaluate, region: str
) -> None:
    values = evaluate(
        {"region": region}, regions="${local.eu_regions}", body="${local.template_body}"
    )
    assert values == {"regions": list(EU_REGIONS), "body": template_body()}


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-2", "eu-central-2"])
def test_other_regions_are_refused_unless_they_are_named(evaluate: Evaluate, region: str) -> None:
    with pytest.raises(ValueError, match="region must be in the EU"):
        evaluate({"region": region, "allowed_regions": ["ca-west-1"]})
    allowed = {"region": region, "allowed_regions": ["ca-west-1", region]}
    passed = evaluate(allowed, parameters="${local.parameters}")["parameters"]
    assert passed["AllowedRegions"] == f"ca-west-1,{region}"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"stack": "9lives"}, "stack must be up to 40"),
        ({"create_operator": True, "operator_user": "ada"}, "operator_user must be empty"),
        ({"cluster": True}, "featuremill cloud package"),
        ({**CLUSTER, "architecture": "arm64"}, "must be the address of an archive for arm64"),
        ({"cluster_size": "large"}, "cluster_size must be one of"),
        ({"cluster_min_nodes": 0}, "cluster_min_nodes must be at least 1"),
        ({"cluster_min_nodes": 5}, "cluster_max_nodes must be at least cluster_min_nodes"),
        ({"cluster_idle_hours": 0.016}, "cluster_idle_hours must be from"),
        ({"cluster_idle_hours": 168.1}, "cluster_idle_hours must be from"),
    ],
)
def test_what_contradicts_itself_is_refused(evaluate: Evaluate, wrong: Body, why: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid value for variable.*{why}"):
        evaluate(wrong)


# ------------------------------------------------------------------------------- the stack


@pytest.mark.slow
def test_the_stack_is_one_that_the_commands_work_with(
    evaluate: Evaluate, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as the provider does
    stack = resource("aws_cloudformation_stack")
    asked = evaluate(
        {"alert_email": "me@example.org", "monthly_budget": 25},
        name=stack["name"],
        body=stack["template_body"],
        parameters=stack["parameters"],
        tags=named("provider")["aws"]["default_tags"][0]["tags"],
    )
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=asked["name"],
        TemplateBody=asked["body"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in asked["parameters"].items()
        ],
        Tags=[{"Key": key, "Value": value} for key, value in asked["tags"].items()],
        Capabilities=stack["capabilities"],
    )
    made = cloudformation.describe_stacks(StackName=asked["name"])["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}

    told = evaluate({}, outputs, place=named("output")["place"]["value"])["place"]
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / project_file.FILE).write_text(told)
    assert project_file.load(folder) == Place("featuremill", "eu-west-1", "123456789012", outputs)

    monkeypatch.chdir(folder)
    (folder / "photos").mkdir()
    (folder / "photos" / "1.jpg").write_bytes(b"1")
    there = ("--endpoint-url", str(aws.endpoint_url))
    uploaded = featuremill("cloud", "upload", "photos", *there)
    assert uploaded.exit_code == 0, uploaded.output

    # `terraform destroy` deletes the stack, and leaves the bucket to the command
    cloudformation.delete_stack(StackName=asked["name"])
    gone = featuremill("cloud", "destroy", "--yes", *there)
    assert gone.exit_code == 0, gone.output
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_the_outputs_are_those_of_the_stack(evaluate: Evaluate) -> None:
    declared = load(template_body())["Outputs"]
    outputs = {name: f"value of {name}" for name in declared}
    outputs["JobRoleArn"] = "arn:aws:iam::123456789012:role/featuremill-job"
    shown = {
        name: output["value"]
        for name, output in named("output").items()
        if "aws_emr_cluster" not in output["value"]
    }
    values = evaluate({}, outputs, **shown)
    del values["place"]
    assert {"bucket", "application_id", "job_role_arn", "studio_url"} <= set(values)
    assert values.items() <= {snake(name): value for name, value in outputs.items()}.items()
    del outputs["StudioUrl"]
    assert evaluate({}, outputs, url=shown["studio_url"]) == {"url": None}


def test_the_budget_is_the_one_that_the_command_makes(evaluate: Evaluate) -> None:
    body = resource("aws_budgets_budget")
    [cost_types], [notification] = body["cost_types"], body["dynamic"]
    asked = {
        "name": body["name"],
        "limit": body["limit_amount"],
        "alerts": notification["notification"]["for_each"],
    }
    assert evaluate({"monthly_budget": 25, "alert_email": "me@example.org"}, **asked) == {
        "name": budget.budget_name("featuremill", "eu-west-1"),
        "limit": "25",
        "alerts": list(budget.ALERTS),
    }
    assert evaluate({}, **asked)["alerts"] == []
    kind = (body["budget_type"], body["time_unit"], body["limit_unit"])
    assert kind == ("COST", "MONTHLY", "USD")
    assert (cost_types["include_credit"], cost_types["include_refund"]) == (False, False)


# ----------------------------------------------------------------------- the example, and texts


@pytest.mark.slow
def test_the_example_deploys_uploads_and_destroys_through_the_command(
    terraform: Terraform, aws: Aws, tmp_path: Path
) -> None:
    folder = tmp_path / "cli"
    shutil.copytree(EXAMPLE, folder)
    (folder / "photos").mkdir()
    (folder / "photos" / "1.jpg").write_bytes(b"1")
    program = Path(sys.executable).with_name("featuremill")
    given = {"featuremill": str(program), "images": "photos", "stack": "example", "budget": 25}
    (folder / "terraform.tfvars.json").write_text(json.dumps(given))
    there = {"AWS_ENDPOINT_URL": str(aws.endpoint_url)}

    def run(*arguments: str) -> str:
        done = terraform(folder, *arguments, **there)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("init")
    assert not (folder / ".terraform" / "providers").exists()
    # a job would need the archive, and something that runs it
    run("apply", "-auto-approve", "-target=terraform_data.uploaded")
    known = project_file.load(folder)
    described = aws.client("budgets").describe_budget(
        AccountId=known.account, BudgetName="example-eu-west-1-monthly"
    )
    assert described["Budget"]["BudgetLimit"]["Amount"] == "25"
    found = aws.client("s3").list_objects_v2(Bucket=known.output("Bucket"))
    assert [each["Key"] for each in found["Contents"]] == ["input/1.jpg"]

    # other options deploy again; the stack, and with it the data, stays
    planned = run("plan", "-target=terraform_data.deployed", "-var", "budget=30")
    assert "terraform_data.deployed must be replaced" in planned
    assert "terraform_data.stack" not in planned.partition("will perform")[2]

    run("destroy", "-auto-approve")
    assert not (folder / project_file.FILE).exists()
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []


def test_the_example_needs_no_provider_and_each_of_its_commands_is_one() -> None:
    content = parsed((EXAMPLE / "main.tf").read_text())
    assert {type_ for block in content["resource"] for type_ in block} == {"terraform_data"}
    assert "required_providers" not in content["terraform"][0]
    for words in re.findall(r'FEATUREMILL\\" (cloud \w+)', (EXAMPLE / "main.tf").read_text()):
        assert featuremill(*words.split(), "--help").exit_code == 0


def test_the_readme_names_variables_outputs_and_files_that_are_there() -> None:
    text = (MODULE / "README.md").read_text()
    example = (EXAMPLE / "variables.tf").read_text()
    variables = {*named("variable"), *re.findall(r'^variable "(\w+)"', example, re.MULTILINE)}
    assert set(re.findall(r"-var (\w+)=", text)) <= variables
    assert set(re.findall(r"^(\w+) += ", text, re.MULTILINE)) <= set(named("variable"))
    assert set(re.findall(r"terraform output -raw (\w+)", text)) <= set(named("output"))
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (MODULE / link).exists(), link
