"""Takes what Terraform's AWS provider accepts, for what is used here, from its published bindings.

The provider itself is a program of its own that not every machine can fetch. Its bindings for
Python say the same in types: each block is a class, each argument a keyword of its constructor.
They are read as text from the wheel, without installing or running them::

    pip download --no-deps cdktf-cdktf-provider-aws==21.22.1
    python infra/terraform/schema_excerpt.py cdktf_cdktf_provider_aws-21.22.1-py3-none-any.whl

This writes ``schema.json`` beside this file. Run it again when a block of another type is used.
"""

import ast
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCHEMA = HERE / "schema.json"

_PACKAGE = "cdktf_cdktf_provider_aws"
_TYPES = {
    "builtins.str": "string",
    "jsii.Number": "number",
    "builtins.bool": "bool",
}
# of Terraform itself, or of the generator of the bindings; `endpoints` names every service there is
_LEFT_OUT = {
    *("connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"),
    *("scope", "id_", "endpoints"),
}


def blocks_used(folder: Path) -> list[tuple[str, str]]:
    """Kind and type of each block of the provider in a folder's configuration."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.tf")))
    kinds = "resource|data|ephemeral|provider"
    return sorted(set(re.findall(rf'^({kinds}) "(aws(?:_\w+)?)"', text, re.MULTILINE)))


def excerpt(wheel: Path, used: list[tuple[str, str]]) -> dict[str, Any]:
    """What the provider accepts in these blocks, and where that was taken from."""
    with zipfile.ZipFile(wheel) as packed:
        blocks = {
            " ".join(block): _Module(packed.read(f"{_PACKAGE}/{_module(*block)}/__init__.py")).top()
            for block in used
        }
        [about] = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = packed.read(about).decode()
    version = re.search(r"^Version: (\S+)$", metadata, re.MULTILINE)
    provider = re.search(r"hashicorp/aws provider version (\d+\.\d+\.\d+)", metadata)
    assert version is not None
    assert provider is not None
    return {
        "package": f"cdktf-cdktf-provider-aws {version[1]}",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "provider": f"hashicorp/aws {provider[1]}",
        "blocks": blocks,
    }


def _module(kind: str, name: str) -> str:
    if kind == "provider":
        return "provider"
    plain = name.removeprefix("aws_")
    # there are no bindings of ephemeral resources; the data source of the same name takes the same
    return plain if kind == "resource" else f"data_aws_{plain}"


class _Module:
    """One module of the bindings.

    Parameters
    ----------
    source : bytes
        Its text.
    """

    def __init__(self, source: bytes) -> None:
        tree = ast.parse(source)
        self.classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
        # the first class is the resource itself
        self.first = next(iter(self.classes))

    def top(self) -> dict[str, Any]:
        """The block itself, with what else can be read from it."""
        block = self.block(self.first)
        given = {*block["arguments"], *block.get("blocks", {})}
        return {**block, "exports": sorted(set(self._properties(self.first)) - given)}

    def block(self, name: str) -> dict[str, Any]:
        """Arguments and nested blocks of one class."""
        arguments: dict[str, str] = {}
        blocks: dict[str, Any] = {}
        for keyword, hint, required in self._keywords(name):
            nested = re.search(rf"'({self.first}\w+)'", hint)
            needs = {"required": True} if required else {}
            if nested:
                many = "typing.Sequence" in hint
                blocks[keyword] = {**needs, "many": many, **self.block(nested[1])}
            else:
                arguments[keyword] = _type(hint) + (", required" if required else "")
        return {"arguments": arguments, **({"blocks": blocks} if blocks else {})}

    def _keywords(self, name: str) -> Iterator[tuple[str, str, bool]]:
        constructor = self._method(name, "__init__")
        described = ast.get_docstring(constructor) or ""
        options = constructor.args
        for option, default in zip(options.kwonlyargs, options.kw_defaults, strict=True):
            if option.arg in _LEFT_OUT or option.annotation is None:
                continue
            # Python's name may differ from Terraform's, which the description links to
            linked = re.search(rf":param {option.arg}:[^\n]*#(\w+)", described)
            yield (
                linked[1] if linked else option.arg,
                ast.unparse(option.annotation),
                default is None,
            )

    def _method(self, name: str, method: str) -> ast.FunctionDef:
        found = (each for each in self.classes[name].body if isinstance(each, ast.FunctionDef))
        return next(each for each in found if each.name == method)

    def _properties(self, name: str) -> Iterator[str]:
        for each in self.classes[name].body:
            if isinstance(each, ast.FunctionDef) and not each.name.endswith("_input"):
                decorators = [ast.unparse(decorator) for decorator in each.decorator_list]
                if "builtins.property" in decorators:
                    yield each.name


def _type(hint: str) -> str:
    found = next((name for python, name in _TYPES.items() if python in hint), "any")
    if "typing.Mapping" in hint:
        return f"map({found})"
    return f"list({found})" if "typing.Sequence" in hint else found


def main() -> None:
    """Write the excerpt."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = excerpt(Path(sys.argv[1]), blocks_used(HERE))
    SCHEMA.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
