"""The driver's loop of extraction: what is new becomes chunks, and chunks become commits.

Chunks are committed strictly in order, at most two are under way, and every image is counted
where it ended.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pyarrow as pa

from featuremill._utils.formatting import plural
from featuremill._utils.progress import Progress
from featuremill.dataset import tables
from featuremill.dataset.exclusions import REASON, Forgotten, read_all_forgotten
from featuremill.dataset.known_images import Known, gone_images, known_images
from featuremill.dataset.ledger import RunRecord
from featuremill.dataset.schemas import OK, REJECTED, feature_writer
from featuremill.dataset.tables import DataFile
from featuremill.errors import LedgerError, StorageError, TooManyRejectsError
from featuremill.images.decode import Limits
from featuremill.models.network import Network
from featuremill.storage.listing import Reference, Rejection
from featuremill.workers.protocol import Background, Shared, Workers
from featuremill.workflows.run import parity
from featuremill.workflows.run.chunks import Chunk, Cutter, task_count
from featuremill.workflows.run.decoder_time import Decoding
from featuremill.workflows.run.dispatch import Deaths, EmbeddingWork, embed_chunk
from featuremill.workflows.run.prepare import PreparedRun, write_network
from featuremill.workflows.run.probe import SAMPLE_PER_SLOT, Verdict, examine
from featuremill.workflows.run.task import Receipt, Task, rejected_rows

ToEmbed = tuple[Reference | Rejection, bool]
"""What is to be embedded, and whether it replaces rows of an older version."""

IN_FLIGHT = 2
"""Chunks under way: while the last tasks of one end, those of the next fill the cores."""

_JUDGED_FROM = 1_000
"""A share of rejects is judged early only after so many images."""
_FETCHED_FROM = 10
"""That none of fewer images can be fetched may be chance."""
_POLL_SECONDS = 0.5
_SUBMISSION_SECONDS = 0.02
_CANCEL_SECONDS = 30.0
_KILL_SECONDS = 5.0


class Extraction:
    """One run's way from the listing to the features table."""

    _workers: Workers

    def __init__(self, job: PreparedRun, record: RunRecord, progress: Progress) -> None:
        self._job = job
        self._record = record
        self._ledger = record.ledger
        self._progress = progress
        self._table = tables.features_table(job.destination)
        self._in_flight: deque[tuple[Chunk, Background]] = deque()
        self._deaths = Deaths(job.config.max_worker_deaths)
        self._decoding = Decoding()
        self._started = 0.0
        self._known = Known(())
        self._found: Iterator[ToEmbed] = iter(())
        self._ready: Future[Network] | None = None

    def find_new(self) -> bool:
        """Look for the first image that is not known yet; tells whether there is one.

        Only if there is are workers needed. Meanwhile the network is made ready.
        """
        if self._table.exists():
            self._known = known_images(self._table, self._job.model_id, self._job.listing.selects)
        config = self._job.config
        forgotten = read_all_forgotten(
            self._job.destination, config.pca_from, config.endpoint_url, config.region
        )
        new = self._new(self._known, forgotten)
        first = next(new, None)
        if first is None:
            self._progress.say("nothing new to embed")
            return False
        self._found = itertools.chain([first], new)
        pool = ThreadPoolExecutor(1, "network")
        self._ready = pool.submit(self._job.network.ready_for, self._job.fast_precision)
        pool.shutdown(wait=False)
        return True

    def run(self, workers: Workers) -> None:
        """Embed and commit all that was found new.

        Raises
        ------
        TooManyRejectsError
            As soon as more than the allowed images are rejected.
        LedgerError
            If a chunk comes back with more or fewer images than it had.
        """
        if self._ready is None:
            return
        job, self._workers = self._job, workers
        head = list(itertools.islice(self._found, SAMPLE_PER_SLOT * workers.slots))
        network = workers.broadcast(self._ready.result())
        try:
            work = self._work(network)
            verdict = self._examine(work, [item for item, _ in head])
            task = replace(work.task, every_pixel=verdict.every_pixel)
            work = replace(work, precision=verdict.precision, task=task)
            # not before: a precision that the workers refuse leaves the destination as it was
            write_network(job, replacing=job.replacing)
            self._table.create()
            self._cutter = Cutter(verdict.images_per_second)
            self._embed(work, itertools.chain(head, self._found))
        finally:
            self._cancel()
            # Spark's Java may be gone, which is then the failure under way
            with suppress(Exception):
                network.destroy()

    def count_gone(self) -> int:
        """How many rows' images are gone; the table is read for it only in a rare case."""
        if self._job.listing.complete:
            return self._known.count_unmet()
        return len(self.gone())

    def gone(self) -> list[str]:
        """Paths of the rows whose image this run would have listed and did not.

        Rows of another source, of images that were not selected and of folders that could not be
        read are not among them; nor is any before the whole source was listed without an error.
        """
        listing = self._job.listing
        if not listing.finished or not self._record.not_listed:
            return []
        return gone_images(self._table, self._job.model_id, self._known, listing.would_list)

    def _new(self, known: Known, forgotten: Sequence[Forgotten]) -> Iterator[ToEmbed]:
        """What is not known yet."""
        self._record.not_listed = len(known)
        for item in self._job.listing:
            reference = item.reference if isinstance(item, Rejection) else item
            if any(reference.path in one for one in forgotten):
                self._job.listing.skipped[REASON] += 1
                continue
            found = known.meet(reference.path, reference.version)
            self._record.not_listed -= found is not None
            if found == (Known.DONE, True):
                self._ledger.already_done += 1
            elif found == (Known.REJECTED, True):
                self._ledger.already_rejected += 1
            else:
                yield item, found is not None

    def _work(self, network: Shared[Network]) -> EmbeddingWork:
        job, config = self._job, self._job.config
        limits = Limits(config.max_bytes, config.max_pixels)
        task = Task(
            source=job.source,
            destination=job.destination,
            limits=limits,
            preprocessing=job.network.preprocessing,
            model_id=job.model_id,
            run=job.run,
            every_pixel=job.contract == "fp32",
        )
        return EmbeddingWork(
            task=task,
            network=network,
            precision=job.fast_precision,
            engine=config.engine,
            image_timeout=config.image_timeout,
        )

    def _examine(self, work: EmbeddingWork, head: list[Reference | Rejection]) -> Verdict:
        sample = [item for item in head if isinstance(item, Reference)]
        what = "checking precision" if work.precision != "fp32" else "measuring the speed"
        self._progress.doing(f"{what} on {plural(len(sample), 'image')}")
        with self._record.timed("probe"):
            wanted = self._job.config.precision
            call = partial(examine, self._workers, work, wanted, sample)
            verdict: Verdict = self._workers.background(call).result()
        if verdict.smallest_cosine is not None:
            self._record.parity = {
                "precision": verdict.tried,
                "smallest_cosine": verdict.smallest_cosine,
                "compared": verdict.compared,
            }
            tried = f"compared {verdict.tried} precision with fp32"
            if verdict.tried == "fp32":
                tried = "checked fast JPEG decoding"
            self._progress.say(
                f"{tried} on {verdict.compared} images:"
                f" minimum cosine {verdict.smallest_cosine:.6f}"
            )
        if verdict.warning:
            self._record.warnings.append(verdict.warning)
            self._progress.warn(verdict.warning)
        if self._job.network.location:
            self._compare(work, sample)
        return verdict

    def _compare(self, work: EmbeddingWork, sample: list[Reference]) -> None:
        """Hold the first images against the network's own file, before anything is written."""
        found = parity.compare(self._job.network, work, sample)
        if found is not None:
            self._record.parity = {
                "precision": "fp32",
                **(self._record.parity or found._asdict()),
                "to_the_file": found._asdict(),
            }
            self._progress.say(
                f"compared with ONNX Runtime and Pillow on {found.compared} images:"
                f" minimum cosine {found.smallest_cosine:.6f}"
            )

    def _embed(self, work: EmbeddingWork, new: Iterator[ToEmbed]) -> None:
        self._started = time.perf_counter()
        for chunk in self._cutter.cut(new):
            if len(self._in_flight) == IN_FLIGHT:
                self._commit_oldest()
            group = self._group(chunk)
            call = partial(
                embed_chunk,
                *(self._workers, work, chunk.number, chunk.references, group, self._deaths),
            )
            self._in_flight.append((chunk, self._workers.background(call)))
            self._let_it_begin()
        while self._in_flight:
            self._commit_oldest()
        if self._decoding.warning:
            self._record.warnings.append(self._decoding.warning)
            # the record of a run names no image, so that none need be erased from it
            self._progress.warn(f"{self._decoding.warning}, as {self._decoding.flat_example}")
        processed = self._ledger.embedded + self._ledger.rejected
        self._record.images_per_second = round(processed / self._elapsed(), 1)

    def _let_it_begin(self) -> None:
        """Wait until the workers have the newest chunk: they serve them in the order they come."""
        chunk, background = self._in_flight[-1]
        while not self._workers.is_submitted(self._group(chunk)):
            if background.wait(_SUBMISSION_SECONDS):
                return

    def _cancel(self) -> None:
        """End what is still under way after a failure; after a good run nothing is."""
        groups = [self._group(chunk) for chunk, _ in self._in_flight]
        for group in groups:
            self._workers.cancel(group)
        for _, background in self._in_flight:
            background.join(_CANCEL_SECONDS)
        # a Spark that goes on kills their workers a little later: till then they may write
        self._workers.wait(groups, _KILL_SECONDS)

    def _commit_oldest(self) -> None:
        chunk, background = self._in_flight[0]
        while not background.wait(_POLL_SECONDS):
            self._show_progress()
        receipts: list[Receipt] = background.result()
        self._in_flight.popleft()
        rejections = [
            *chunk.rejections,
            *(rejection for receipt in receipts for rejection in receipt.rejections),
        ]
        embedded = sum(receipt.rows for receipt in receipts)
        if embedded + self._ledger.embedded + self._ledger.already_done == 0:
            refuse_if_none_was_fetched(rejections)
        if embedded + len(rejections) != len(chunk):
            raise LedgerError(
                f"chunk {chunk.number} has {len(chunk)} images, but {embedded} were embedded and"
                f" {len(rejections)} rejected",
                "This is a defect of featuremill: please report it.",
            )
        files = [
            DataFile(receipt.name, receipt.rows, receipt.size, {"status": OK})
            for receipt in receipts
            if receipt.name is not None
        ]
        if rejections:
            files.append(self._write_rejections(chunk, rejections))
        self._table.commit(self._job.run, chunk.number, files, removed=self._replacement(chunk))
        self._account(receipts, rejections)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started

    def _account(self, receipts: list[Receipt], rejections: list[Rejection]) -> None:
        self._ledger.embedded += sum(receipt.rows for receipt in receipts)
        self._ledger.rejected += len(rejections)
        self._record.chunks += 1
        self._record.count_rejections(rejections)
        for receipt in receipts:
            self._record.precision[receipt.precision] += receipt.rows
            self._record.worker_cpu_seconds += receipt.cpu_seconds
            self._record.worker_seconds += receipt.seconds
            self._decoding.add(receipt.decoding)
        self._record.worker_deaths = self._deaths.total
        self._cutter.observe(self._ledger.embedded + self._ledger.rejected, self._elapsed())
        self._show_progress()
        self._judge()

    def _judge(self) -> None:
        rejected, processed = self._ledger.judged()
        limit = self._job.config.max_rejects
        early = limit.count is not None or processed >= _JUDGED_FROM
        if early and limit.exceeded(rejected, processed):
            raise too_many_rejects(self._record, str(limit))
        self._deaths.check()
        self._decoding.check(self._job.config.image_timeout, processed)

    def _write_rejections(self, chunk: Chunk, rejections: list[Rejection]) -> DataFile:
        sink = pa.BufferOutputStream()
        with feature_writer(sink) as writer:
            writer.write_table(rejected_rows(rejections, self._job.model_id, self._job.run))
        data = sink.getvalue().to_pybytes()
        name = f"status={REJECTED}/{self._job.run}-{chunk.number:05d}.parquet"
        self._job.destination.write(f"{self._table.folder}/{name}", data)
        return DataFile(name, len(rejections), len(data), {"status": REJECTED})

    def _replacement(self, chunk: Chunk) -> "tables.Removal | None":
        if not chunk.replaced:
            return None
        prefix = f"{self._job.run}-{chunk.number:05d}-kept"
        drop = tables.drop_paths(chunk.replaced, self._job.model_id)
        return partial(tables.without_rows, self._table, prefix, drop)

    def _show_progress(self) -> None:
        ledger, listing = self._ledger, self._job.listing
        done = ledger.already_done + ledger.already_rejected + ledger.embedded + ledger.rejected
        for chunk, share in self._shares_done():
            done += int(share * len(chunk))
        self._progress.advance(done, listing.selected if listing.finished else None)

    def _shares_done(self) -> Iterator[tuple[Chunk, float]]:
        for chunk, _ in self._in_flight:
            tasks = task_count(len(chunk.references), self._workers.slots)
            yield chunk, min(1.0, self._workers.tasks_done(self._group(chunk)) / max(1, tasks))

    def _group(self, chunk: Chunk) -> str:
        return f"{self._job.run}-{chunk.number}"


