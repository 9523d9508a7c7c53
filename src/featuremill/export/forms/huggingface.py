"""Exports a data set as the Hugging Face Hub keeps it: Parquet files and a card.

What the library ``datasets`` has to know of the columns stands in the schema of every file, under
the key ``huggingface``, as that library writes it itself.
"""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featuremill import __version__
from featuremill._utils.formatting import tenths
from featuremill._utils.progress import Progress
from featuremill.dataset.reader import Matrix
from featuremill.export.output import Output
from featuremill.export.results import BLOCK, ExportRows, Results, Survey

CARD = "README.md"

IS_FILE = False
NAMES = (CARD, "data/train-*.parquet")

_FILE_BYTES = 500_000_000
"""Bytes of numbers in one file, as on the Hub."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write(results: Results, output: Output, progress: Progress) -> Mapping[str, str]:
    """Write ``data/train-*.parquet`` and ``README.md``.

    Columns: ``path``, ``label`` (a ``ClassLabel``), ``width``, ``height``, ``features`` and, where
    there is a PCA, ``features_pca`` (lists of float32, all of one length).
    """
    survey = results.survey()
    schema = _schema(results, survey)
    classes = pa.array(survey.labels, pa.string())
    numbers = sum(
        field.type.list_size for field in schema if pa.types.is_fixed_size_list(field.type)
    )
    blocks_per_file = max(1, _FILE_BYTES // (4 * numbers * BLOCK))
    n_files = -(-survey.rows // (blocks_per_file * BLOCK))
    blocks, done = results.rows(BLOCK), 0
    for number in range(n_files):
        name = f"data/train-{number:05d}-of-{n_files:05d}.parquet"
        with (
            output.writer(name) as file,
            pq.ParquetWriter(file, schema, compression="none", use_dictionary=False) as writer,
        ):
            for rows in islice(blocks, blocks_per_file):
                writer.write_batch(_batch(rows, classes, schema))
                done += len(rows.path)
                progress.advance(done, survey.rows)
    output.write(CARD, _card(results, survey).encode())
    return {
        "rows": f"{survey.rows:,} in {n_files:,} files",
        "columns": ", ".join(schema.names),
        "classes": f"{len(survey.labels):,}",
    }


def _schema(results: Results, survey: Survey) -> pa.Schema:
    """Columns as Arrow and as ``datasets`` know them."""
    lengths = {"features": results.n_features}
    if results.pca is not None:
        lengths["features_pca"] = results.pca.n_components_
    number = {"dtype": "float32", "_type": "Value"}
    known: dict[str, Any] = {
        "path": {"dtype": "string", "_type": "Value"},
        "label": {"names": list(survey.labels), "_type": "ClassLabel"},
        "width": {"dtype": "int32", "_type": "Value"},
        "height": {"dtype": "int32", "_type": "Value"},
    }
    for name, length in lengths.items():
        known[name] = {"feature": number, "length": length, "_type": "Sequence"}
    types: dict[str, pa.DataType] = {
        "path": pa.string(),
        "label": pa.int64(),
        "width": pa.int32(),
        "height": pa.int32(),
        **{name: pa.list_(pa.float32(), length) for name, length in lengths.items()},
    }
    info = json.dumps({"info": {"features": known}})
    return pa.schema(list(types.items()), metadata={"huggingface": info})


def _batch(rows: ExportRows, classes: pa.Array, schema: pa.Schema) -> pa.RecordBatch:
    label = pc.index_in(rows.label, value_set=classes).cast(pa.int64())
    columns = [rows.path, label, rows.width, rows.height, _lists(rows.features)]
    if rows.scores is not None:
        columns.append(_lists(rows.scores))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _lists(matrix: Matrix) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(np.ascontiguousarray(matrix).ravel(), matrix.shape[1])


def _card(results: Results, survey: Survey) -> str:
    """The card: what tools read of it, then what people do.

    No licence is named: that is for the owner of the images to say.
    """
    size = next((name for bound, name in _SIZES if survey.rows < bound), "n>1M")
    network = results.network
    scores = ""
    if results.pca is not None:
        held = results.pca.description()["variance_held"]
        scores = (
            f"- `features_pca`: the first {results.pca.n_components_} principal components, which"
            f" hold {tenths(held):.1f} % of the variance; of run {results.run}\n"
        )
    untrained = "" if network["trained"] else " **The weights are random: features mean little.**"
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
task_categories:
- image-feature-extraction
size_categories:
- {size}
tags:
- featuremill
---

# Image features

{survey.rows:,} images of {len(survey.labels):,} classes, without the images themselves. Made by
featuremill {__version__}.

- `path`, `label`, `width`, `height`: of the image; the label is the name of its folder
- `features`: {results.n_features} numbers of the network {network["name"]}.{untrained}
  Weights: SHA-256 `{network["weights_sha256"]}`, licence: {network["licence"]}
{scores}
```python
from datasets import load_dataset

images = load_dataset(".", split="train")  # this folder
```
"""
