"""What a report finds in the features: exact where it says so, seeded where it samples."""

from collections import Counter

import numpy as np
import pytest

from featuremill.images.thumbnails import Wanted
from featuremill.pca.components import PCA, Moments
from featuremill.report import feature_summary
from featuremill.report.explorer import COLOURS, SHAPES, Look, looks, pack
from featuremill.report.rows import ReportRows
from featuremill.search import analysis, similar_pairs
from featuremill.search.neighbors import LeaveOneOut, nearest, outlyingness, unit_rows


def clusters(classes=12, each=400, d=24, seed=0):
    """Rows around as many centres, and their labels."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, d)) * 3
    rows = np.repeat(centres, each, axis=0) + random.normal(size=(classes * each, d))
    labels = [f"class {c:02}" for c in range(classes) for _ in range(each)]
    return rows.astype(np.float32), labels


@pytest.fixture(scope="module")
def unit():
    return unit_rows(clusters()[0])


def rows_of(features, labels):
    images = [Wanted(f"/pictures/{label}/{n:05}.jpg", "v", 9) for n, label in enumerate(labels)]
    return ReportRows(
        images, labels, features.copy(), ["run"] * len(labels), Counter(labels), len(labels)
    )


def pairs_above(unit, threshold):
    """All pairs of rows with at least that cosine, one product after the other."""
    cosines = unit.astype(np.float64) @ unit.T.astype(np.float64)
    i, j = np.nonzero(np.triu(cosines >= threshold, 1))
    return i, j, cosines[i, j]


# Alike


def test_the_best_pairs_are_those_of_all_products(unit):
    found = similar_pairs.most_alike(unit, 0.9, 500)
    i, j, cosine = pairs_above(unit, found.floor - 1e-5)
    best = np.argsort(-cosine, kind="stable")[:500]
    assert len(found.i) == 500
    np.testing.assert_allclose(found.cosine, cosine[best], atol=1e-6)
    worst = found.cosine[-1] + 1e-5
    sure = cosine > worst
    assert set(zip(i[sure], j[sure], strict=True)) <= set(zip(found.i, found.j, strict=True))
    assert (np.diff(found.cosine) <= 0).all()
    assert (found.i < found.j).all()


def test_no_pair_below_the_floor_is_found(unit):
    found = similar_pairs.most_alike(unit, 0.97, 100_000)
    i, _, _ = pairs_above(unit, 0.97)
    assert abs(len(found.i) - len(i)) <= 1
    assert found.floor == 0.97


def test_pairs_across_boxes_are_found_too(monkeypatch):
    """Rows everywhere on a sphere, where no two boxes lie apart by nature."""
    monkeypatch.setattr(similar_pairs, "LEAF", 4)
    ball = unit_rows(np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32))
    found = similar_pairs.most_alike(ball, 0.999, 100_000)
    i, _, _ = pairs_above(ball, 0.999)
    assert abs(len(found.i) - len(i)) <= 2
    assert len(i) > 1000


def test_equal_rows_are_not_more_pairs_than_wanted():
    found = similar_pairs.most_alike(np.ones((2000, 1), np.float32), 0.95, 1000)
    assert len(found.i) == 1000
    assert (found.cosine == 1).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_have_few_pairs(n):
    assert len(similar_pairs.most_alike(np.ones((n, 3), np.float32), 0.5, 10).i) == n // 2


def pairs(*of):
    i, j, cosine = zip(*of, strict=True)
    return similar_pairs.Pairs(np.array(i), np.array(j), np.array(cosine, np.float32), 0.0)


def test_pairs_that_share_an_image_are_one_group():
    ranked = pairs((0, 1, 0.99), (2, 3, 0.98), (1, 4, 0.97), (3, 4, 0.96), (5, 6, 0.95))
    together, apart = similar_pairs.groups(ranked, 9)
    assert sorted(together.rows) == [0, 1, 2, 3, 4]
    assert (together.highest, together.lowest) == (pytest.approx(0.99), pytest.approx(0.96))
    assert apart.rows == (5, 6)


def test_groups_end_where_there_are_enough():
    ranked = pairs((0, 1, 0.99), (2, 3, 0.98), (1, 4, 0.97), (5, 6, 0.96), (0, 7, 0.95))
    found = similar_pairs.groups(ranked, 2)
    assert [group.rows for group in found] == [(0, 1, 4), (2, 3)]


# Outliers


def test_the_farthest_rows_are_those_of_all_distances(unit, monkeypatch):
    monkeypatch.setattr(analysis, "_REFERENCES", 512)
    monkeypatch.setattr(analysis, "_BLOCK", 64)
    found, distances, among = analysis.farthest(unit, 12)
    expected = outlyingness(nearest(unit, unit, analysis.FAR_FROM, skip=np.arange(len(unit)))[1])
    order = np.argsort(-expected, kind="stable")[:12]
    np.testing.assert_allclose(distances, expected[order], atol=1e-6)
    assert set(found) == set(order)
    assert among == 0


def test_rows_that_a_sample_takes_for_far_do_not_hide_those_that_are(monkeypatch):
    """A thin cloud, and small groups far from it: near to themselves, but the sample lacks them."""
    monkeypatch.setattr(analysis, "_REFERENCES", 256)
    monkeypatch.setattr(analysis, "_BLOCK", 64)
    random = np.random.default_rng(0)
    apart = np.eye(16)[0]
    cloud = random.normal(size=(3000, 16), scale=0.4) + apart
    groups = np.repeat(random.normal(size=(30, 16)) - 3 * apart, 12, axis=0)
    rows = np.concatenate([cloud, groups + random.normal(size=groups.shape, scale=0.01)])
    unit = unit_rows(rows.astype(np.float32))
    found = analysis.farthest(unit, 12)
    expected = outlyingness(nearest(unit, unit, analysis.FAR_FROM, skip=np.arange(len(unit)))[1])
    np.testing.assert_allclose(found.distances, np.sort(expected)[::-1][:12], atol=1e-6)
    assert max(found.rows) < 3000


def test_most_rows_are_never_measured(unit, monkeypatch):
    monkeypatch.setattr(analysis, "_REFERENCES", 512)
    monkeypatch.setattr(analysis, "_BLOCK", 64)
    asked = []
    measure = analysis.nearest

    def counted(queries, vectors, k, **options):
        asked.append(len(queries) if len(vectors) == len(unit) else 0)
        return measure(queries, vectors, k, **options)

    monkeypatch.setattr(analysis, "nearest", counted)
    analysis.farthest(unit, 12)
    assert 0 < sum(asked) < len(unit) / 2


@pytest.mark.parametrize("n", [0, 1])
def test_one_image_is_no_outlier(n):
    assert len(analysis.farthest(np.ones((n, 3), np.float32), 5).rows) == 0


def test_where_all_rows_are_alike_only_some_are_measured(monkeypatch):
    monkeypatch.setattr(analysis, "_REFERENCES", 64)
    monkeypatch.setattr(analysis, "_BLOCK", 16)
    monkeypatch.setattr(analysis, "MOST_MEASURED", 100)
    random = np.random.default_rng(0)
    rows = 1 + random.normal(size=(800, 8), scale=1e-3)
    found = analysis.farthest(unit_rows(rows.astype(np.float32)), 5)
    assert (len(found.rows), found.among) == (5, 112)


# Classes


def test_centres_are_mean_directions():
    rows, labels = clusters(classes=3, each=50)
    unit = unit_rows(rows)
    found = analysis.centres(unit, labels)
    assert found.labels == ["class 00", "class 01", "class 02"]
    centre = unit[:50].mean(axis=0, dtype=np.float64)
    centre /= np.linalg.norm(centre)
    assert found.compactness[0] == pytest.approx((unit[:50] @ centre).mean(), abs=1e-5)
    assert set(found.near[0]) == {1, 2}
    assert found.cosines[0, 0] >= found.cosines[0, 1]


def test_what_neighbours_tell_is_counted_by_class():
    confusion = {("a", "a"): 7, ("a", "b"): 1, ("a", "c"): 2, ("b", "b"): 3}
    told = analysis.told_by_class(LeaveOneOut(0.8, 0.7, 0.9, 13, 5, confusion))
    assert told == {"a": (10, 7, "c"), "b": (3, 3, None)}


def test_few_images_are_all_asked_and_many_are_sampled_the_same_way():
    assert analysis.queries(5).tolist() == [0, 1, 2, 3, 4]
    sample = analysis.queries(50_000)
    assert len(sample) == len(set(sample.tolist())) == analysis.MOST_QUERIES
    assert (sample == analysis.queries(50_000)).all()


def test_ends_are_the_farthest_images_and_never_the_same():
    scores = np.array([[3.0], [1.0], [2.0], [0.0], [5.0]], np.float32)
    assert analysis.ends(scores, 0, 5) == ([3, 1], [4, 0])


def test_examples_come_from_everywhere_in_a_class():
    found = analysis.examples(["a"] * 8 + ["b"] * 2, 4)
    assert found == {"a": [0, 2, 4, 6], "b": [8, 9]}


# Looks


def test_six_classes_have_six_colours():
    found = looks([2, 0, 1, 5, 4, 3], np.empty((6, 0), np.int64))
    assert found[2] == Look(0, 0)
    assert len({look.colour for look in found}) == 6
    assert {look.shape for look in found} == {0}


def test_no_look_is_given_twice_before_each_was_given_once():
    every = len(COLOURS) * len(SHAPES)
    near = np.array([[(c + step) % 40 for step in (1, 2, 3, 4)] for c in range(40)])
    found = looks(range(40), near)
    assert set(Counter(found[:every]).values()) == {1}
    assert len(set(found)) == every


def test_classes_that_lie_near_each_other_differ_in_colour():
    near = np.array([[(c - 6) % 36, (c - 12) % 36] for c in range(36)])
    found = looks(range(36), near)
    same = [c for c in range(36) if found[c].colour in {found[n].colour for n in near[c]}]
    assert len(same) <= 4


# Packed


def unpacked(packed):
    """Scores as the page computes them from both bytes."""
    from base64 import b64decode

    upper = np.frombuffer(b64decode(packed.upper), np.int8).reshape(-1, packed.images)
    lower = np.frombuffer(b64decode(packed.lower), np.uint8).reshape(-1, packed.images)
    largest = np.array([axis.largest for axis in packed.components])[:, np.newaxis]
    whole = (upper[: packed.axes].astype(int) * 256 + lower) * largest[: packed.axes] / 32767
    return upper, whole.T


def packed_of(scores, **options):
    paths = [f"/a/{n}.jpg" for n in range(len(scores))]
    shares = np.linspace(0.5, 0.01, scores.shape[1])
    return pack(paths, ["a"] * len(paths), scores, shares, ["a"], [Look(0, 0)], **options)


def test_scores_come_back_to_a_thirty_thousandth():
    scores = clusters(classes=2, each=100)[0] * [1000.0, *[1.0] * 22, 0.001]
    packed = packed_of(scores.astype(np.float32))
    upper, whole = unpacked(packed)
    assert (packed.axes, len(upper)) == (24, 24)
    np.testing.assert_allclose(whole, scores, atol=0, rtol=1e-4 * 32767)
    assert (np.abs(whole - scores).max(axis=0) <= np.abs(scores).max(axis=0) / 32767).all()


def test_components_without_any_spread_are_zero():
    _, whole = unpacked(packed_of(np.zeros((4, 2), np.float32)))
    assert not whole.any()


def test_many_images_leave_room_for_fewer_components(monkeypatch):
    from featuremill.report import explorer

    monkeypatch.setattr(explorer, "UPPER_BYTES", 2000)
    monkeypatch.setattr(explorer, "LOWER_BYTES", 1200)
    packed = packed_of(clusters(classes=1, each=100)[0])
    assert (len(packed.components), packed.axes) == (20, 12)


def test_paths_are_told_by_what_differs_in_a_folder():
    paths = ["/p/a/x_1.jpg", "/p/a/x_22.jpg", "/p/b/y.jpg", "/p/c/z/1.png", "/p/c/z/1.png"]
    scores = np.zeros((5, 1), np.float32)
    labels = ["a", "a", "b", "z", "z"]
    packed = pack(paths, labels, scores, np.ones(1), ["a", "b", "z"], [Look(0, 0)] * 3)
    assert [list(folder) for folder in packed.folders] == [
        ["/p/a/x_", 0, ".jpg", ["1", "22"]],
        ["/p/b/y.jpg", 1, "", [""]],
        ["/p/c/z/1.png", 2, "", ["", ""]],
    ]


# All of it


def test_everything_is_found_at_once():
    features, labels = clusters()
    pca = PCA.fit(Moments.of(features), n_components=10)
    found, explorer = feature_summary.find(rows_of(features, labels), pca)
    assert (found.shown, found.total, found.labels, found.asked) == (4800, 4800, 12, 2000)
    assert [accuracy.of for accuracy in found.accuracy] == ["24 features", "10 components"]
    for accuracy in found.accuracy:
        assert 0.95 < accuracy.low <= accuracy.share <= accuracy.high <= 1
    assert [axis.component for axis in found.axes] == list(range(1, 9))
    assert len(found.alike) == len(found.outliers) == 24
    assert found.left_out == {}
    assert sum(facts.asked for facts in found.classes) == 2000
    assert explorer.images == 4800
    assert set(found.rows()) <= set(range(4800))


def test_the_reduction_shows_its_cost():
    features, labels = clusters()
    pca = PCA.fit(Moments.of(features), n_components=2)
    found, _ = feature_summary.find(rows_of(features, labels), pca)
    full, reduced = found.accuracy
    assert reduced.share < full.share - 0.1
    assert found.left_out == {
        "alike": "they need 3 components",
        "outliers": "they need 3 components",
    }


def test_without_components_classes_are_still_told_apart():
    features, labels = clusters(each=20)
    found, explorer = feature_summary.find(rows_of(features, labels), None)
    assert explorer is None
    assert [accuracy.of for accuracy in found.accuracy] == ["24 features"]
    assert found.classes[0].nearest is not None
    assert found.left_out.keys() == {"alike", "outliers"}


def test_one_class_is_told_apart_from_nothing():
    features, _ = clusters(classes=1, each=30)
    pca = PCA.fit(Moments.of(features), n_components=4)
    found, _ = feature_summary.find(rows_of(features, ["a"] * 30), pca)
    assert found.accuracy == []
    assert found.left_out == {"neighbours": "all images are of one class"}
    assert (found.classes[0].nearest, found.classes[0].asked) == (None, 0)


def test_no_rows_tell_nothing():
    found, explorer = feature_summary.find(rows_of(np.empty((0, 24), np.float32), []), None)
    assert (found.labels, found.classes, explorer) == (0, (), None)


def test_a_class_for_every_image_is_bounded(monkeypatch):
    monkeypatch.setattr(analysis, "MOST_CLASSES", 50)
    features, _ = clusters(classes=4, each=50)
    labels = [f"{n:03}" for n in range(200)]
    pca = PCA.fit(Moments.of(features), n_components=4)
    found, explorer = feature_summary.find(rows_of(features, labels), pca)
    assert (len(found.classes), found.labels) == (50, 200)
    assert all(facts.nearest is None for facts in found.classes)
    assert len(explorer.looks) == 200


def test_classes_take_turns_among_the_first_to_be_read():
    features, labels = clusters(classes=3, each=10)
    order = rows_of(features, labels).in_turns()
    assert sorted(order) == list(range(30))
    assert {labels[row] for row in order[:3]} == set(labels)
