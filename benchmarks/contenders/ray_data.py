"""Ray Data: a pool of actors, one for each core, that embed; Ray writes Parquet."""

import pyarrow as pa
import ray

from benchmarks.contenders.embedding import ROWS_PER_CALL, Embedder, Job, label_of, read_job

ROWS_PER_BLOCK = 8 * ROWS_PER_CALL
WRITING = 0.1  # of a core: with whole cores taken by the actors, no write could ever start


class Embed:
    """An actor that holds a compiled network."""

    def __init__(self, job: Job) -> None:
        self._embedder = Embedder(job)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Add label and features to a table of paths."""
        paths = batch["path"].to_pylist()
        features = self._embedder.embed(paths)
        rows = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
        labels = pa.array(map(label_of, paths), pa.string())
        return batch.append_column("label", labels).append_column("features", rows)


def main() -> None:
    """Embed a folder."""
    job = read_job(__doc__)
    paths = job.paths()
    ray.init(num_cpus=job.cores, include_dashboard=False, logging_level="warning")
    blocks = max(4 * job.cores, len(paths) // ROWS_PER_BLOCK)
    rows = ray.data.from_arrow(pa.table({"path": paths}), override_num_blocks=blocks)
    rows.map_batches(
        Embed,
        fn_constructor_args=(job,),
        batch_size=ROWS_PER_CALL,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=job.cores),
        num_cpus=1 - WRITING,
    ).write_parquet(str(job.dest), ray_remote_args={"num_cpus": WRITING})
    ray.shutdown()
    job.report(len(paths), "ray")


if __name__ == "__main__":
    main()
