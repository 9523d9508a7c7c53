"""Exports tab-separated files for TensorBoard's Embedding Projector."""

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.csv

from featuremill._utils.progress import Progress
from featuremill.dataset.csv_files import cell
from featuremill.export.output import Output
from featuremill.export.results import Results

TENSORS, METADATA, CONFIG = "tensors.tsv", "metadata.tsv", "projector_config.pbtxt"

IS_FILE = False
NAMES = (TENSORS, METADATA, CONFIG)

_CONFIG = f"""embeddings {{
  tensor_name: "features_pca"
  tensor_path: "{TENSORS}"
  metadata_path: "{METADATA}"
}}
"""
_ESCAPES = {"\t": "%09", "\n": "%0A", "\r": "%0D"}


def write(results: Results, output: Output, progress: Progress) -> Mapping[str, str]:
    """Write the scores, their labels and paths, and the file that ties them together.

    ``tensors.tsv`` has k numbers a line and no header; ``metadata.tsv`` has one. The files can be
    loaded by hand too, in the projector's own page.
    """
    k = results.fitted().n_components_
    schema = pa.schema([(f"pc_{number}", pa.float32()) for number in range(1, k + 1)])
    # each number in as few digits as give it back exactly
    options = pa.csv.WriteOptions(include_header=False, delimiter="\t")
    done, total = 0, results.reduced_rows()
    with (
        output.writer(TENSORS) as tensors,
        output.writer(METADATA) as metadata,
        pa.csv.CSVWriter(tensors, schema, write_options=options) as numbers,
    ):
        metadata.write(b"label\tpath\n")
        for paths, labels, scores in results.scores():
            columns = [pa.array(column) for column in scores.T.copy()]
            numbers.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            for label, path in zip(labels.to_pylist(), paths.to_pylist(), strict=True):
                metadata.write(f"{_escaped(label)}\t{_escaped(path)}\n".encode())
            done += len(scores)
            progress.advance(done, total)
    output.write(CONFIG, _CONFIG.encode())
    return {"rows": f"{done:,} of {k} components"}


def _escaped(text: str) -> str:
    """Text that stays one field of one line, as the tables encode names, and is no formula."""
    return cell(re.sub(r"[\t\n\r]", lambda match: _ESCAPES[match[0]], text))
