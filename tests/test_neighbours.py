"""Neighbours are those that the plain product of all rows gives, whatever is spared on the way."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featuremill.errors import InputError
from featuremill.search.neighbors import (
    leaders,
    leave_one_out,
    majority,
    nearest,
    outlyingness,
    pairs,
    ranking,
    screen,
    unit_rows,
    wilson,
)

Rows = np.ndarray


def like_features(n: int, d: int, seed: int = 0) -> Rows:
    """Unit rows as a network gives them: none negative, in classes, some equal, one of zeros."""
    random = np.random.default_rng(seed)
    classes = np.abs(random.standard_normal((max(1, n // 9), d)))
    of = np.sort(random.integers(0, len(classes), n))
    noise = np.abs(random.standard_normal((n, d))) * random.random((n, 1)) * 0.6
    rows = unit_rows((classes[of] + noise).astype(np.float32))
    if n > 20:
        rows[n // 2 : n // 2 + 5] = rows[3]
        rows[n - 1] = 0
    return rows


def products(queries: Rows, rows: Rows) -> Rows:
    return queries.astype(np.float64) @ rows.astype(np.float64).T


def best_of(cosines: Rows, k: int) -> Rows:
    """Row numbers by float32 cosine, the highest first, ties by row number."""
    return np.argsort(-cosines.astype(np.float32), axis=1, kind="stable")[:, :k]


@pytest.fixture(params=["in full", "screened"])
def small_blocks(request, monkeypatch) -> None:
    """Blocks so small that a few hundred rows are many of them; with and without bounds."""
    for module in (ranking, pairs):
        monkeypatch.setattr(module, "QUERIES", 64)
        monkeypatch.setattr(module, "BLOCK", 100)
    if request.param == "screened":
        monkeypatch.setattr(screen, "DIRECTIONS", 6)
        monkeypatch.setattr(screen, "_WORTH_IT", 0)


def test_unit_rows_have_length_one_and_zeros_stay() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0], [1e-12, 0], [1e12, 1e12]], np.float32))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [1, 0], [0.5**0.5] * 2], rtol=1e-6)


@pytest.mark.usefixtures("small_blocks")
class TestAgainstAllProducts:
    def test_the_nearest(self) -> None:
        rows = like_features(700, 40)
        found, cosines = nearest(rows[200:500], rows, 7)
        expected = products(rows[200:500], rows)
        np.testing.assert_array_equal(found, best_of(expected, 7))
        np.testing.assert_allclose(cosines, np.take_along_axis(expected, found, 1), atol=1e-6)

    def test_the_nearest_of_rows_that_are_no_neighbours_of_themselves(self) -> None:
        rows = like_features(700, 40)
        every = np.arange(700)
        found, _ = nearest(rows, rows, 7, skip=every)
        expected = products(rows, rows)
        expected[every, every] = -np.inf
        np.testing.assert_array_equal(found, best_of(expected, 7))

    def test_ties_go_to_the_lowest_row_numbers(self) -> None:
        rows = like_features(700, 40)
        rows[300:400] = rows[650]
        found, cosines = nearest(rows[650:651], rows, 30, skip=np.array([650]))
        assert found[0].tolist() == list(range(300, 330))
        np.testing.assert_allclose(cosines, 1, atol=1e-6)

    def test_many_ties_go_to_the_lowest_row_numbers_despite_rounding(self) -> None:
        rows = like_features(2000, 300)
        rows[100:140] = rows[1400:1430] = rows[7]
        every = np.arange(2000)
        found, _ = nearest(rows, rows, 10, skip=every)
        expected = products(rows, rows)
        expected[every, every] = -np.inf
        np.testing.assert_array_equal(found, best_of(expected, 10))

    @pytest.mark.parametrize("threshold", [0.8, 0.95, 0.999999])
    def test_the_groups_around_leaders(self, threshold: float) -> None:
        rows = like_features(500, 40)
        order = np.random.default_rng(1).permutation(500)
        near = products(rows, rows) >= threshold
        expected = np.full(500, -1)
        for row in order:
            if expected[row] < 0:
                expected[near[row] & (expected < 0)] = row
                expected[row] = row
        np.testing.assert_array_equal(leaders(rows, threshold, order), expected)

    def test_progress_ends_with_all_rows(self) -> None:
        rows = like_features(300, 40)
        for work in (
            lambda report: nearest(rows, rows, 3, progress=report),
            lambda report: leaders(rows, 0.9, np.arange(300), progress=report),
        ):
            reported: list[tuple[int, int]] = []
            work(lambda done, total, to=reported: to.append((done, total)))
            assert reported[-1] == (300, 300)
            assert reported == sorted(reported)


@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(0.3, 1.0), directions=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_no_bound_rules_out_a_pair_that_is_above(
    seed: int, threshold: float, directions: int
) -> None:
    random = np.random.default_rng(seed)
    rows = unit_rows(random.standard_normal((90, 60)).astype(np.float32) + random.random(60) * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screen, "DIRECTIONS", directions)
        patch.setattr(screen, "_WORTH_IT", 0)
        left, right = screen.sides(rows[:40].copy(), rows)
        assert right.short.shape == (90, directions + 1)
        i, j, cosine = screen.above(left, right, threshold)
    expected = products(rows[:40], rows)
    assert set(zip(*np.nonzero(expected >= threshold), strict=True)) <= set(zip(i, j, strict=True))
    np.testing.assert_allclose(cosine, expected[i, j], atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [
        lambda rows: nearest(rows, rows, 10, skip=np.arange(len(rows))),
        lambda rows: leaders(rows, 0.999, np.arange(len(rows))),
    ],
    ids=["nearest", "leaders"],
)
def test_memory_stays_far_below_all_products(work: Callable[[Rows], object]) -> None:
    rows = unit_rows(np.random.default_rng(0).random((12_000, 16), dtype=np.float32) - 0.5)
    tracemalloc.start()
    work(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20  # all products would take 549 MiB


def near_ties(n: int = 1500, d: int = 400, seed: int = 0) -> Rows:
    """Rows all alike, some equal to the last bit, at places where products are computed apart."""
    random = np.random.default_rng(seed)
    rows = unit_rows((random.random(d) + 1e-4 * random.random((n, d))).astype(np.float32))
    rows[-40:] = rows[:40]
    rows[700:740] = rows[7]
    return rows


@pytest.mark.parametrize("screened", [False, True])
def test_ties_go_by_row_number_whatever_float32_makes_of_their_products(
    screened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "_WORTH_IT", 0 if screened else 2**62)
    monkeypatch.setattr(ranking, "BLOCK", 1013)  # ends between the tiles of every kernel
    rows = near_ties()
    asked = np.arange(0, 1500, 3)
    found, cosines = nearest(rows[asked], rows, 5, skip=asked)
    expected = products(rows[asked], rows)
    expected[np.arange(len(asked)), asked] = -np.inf
    np.testing.assert_array_equal(found, best_of(expected, 5))
    np.testing.assert_array_equal(cosines, np.take_along_axis(expected, found, 1).astype("f4"))


_ON_A_KERNEL = """
import numpy as np
from featuremill.search.neighbors import leaders, nearest, unit_rows
random = np.random.default_rng(0)
for _ in range(100):
    # a few large numbers, then equal ones: every sum is rounded the same way
    row = np.ones((1, 1280), np.float32)
    row[0, : random.integers(1, 40)] = random.uniform(1, 60)
    rows = unit_rows(np.repeat(row, 43, axis=0))
    assert leaders(rows, 1 - 1e-6, np.arange(43)).tolist() == [0] * 43
    assert nearest(rows[:1], rows, 5)[0].tolist() == [[0, 1, 2, 3, 4]]
    exact = (rows[0].astype(float) ** 2).sum()
    assert nearest(rows[:1], rows, 5)[1].tolist() == [[np.float32(exact)] * 5]
