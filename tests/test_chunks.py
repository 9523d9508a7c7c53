"""How references are cut into chunks, and a chunk into tasks."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featuremill.models.engines import BATCH
from featuremill.storage.listing import Reference, Rejection, pack, unpack
from featuremill.workflows.run import chunks
from featuremill.workflows.run.chunks import (
    FIRST_SECONDS,
    LONGEST_SECONDS,
    Cutter,
    split,
    task_count,
)


def reference(number: int) -> Reference:
    return Reference(f"/fruits/kiwi/{number}.jpg", "kiwi", f"v{number}", number)


def references(count: int) -> list[Reference]:
    return [reference(number) for number in range(count)]


class TestSplit:
    @given(st.integers(0, 2_000), st.integers(1, 16))
    def test_every_reference_is_in_exactly_one_task(self, count, slots):
        tasks = split(references(count), slots)
        assert sorted(itertools.chain(*tasks)) == sorted(references(count))

    @given(st.integers(1, 2_000), st.integers(1, 16))
    def test_tasks_are_of_one_size_up_to_a_batch_and_none_is_empty(self, count, slots):
        sizes = [len(task) for task in split(references(count), slots)]
        assert min(sizes) > 0
        assert max(sizes) - min(sizes) <= BATCH

    @given(st.integers(0, 2_000), st.integers(1, 16))
    def test_only_one_batch_of_all_is_not_full(self, count, slots):
        tasks = split(references(count), slots)
        batches = sum(-(-len(task) // BATCH) for task in tasks)
        assert batches == -(-count // BATCH)

    @given(st.integers(0, 2_000), st.integers(1, 16))
    def test_there_are_as_many_tasks_as_announced(self, count, slots):
        assert len(split(references(count), slots)) == task_count(count, slots)

    @pytest.mark.parametrize(
        ("count", "slots", "tasks"), [(0, 2, 0), (1, 2, 1), (16, 2, 1), (17, 2, 2), (10_000, 2, 8)]
    )
    def test_a_task_has_two_batches_at_least_and_a_slot_four_tasks_at_most(
        self, count, slots, tasks
    ):
        assert task_count(count, slots) == tasks

    def test_neighbours_go_to_different_tasks(self):
        first, second, *_ = split(references(10 * BATCH), 1)
        assert first[:BATCH] == references(10 * BATCH)[:BATCH]
        assert second[:BATCH] == references(10 * BATCH)[BATCH : 2 * BATCH]


class TestCutter:
    @given(st.lists(st.booleans(), max_size=300), st.floats(0.001, 1000))
    def test_everything_is_in_exactly_one_chunk_in_order(self, kinds, rate):
        items = [
            Rejection(reference(number), "list", "x") if rejected else reference(number)
            for number, rejected in enumerate(kinds)
        ]
        chunks = list(Cutter(rate).cut((item, False) for item in items))
        held = [sorted([*chunk.references, *chunk.rejections], key=items.index) for chunk in chunks]
        assert list(itertools.chain(*held)) == items
        assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
        assert all(len(chunk) for chunk in chunks)

    def test_a_chunk_stays_within_the_drivers_memory_however_large_the_cluster(self, monkeypatch):
        monkeypatch.setattr(chunks, "LARGEST", 30)
        sizes = [len(chunk) for chunk in Cutter(1e6).cut((r, False) for r in references(100))]
        assert sizes == [30, 30, 30, 10]

    def test_chunks_start_at_two_seconds_and_double_to_a_minute(self):
        cutter = Cutter(2.0)
        seconds = []
        for chunk in cutter.cut((item, False) for item in references(500)):
            seconds.append(len(chunk) / 2.0)
            cutter.observe(len(chunk), len(chunk) / 2.0)
        assert seconds[:7] == [FIRST_SECONDS, 4, 8, 16, 32, LONGEST_SECONDS, LONGEST_SECONDS]

    def test_chunks_follow_the_speed_seen(self):
        cutter = Cutter(1000.0)
        cutter.observe(images=50, seconds=5.0)
        assert cutter.size == 10.0 * 2 * FIRST_SECONDS

    @pytest.mark.parametrize(("images", "seconds"), [(0, 5.0), (5, 0.0)])
    def test_a_chunk_that_tells_nothing_of_speed_does_not_stop_it(self, images, seconds):
        cutter = Cutter(10.0)
        cutter.observe(images, seconds)
        assert cutter.size == 10.0 * 2 * FIRST_SECONDS

    def test_a_chunk_holds_one_image_at_least(self):
        assert Cutter(1e-9).size == 1
        chunks = list(Cutter(1e-9).cut((item, False) for item in references(3)))
        assert [len(chunk) for chunk in chunks] == [1, 1, 1]

    def test_nothing_gives_no_chunk(self):
        assert list(Cutter(10.0).cut([])) == []

    def test_a_chunk_names_the_paths_whose_older_rows_it_replaces(self):
        rejected = Rejection(reference(2), "list", "a link to a file that does not exist")
        items = [(reference(0), True), (reference(1), False), (rejected, True)]
        (chunk,) = Cutter(10.0).cut(items)
        assert chunk.replaced == [reference(0).path, reference(2).path]

    def test_a_chunk_is_given_before_the_rest_is_listed(self):
        endless = ((reference(number), False) for number in itertools.count())
        assert len(next(Cutter(2.0).cut(endless))) == 4


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
REFERENCES = st.builds(Reference, TEXT, TEXT, TEXT, st.integers(0, 2**63 - 1))
REJECTIONS = st.builds(Rejection, REFERENCES, TEXT, TEXT)


class TestPacking:
    @given(st.lists(st.one_of(REFERENCES, REJECTIONS)))
    def test_references_and_rejections_come_out_as_they_went_in(self, items):
        unpacked = unpack(pack(items))
        assert unpacked == items
        assert list(map(type, unpacked)) == list(map(type, items))
        assert all(
            type(item.reference) is Reference for item in unpacked if isinstance(item, Rejection)
        )

    def test_a_reference_takes_about_a_hundred_bytes(self):
        assert len(pack(references(1000))) < 100 * 1000
