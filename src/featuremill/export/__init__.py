"""What a run left, in the forms that other tools read.

Each form is a module of :mod:`featuremill.export.forms`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featuremill._utils.extras import require
from featuremill._utils.progress import Progress
from featuremill.errors import ConfigError
from featuremill.export.forms import form_named


@dataclass(frozen=True)
class Exported:
    """The files that an export has written.

    Attributes
    ----------
    url : str
        The file or the folder.
    files : mapping of str to int
        Name of each file → bytes.
    facts : mapping of str to str
        What there is to say of it, for people.
    """

    url: str
    files: Mapping[str, int]
    facts: Mapping[str, str]


def export(
    destination: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    to: str,
    overwrite: bool = False,
    weights: str | os.PathLike[str] | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write what a destination holds in the form that another tool reads.

    Rows are streamed: memory does not grow with their number.

    Parameters
    ----------
    destination : str or path
        Destination of an earlier run.
    output : str or path
        File (``onnx``, ``pandas``) or folder (the others), local or on S3.
    to : str
        One of :data:`~featuremill.export.forms.FORMS`.
    overwrite : bool
        Replace files of the same names.
    weights : str or path, optional
        For ``onnx``: the Keras file of the run, if it is not where that run had it.
    endpoint_url, region : str, optional
        Endpoint and region of S3, at either end.
    progress : Progress, optional
        Is told how far the export is.

    Raises
    ------
    InputError
        If something was refused before anything was written: the form is unknown, a file is there
        already, the destination lacks features or the PCA that the form needs, or the weights are
        not those of the run.
    RunError
        If the ONNX model is not what the library computes, or writing failed. Nothing is left of
        such an export.
    """
    form = form_named(to)
    if weights is not None and to != "onnx":
        raise ConfigError(
            f"--weights is {os.fspath(weights)}, but --to {to} needs none",
            "Leave it out, or choose --to onnx.",
        )
    if to == "onnx":
        require("onnxruntime", "--to onnx, which tries the model,")
    from featuremill.export.output import open_output
    from featuremill.export.results import open_results
    from featuremill.storage import open_store

    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    target = open_output(output, is_file=form.IS_FILE, endpoint_url=endpoint_url, region=region)
    target.check(store, form.NAMES, overwrite=overwrite)
    results = open_results(
        store,
        None if weights is None else Path(weights),
        endpoint_url=endpoint_url,
        region=region,
    )
    with target.cleared_on_failure():
        facts = form.write(results, target, progress or Progress())
    target.remove_leftovers(form.NAMES)
    return Exported(target.url, target.sizes(), facts)