"""


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX"])
def test_equal_rows_are_one_group_on_every_processor(kernel: str) -> None:
    """Old processors add in another order; a kernel this one cannot run is not taken."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    product = "import numpy as np; rows = np.ones((43, 1280), np.float32); rows @ rows.T"
    if subprocess.run([sys.executable, "-c", product], env=environment).returncode < 0:
        pytest.skip(f"NumPy's own product of two matrices dies with {kernel} here")
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_KERNEL], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("work", ["nearest", "leaders"])
def test_rows_without_structure_are_not_searched_pair_by_pair(
    work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(left: object, i: Rows, right: object, j: Rows) -> Rows:
        single.append(len(i))
        return by_pairs(left, i, right, j)

    single: list[int] = []
    by_pairs = screen._products
    monkeypatch.setattr(screen, "_products", counted)
    monkeypatch.setattr(screen, "_WORTH_IT", 0)
    rows = unit_rows(np.random.default_rng(0).normal(size=(3000, 300)).astype(np.float32))
    if work == "nearest":
        nearest(rows, rows, 10, skip=np.arange(3000))
    else:
        leaders(rows, 0.3, np.arange(3000))
    assert sum(single) <= 3000 * 3000 / 32


def test_lengths_that_float32_cannot_hold_are_divided_by_all_the_same() -> None:
    rows = unit_rows(np.array([[3e38, 3e38], [1e-42, 1e-42]], np.float32))
    np.testing.assert_allclose(rows, 0.5**0.5, rtol=1e-6)


class TestFewRows:
    def test_there_are_no_more_neighbours_than_rows(self) -> None:
        rows = like_features(4, 8)
        found, cosines = nearest(rows, rows, 10, skip=np.arange(4))
        assert found.shape == cosines.shape == (4, 3)
        assert nearest(rows, rows, 10)[0].shape == (4, 4)

    def test_one_row_has_no_neighbours(self) -> None:
        rows = like_features(1, 8)
        found, cosines = nearest(rows, rows, 10, skip=np.array([0]))
        assert found.shape == (1, 0)
        assert outlyingness(cosines).tolist() == [0]
        assert leaders(rows, 0.5, np.array([0])).tolist() == [0]

    def test_no_rows_at_all(self) -> None:
        rows = np.empty((0, 8), np.float32)
        assert nearest(rows, rows, 3)[0].shape == (0, 0)
        assert leaders(rows, 0.5, np.empty(0, np.int64)).size == 0


def on_a_circle(*degrees: float) -> Rows:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_a_chain_of_look_alikes_does_not_become_one_group() -> None:
    rows = on_a_circle(0, 20, 40, 60, 80)
    near = float(np.cos(np.radians(25)))
    assert leaders(rows, near, np.arange(5)).tolist() == [0, 0, 2, 2, 4]
    assert leaders(rows, near, np.array([2, 0, 1, 3, 4])).tolist() == [0, 2, 2, 2, 4]


def test_the_lone_row_lies_out_and_equal_rows_do_not() -> None:
    rows = on_a_circle(0, 0, 0, 0, 90)
    _, cosines = nearest(rows, rows, 3, skip=np.arange(5))
    np.testing.assert_allclose(outlyingness(cosines), [0, 0, 0, 0, 1], atol=1e-6)


class TestLeaveOneOut:
    def test_counts_what_the_majority_says(self) -> None:
        rows = on_a_circle(0, 1, 2, 90, 91, 92, 3)
        told = leave_one_out(rows, ["a", "a", "a", "b", "b", "b", "b"], k=2)
        assert told.asked == 7
        assert told.k == 2
        assert told.confusion == {("a", "a"): 3, ("b", "b"): 3, ("b", "a"): 1}
        assert told.accuracy == pytest.approx(6 / 7)
        assert told.low < told.accuracy < told.high

    def test_asks_only_for_the_rows_wanted(self) -> None:
        rows = on_a_circle(0, 1, 90, 91)
        told = leave_one_out(rows, ["a", "a", "b", "a"], k=1, queries=np.array([2, 3]))
        assert told.confusion == {("b", "a"): 1, ("a", "b"): 1}
        assert (told.accuracy, told.asked) == (0, 2)

    def test_k_is_no_more_than_there_are_others(self) -> None:
        assert leave_one_out(on_a_circle(0, 1, 2), ["a", "a", "a"], k=9).k == 2

    def test_needs_two_images(self) -> None:
        with pytest.raises(InputError, match="at least two"):
            leave_one_out(on_a_circle(0), ["a"])


def test_a_tie_of_votes_goes_to_the_nearest() -> None:
    votes = np.array([[1, 2, 2, 1], [2, 1, 1, 0], [3, 1, 2, 0]])
    assert majority(votes).tolist() == [1, 1, 3]


def test_wilsons_interval_is_that_of_the_literature() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20
    for right, asked, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)]:
        assert wilson(right, asked) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1
