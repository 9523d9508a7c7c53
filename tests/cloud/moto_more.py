"""What moto does not know, added to it: small models that delegate to its own back ends."""

import os

import yaml
from moto.cloudformation.utils import yaml_tag_constructor

from tests.cloud import moto_jobs, moto_resources, moto_stacks


def install() -> None:
    """Add everything, before the server starts."""
    moto_jobs.install()
    moto_stacks.install()
    moto_resources.install()
    _hasten()


def _hasten() -> None:
    """Leave out what took half the time of the server: every test empties the account."""
    # no test asks for one of a thousand images of machines, made anew each time
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    # the same parser in C
    yaml.CLoader.add_multi_constructor("", yaml_tag_constructor)
    yaml.Loader = yaml.CLoader
