"""Daft: a class of user-defined functions, one process for each core; Daft writes Parquet."""

import daft
import pyarrow as pa
from daft import DataType, Series, col

from benchmarks.contenders.embedding import ROWS_PER_CALL, Embedder, Job, label_of, read_job
from featuremill._utils import hardware

N_FEATURES = 1280


@daft.cls(max_concurrency=hardware.usable_cores(), use_process=True)
class Embed:
    """A process that holds a compiled network."""

    def __init__(self, job: Job) -> None:
        self._embedder = Embedder(job)

    @daft.method.batch(
        return_dtype=DataType.fixed_size_list(DataType.float32(), N_FEATURES),
        batch_size=ROWS_PER_CALL,
    )
    def features(self, paths: Series) -> pa.FixedSizeListArray:
        """Features of a column of paths."""
        features = self._embedder.embed(paths.to_pylist())
        return pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), N_FEATURES)


def main() -> None:
    """Embed a folder."""
    job = read_job(__doc__)
    paths = job.paths()
    frame = daft.from_pydict({"path": paths, "label": [label_of(path) for path in paths]})
    frame = frame.with_column("features", Embed(job).features(col("path")))
    frame.write_parquet(str(job.dest))
    job.report(len(paths), "daft")


if __name__ == "__main__":
    main()
