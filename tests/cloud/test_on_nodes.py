"""A job on EMR on EC2: its bootstrap action, settings and step really run, on the Spark it has.

One submission is gone through once, as in `test_end_to_end.py`; the node is `tests.cloud.cluster`.
"""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.stack import project_file as places
from tests import outputs
from tests.cloud import recorder
from tests.cloud.account import may, said
from tests.cloud.cluster import Machine, spark_home
from tests.cloud.moto_server import serving
from tests.cloud.policies import Need, Statement, allows, needs
from tests.cloud.test_end_to_end import ADA, ADMINISTRATOR, HERE, below, cosines

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark35,
    pytest.mark.skipif(sys.platform != "linux", reason="the archive is for Linux"),
]

NODE = "node"
"""Who signs what a node asks."""
IMAGES = 40
RUN = ("--model", "embedded", "--no-reduce", "--precision", "fp32")


@dataclass(frozen=True)
class Story:
    """What was seen.

    Parameters
    ----------
    folder : Path
        With ``photos``, ``results`` and ``local``.
    bucket : str
        Of the stack.
    asked : mapping
        Parameters of ``RunJobFlow``, as they came over the wire.
    log : str
        What the driver said.
    statements : sequence
        What the policies of nodes say.
    needed : sequence of Need
        What the node's calls need to be allowed.
    """

    folder: Path
    bucket: str
    asked: Mapping[str, Any]
    log: str
    statements: list[Statement]
    needed: list[Need]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, packages_kept: Path) -> Story:
    if not re.search(r"= ['\"]3\.5\.", (spark_home() / "version.py").read_text()):
        pytest.skip("EMR on EC2 has Spark 3.5: `make test-spark35` runs this")
    folder, log = tmp_path_factory.mktemp("story"), tmp_path_factory.mktemp("calls") / "calls"
    with serving(log) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FEATUREMILL_CACHE", str(packages_kept))
        return _go_through(folder, endpoint, log)


def _go_through(folder: Path, endpoint: str, log: Path) -> Story:
    def cloud(who: str, *words: str) -> None:
        said(who, "cloud", *words, "--endpoint-url", endpoint)

    said(ADA, "synth", "photos", "--classes", "4", "--per-class", str(IMAGES // 4))
    cloud(ADMINISTRATOR, "deploy", "--yes", "--architecture", HERE)
    cloud(ADA, "upload", "photos")
    cloud(ADA, "package", "--model", "embedded")
    cloud(ADA, "submit", "--cluster", *RUN)
    [asked] = (each.parameters for each in recorder.read(log) if each.operation == "RunJobFlow")
    machine = Machine(folder / "machine", endpoint, NODE)
    driver = machine.run_step(asked)
    assert driver.returncode == 0, driver.stdout
    # nearly a gigabyte
    shutil.rmtree(machine.folder)
    cloud(ADA, "fetch")

    stack, iam = places.load(folder), Aws("eu-west-1", endpoint_url=endpoint).client("iam")
    profile = iam.get_instance_profile(InstanceProfileName=asked["JobFlowRole"])
    [role] = profile["InstanceProfile"]["Roles"]
    needed = [
        need
        for each in recorder.read(log)
        if each.who == NODE
        for need in needs(each.service, each.operation, each.parameters, stack.outputs)
    ]
    statements = may(iam, "role", role["RoleName"])
    return Story(folder, stack.output("Bucket"), asked, driver.stdout, statements, needed)


def test_the_step_runs_from_what_the_bootstrap_action_installed(story: Story) -> None:
    assert story.asked["ReleaseLabel"] == "emr-7.14.0", "which has Spark 3.5"
    assert f"{IMAGES} embedded" in story.log
    [file] = (story.folder / "results" / "main" / "runs").glob("*.json")
    ledger = json.loads(file.read_text())["ledger"]
    assert ledger.pop("listed") == IMAGES == sum(ledger.values())


def test_features_equal_those_of_a_run_here(story: Story, spark: "SparkSession") -> None:
    photos, local = story.folder / "photos", story.folder / "local"
    said(ADA, "run", str(photos), str(local), *RUN)
    there = below(outputs.features(story.folder / "results" / "main"), f"s3://{story.bucket}/input")
    here = below(outputs.features(local), str(photos))
    assert [*there["path"]] == [*here["path"]]
    assert len(there) == IMAGES
    assert cosines(there["features"], here["features"]).min() >= 0.999999


def test_the_role_of_nodes_allows_every_call_of_the_node(story: Story) -> None:
    assert {need.action for need in story.needed} == {
        *("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    }
    assert [need for need in story.needed if not allows(story.statements, need)] == []
