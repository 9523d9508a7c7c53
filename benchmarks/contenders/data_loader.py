"""A plain PyTorch DataLoader loop: workers embed, the main process writes Parquet."""

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.contenders.embedding import ROWS_PER_CALL, Embedder, Job, label_of, read_job

Batch = tuple[list[str], torch.Tensor]


class Pictures(Dataset[Batch]):
    """Features of pictures by their numbers; each worker compiles the network once."""

    def __init__(self, job: Job, paths: list[str]) -> None:
        self._job, self._paths = job, paths
        self._embedder: Embedder | None = None

    def __len__(self) -> int:
        return len(self._paths)

    def __getitems__(self, numbers: list[int]) -> Batch:
        if self._embedder is None:
            self._embedder = Embedder(self._job)
        paths = [self._paths[number] for number in numbers]
        return paths, torch.from_numpy(self._embedder.embed(paths))


def main() -> None:
    """Embed a folder."""
    job = read_job(__doc__)
    paths = job.paths()
    loader = DataLoader(
        Pictures(job, paths),
        batch_size=ROWS_PER_CALL,
        num_workers=job.cores,
        collate_fn=lambda batch: batch,
    )
    writer = None
    for batch_paths, features in loader:
        table = _table(batch_paths, features)
        writer = writer or pq.ParquetWriter(job.dest / "features.parquet", table.schema)
        writer.write_table(table)
    if writer:
        writer.close()
    job.report(len(paths), "torch")


def _table(paths: list[str], features: torch.Tensor) -> pa.Table:
    flat = pa.array(features.numpy().ravel())
    rows = pa.FixedSizeListArray.from_arrays(flat, features.shape[1])
    return pa.table({"path": paths, "label": list(map(label_of, paths)), "features": rows})


if __name__ == "__main__":
    main()