def refuse_if_none_was_fetched(rejections: Sequence[Rejection]) -> None:
    """Raise StorageError if the first images of a run, ten or more, are all out of reach.

    Nothing is committed then: what concerns all images is no reason to reject each of them.
    """
    reasons = Counter(each.reason for each in rejections if each.stage == "fetch")
    if reasons.total() < max(_FETCHED_FROM, len(rejections)):
        return
    raise StorageError(
        f"none of the first {len(rejections):,} images could be fetched:"
        f" {reasons.most_common(1)[0][0]}",
        "Check that you may read the images (in a bucket: s3:GetObject, and kms:Decrypt where"
        " they are encrypted), then run the same command again.",
    )


def too_many_rejects(record: RunRecord, limit: str) -> TooManyRejectsError:
    """Error for a run with more rejects than allowed, with the most frequent reasons."""
    rejected, processed = record.ledger.judged()
    reasons = "; ".join(f"{count:,} × {reason}" for reason, count in record.rejects.most_common(3))
    return TooManyRejectsError(
        f"{rejected:,} of {processed:,} images were rejected, --max-rejects is {limit}"
        + (f" ({reasons})" if reasons else ""),
        "See rejects.csv. Everything embedded is kept; to accept the rejects, run again with a"
        " higher --max-rejects.",
    )
