"""A set that grows, changes and shrinks: what a further run does to the tables."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import featuremill
from featuremill import CheckConfig, RejectLimit
from featuremill._utils.progress import Progress
from featuremill.cli import main
from featuremill.config import RunConfig
from featuremill.dataset.exclusions import FORGOTTEN, Forgotten
from featuremill.dataset.known_images import Known, gone_images
from featuremill.dataset.ledger import RunRecord
from featuremill.dataset.schemas import FEATURES, feature_writer
from featuremill.dataset.source_aliases import OtherName, other_name
from featuremill.dataset.tables import DataFile, drop_paths, features_table, without_rows
from featuremill.errors import ConfigError, DestinationError, RunError, SourceError
from featuremill.images.synth import SynthConfig, draw, encode, write
from featuremill.pca import incremental, reduce, saved
from featuremill.pca.components import PCA
from featuremill.pca.drift import drift
from featuremill.pca.incremental import KeptPca, changed_since, load_kept
from featuremill.pca.moments import Moments
from featuremill.storage import Listed
from featuremill.storage.listing import Listing, Selection
from featuremill.storage.local import LocalStore
from featuremill.workflows.forget.history import expunge
from featuremill.workflows.run.pipeline import run
from featuremill.workflows.run.prepare import prepare
from featuremill.workflows.run.reduction import Reduction
from outputs import everything_in, features, offline, reduced
from workers_here import WorkersHere

MODEL_ID = "0123456789abcdef"
NETWORK = {"name": "embedded", "model_id": MODEL_ID, "n_features": 4}
BAD = b"\xff\xd8 no more"
ANYTHING = RejectLimit(share=1)


# Which rows may be pruned


class ListOnly:
    """A store of which only the listing is asked."""

    url = "/data/fruits"

    def __init__(self, *paths: str, unreachable: tuple[str, ...] = ()) -> None:
        self._listed = [Listed(path, 1, "v") for path in paths]
        self._listed += [Listed(path, 0, "", "cannot be read") for path in unreachable]

    def list(self) -> Iterator[Listed]:
        yield from self._listed


def listed(source: ListOnly, **selection) -> Listing:
    found = Listing(source, Selection(**selection))
    list(found)
    found.close()
    return found


@pytest.mark.parametrize(
    ("path", "would"),
    [
        ("/data/fruits/Apple/0.jpg", True),
        ("/data/fruits/0.jpg", True),
        ("/data/fruits2/Apple/0.jpg", False),
        ("/data/other/0.jpg", False),
        ("s3://data/fruits/Apple/0.jpg", False),
        ("/data/fruits/.hidden/0.jpg", False),
        ("/data/fruits/Apple/notes.txt", False),
    ],
)
def test_a_listing_reaches_what_lies_in_its_source_and_could_be_an_image(path, would):
    assert listed(ListOnly("/data/fruits/Pear/0.jpg")).would_list(path) is would


def test_what_a_filter_left_out_is_not_gone():
    source = ListOnly("/data/fruits/Apple/0.jpg")
    apples = listed(source, classes=("Apple",), exclude=("*/tmp_*",))
    assert apples.would_list("/data/fruits/Apple/1.jpg")
    assert not apples.would_list("/data/fruits/Pear/1.jpg")
    assert not apples.would_list("/data/fruits/Apple/tmp_1.jpg")


def test_what_lies_below_a_folder_that_could_not_be_read_is_not_gone():
    # it is not selected itself, and hides images that are
    away = listed(
        ListOnly("/data/fruits/Pear/0.jpg", unreachable=("/data/fruits/disk",)), classes=("Apple",)
    )
    assert not away.would_list("/data/fruits/disk/Apple/0.jpg")
    assert away.would_list("/data/fruits/disk2/Apple/0.jpg")


def test_gone_is_what_is_known_of_this_model_and_was_not_met(tmp_path):
    table = features_table(LocalStore(str(tmp_path)))
    table.create()
    table.commit("a", 0, [feature_file(table, "a", {"/x/here": 1, "/x/gone": 2, "/y/away": 3})])
    known = Known([(path, "v", Known.DONE) for path in ("/x/here", "/x/gone", "/y/away")])
    assert known.meet("/x/here", "another version") == (Known.DONE, False)
    assert known.meet("/x/new", "v") is None
    reach = "/x/".__eq__
    gone = gone_images(table, MODEL_ID, known, lambda path: reach(path[:3]))
    assert gone == ["/x/gone"]
    assert gone_images(table, "another model", known, lambda _: True) == []


def test_gone_images_are_counted_without_another_look_at_the_table():
    apples = listed(ListOnly("/data/fruits/Apple/0.jpg"), classes=("Apple",))
    gone, others = "/data/fruits/Apple/1.jpg", ("/data/fruits/Pear/1.jpg", "/data/nuts/Apple/1.jpg")
    rows = [(path, "v", Known.DONE) for path in ("/data/fruits/Apple/0.jpg", gone, *others)]
    known = Known(rows, apples.selects)
    assert known.meet("/data/fruits/Apple/0.jpg", "v")
    assert apples.complete
    assert known.count_unmet() == 1
    # of a folder that cannot be read it is not known what is gone
    assert not listed(ListOnly(unreachable=("/data/fruits/disk",))).complete


# The same folder under two names


@pytest.mark.parametrize(("first", "then"), [("pics é", "link"), ("link", "pics é")])
def test_images_that_are_there_under_another_name_of_the_folder_are_noticed(tmp_path, first, then):
    (tmp_path / "pics é" / "Kiwi").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "pics é")
    dest = LocalStore(str(tmp_path / "results"))
    assert other_name(LocalStore(str(tmp_path / then)), dest) is None
    table = features_table(dest)
    table.create()
    other = feature_file(table, "r1-a-0", {str(tmp_path / "others" / "0.jpg"): 1})
    under = feature_file(table, "r0-b-0", {str(tmp_path / first / "Kiwi" / "0.jpg"): 1})
    table.commit("r", 0, [other, under])

    found = other_name(LocalStore(str(tmp_path / then)), dest)
    assert found == (str(tmp_path / first), str(tmp_path / "pics é"))
    said = found.warning(str(tmp_path / then))
    assert f"{tmp_path / then} and {tmp_path / first} are the same folder" in said
    for name in (first, "elsewhere"):
        assert other_name(LocalStore(str(tmp_path / name)), dest) is None


# A PCA that is kept, without Spark


def feature_file(table, name: str, vectors: dict[str, int], given=None) -> DataFile:
    """Write rows of four features drawn from a seed for each path, and commit nothing."""

    def drawn(seed):
        return np.random.default_rng(seed).normal(size=4).astype(np.float32)

    rows = [
        {
            "path": path,
            "label": "Kiwi",
            "version": str(seed),
            "bytes": 1,
            "model_id": MODEL_ID,
            "features": given[path] if given else drawn(seed),
            "run": name.partition("-")[0],
        }
        for path, seed in vectors.items()
    ]
    sink = pa.BufferOutputStream()
    with feature_writer(sink) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=FEATURES))
    data = sink.getvalue().to_pybytes()
    file = DataFile(f"status=ok/{name}.parquet", len(rows), len(data), {"status": "ok"})
    table.store.write(f"{table.folder}/{file.name}", data)
    return file


class Growing:
    """A features table that is changed as runs change it, and what it must hold."""

    def __init__(self, folder: Path) -> None:
        self.store, self.held, self.runs = LocalStore(str(folder)), {}, 0
        self.workers = WorkersHere(slots=2)
        self.table = features_table(self.store)
        self.table.create()

    def embed(self, vectors: dict[str, int], *, prune: tuple[str, ...] = ()) -> str:
        """One run's commits: new and changed rows, then those that are gone."""
        run, self.runs = f"r{self.runs:03d}", self.runs + 1
        if vectors:
            changed = vectors.keys() & self.held.keys()
            self._commit(run, 0, [feature_file(self.table, run, vectors)], changed)
        if prune:
            self._commit(run, 1, [], prune)
        self.held = {p: s for p, s in (self.held | vectors).items() if p not in prune}
        return run

    def embed_rows(self, run: str, rows: dict[str, list[float]]) -> None:
        """One run's commit of rows of these very features."""
        file = feature_file(self.table, run, dict.fromkeys(rows, 0), rows)
        self.table.commit(run, 0, [file])
        self.held |= dict.fromkeys(rows, 0)

    def _commit(self, run, number, files, dropped) -> None:
        drop = drop_paths(dropped, MODEL_ID)
        rows = (self.table, f"{run}-{number}-kept", drop)
        self.table.commit(run, number, files, removed=lambda: without_rows(*rows))

    def fit(self, run: str) -> None:
        rows = reduce.RowSelection(MODEL_ID)
        pca = PCA.fit(reduce.compute_moments(self.workers, self.store, rows, 4), n_components=2)
        reduce.project(self.workers, self.store, rows, pca, run)
        saved.save_model(self.store, pca, NETWORK, run)

    def kept(self) -> KeptPca:
        return load_kept(self.store, NETWORK, {}, "")

    def keep(self, run: str) -> KeptPca:
        kept = self.kept()
        incremental.extend(self.workers, self.store, kept, MODEL_ID, run)
        incremental.save_kept(self.store, kept, None, run)
        return kept

    def scores(self) -> dict[str, bytes]:
        rows = reduced(Path(self.store.url))
        assert rows.path.is_unique
        return {row.path: row.features_pca.tobytes() for row in rows.itertuples()}

    def projected(self, pca: PCA) -> dict[str, np.ndarray]:
        return {
            path: pca.transform(np.random.default_rng(seed).normal(size=(1, 4)).astype("f4"))[0]
            for path, seed in self.held.items()
        }


@pytest.fixture
def growing(tmp_path) -> Growing:
    """Six images, and the PCA fitted to them."""
    growing = Growing(tmp_path)
    growing.fit(growing.embed({path: seed for seed, path in enumerate("abcdef")}))
    return growing


def test_old_scores_stay_to_the_last_bit_and_new_ones_join_them(growing):
    before = growing.scores()
    kept = growing.keep(growing.embed({"b": 100, "g": 101}, prune=("c",)))
    after = growing.scores()
    assert after.keys() == set("abdefg")
    assert {path for path in after if after[path] != before.get(path)} == {"b", "g"}
    for path, expected in growing.projected(kept.pca).items():
        np.testing.assert_allclose(np.frombuffer(after[path], "f4"), expected, atol=1e-6)
    # people read the folder as it is
    assert sorted(pd.read_parquet(growing.store.url + "/reduced").path) == list("abdefg")


def test_the_description_says_since_when_it_is_kept_and_of_how_many_it_is(growing):
    first = growing.embed({"g": 101})
    growing.keep(first)
    second = growing.embed({"h": 102}, prune=("a", "b"))
    growing.keep(second)
    description = json.loads(growing.store.read("model/pca.json"))
    assert (description["run"], description["n_samples"]) == ("r000", 6)
    assert description["kept"] == {
        "since": first,
        "run": second,
        "rows": 6,
        "fitted_version": 1,
        "drift": None,
    }


def test_scores_far_beyond_those_fitted_are_counted_whenever_they_came(growing):
    growing.keep(growing.embed({"g": 101}))
    assert json.loads(growing.store.read("model/pca.json"))["beyond"]["rows"] == 0
    largest = max(np.abs(np.frombuffer(growing.scores()[path], "f4")).max() for path in "abcdef")
    growing.embed_rows("far", {"h": [1e3] * 4, "i": [-1e3, 1e3, 0, 0]})
    growing.keep("far")
    growing.keep(growing.embed({"j": 102}))  # and the next day they are still there
    beyond = json.loads(growing.store.read("model/pca.json"))["beyond"]
    assert beyond["rows"] == 2
    assert beyond["largest"] == pytest.approx(largest)
    assert beyond["farthest"] > 10 * largest


def test_without_a_largest_score_what_no_image_fitted_can_have_is_far(growing):
    kept = growing.kept()
    old = {name: kept.description[name] for name in kept.description if name != "largest_score"}
    found = incremental.far_beyond(growing.store, dataclasses.replace(kept, description=old))
    assert found.rows == 0
    assert found.largest >= kept.description["largest_score"]


def test_a_score_that_float32_cannot_hold_ends_the_run_and_names_an_image(growing):
    along = 3e38 * np.sign(growing.kept().pca.components_[0])
    growing.embed_rows("far", {"h": along.tolist()})
    with pytest.raises(RunError, match="Scores of 1 image, such as h, are too large for float32"):
        growing.keep("far")


@pytest.mark.parametrize("bit", range(0, 40_000, 997))
def test_a_damaged_pca_is_refused_by_all_who_read_it(growing, bit):
    arrays = bytearray(growing.store.read("model/pca.safetensors"))
    bit %= 8 * len(arrays)
    arrays[bit // 8] ^= 1 << bit % 8
    growing.store.write("model/pca.safetensors", bytes(arrays))
    with pytest.raises(DestinationError, match=r"damaged|do not belong together"):
        growing.kept()
    with pytest.raises(DestinationError, match=r"damaged|do not belong together") as error:
        saved.load_model(growing.store)
    assert "Restore that file" in error.value.remedy


def test_what_a_run_committed_before_it_died_is_reduced_by_the_next(growing):
    growing.embed({"b": 100, "g": 101})
    growing.embed({"g": 102}, prune=("b",))
    kept = growing.keep(growing.embed({"h": 103}))
    after = growing.scores()
    assert after.keys() == growing.held.keys()
    for path, expected in growing.projected(kept.pca).items():
        np.testing.assert_allclose(np.frombuffer(after[path], "f4"), expected, atol=1e-6)


def test_scores_of_a_pca_that_a_dying_run_did_not_save_are_replaced(growing):
    before = growing.scores()
    other = PCA.fit(Moments.of(np.random.default_rng(9).normal(size=(9, 4))), n_components=2)
    reduce.project(growing.workers, growing.store, reduce.RowSelection(MODEL_ID), other, "dying")
    assert growing.scores() != before
    growing.keep(growing.embed({"g": 101}))
    after = growing.scores()
    for path, scores in before.items():
        old, new = np.frombuffer(scores, "f4"), np.frombuffer(after[path], "f4")
        np.testing.assert_allclose(new, old, atol=1e-6)


def test_where_the_log_has_forgotten_what_was_reduced_all_is_projected_again(growing):
    for number in range(1, 4):
        growing.embed({"g": 100 + number})
    DeltaTable(growing.store.table("features")[0]).create_checkpoint()
    for file in sorted(Path(growing.store.url, "features", "_delta_log").glob("*.json"))[:-1]:
        file.unlink()
    kept = growing.kept()
    assert changed_since(growing.table, 1, MODEL_ID) is None
    growing.keep(growing.embed({"h": 104}))
    assert growing.scores().keys() == growing.held.keys()
    assert incremental.measure_drift(growing.workers, growing.store, kept, MODEL_ID) is None


def test_drift_is_of_all_that_came_since_the_fit(growing):
    growing.keep(growing.embed({"g": 101, "h": 102}))
    growing.keep(growing.embed({"i": 103, "a": 104}, prune=("b",)))
    found = incremental.measure_drift(growing.workers, growing.store, growing.kept(), MODEL_ID)
    assert found is not None
    assert found.rows == 4
    came = [np.random.default_rng(seed).normal(size=4).astype("f4") for seed in range(101, 105)]
    expected = drift(growing.kept().pca, Moments.of(np.array(came)))
    assert found.shift == pytest.approx(expected.shift)


def account(growing) -> tuple[SimpleNamespace, RunRecord]:
    config = SimpleNamespace(keep_pca=True, reduce=True)
    job = SimpleNamespace(config=config, destination=growing.store, model_id=MODEL_ID)
    return job, RunRecord("later", {}, network=NETWORK)


def test_the_warning_of_a_drift_stands_as_long_as_the_result_does(growing):
    new = growing.embed({"g": 101, "h": 102})
    kept = growing.kept()
    found = incremental.measure_drift(growing.workers, growing.store, kept, MODEL_ID)
    far = dataclasses.replace(found, shift=99.0)
    incremental.extend(growing.workers, growing.store, kept, MODEL_ID, new)
    incremental.save_kept(growing.store, kept, far.description(), new)
    growing.store.write("csv/reduced.csv", b"path,label,pc_1,pc_2")

    job, record = account(growing)
    assert Reduction(job, record, Progress(), growing.kept()).standing() is not None
    assert record.warnings == [far.warning]
    assert record.drift == far.description()


def test_a_drift_that_is_not_measured_is_said_to_be_so_and_why(growing):
    said: list[str] = []
    progress = SimpleNamespace(say=said.append, warn=said.append)
    job, record = account(growing)
    Reduction(job, record, progress, growing.kept()).tell_drift(None)
    assert said == ["drift: there is no image that the PCA was not fitted to"]
    assert record.warnings == []

    growing.embed({"g": 101})
    expunge(growing.table)
    Reduction(job, record, progress, growing.kept()).tell_drift(None)
    assert "can be measured no more" in record.warnings[0]
    assert said[1:] == record.warnings


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"keep_pca": True}, "Give --model embedded, or choose another destination."),
        ({"pca_from": "elsewhere"}, "Choose another output."),
        ({}, "or give --replace-model to compute"),
    ],
)
def test_a_model_of_another_name_is_refused_before_its_weights_are_fetched(
    growing, tmp_path_factory, monkeypatch, options, remedy
):
    source = tmp_path_factory.mktemp("source")
    (source / "0.jpg").write_bytes(picture(0))
    held = {**NETWORK, "contract": "fp32", "fingerprint": "f", "weights_sha256": "w"}
    growing.store.write("model/network.json", json.dumps(held).encode())
    monkeypatch.setattr("featuremill.models.registry.load", lambda *_: pytest.fail("loaded"))
    config = RunConfig(str(source), growing.store.url, model="mobilenetv2", **options)
    with pytest.raises(DestinationError, match="of embedded, not of mobilenetv2") as refused:
        prepare(config, Progress())
    assert remedy in refused.value.remedy


steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abcdefgh"), st.integers(100, 999), max_size=4),
        st.sets(st.sampled_from("abcdefgh"), max_size=2),
        st.booleans(),
    ),
    max_size=5,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_whatever_happens_the_reduced_table_is_that_of_the_features(steps, tmp_path_factory):
    growing = Growing(tmp_path_factory.mktemp("growing"))
    growing.fit(growing.embed({path: seed for seed, path in enumerate("abcdef")}))
    for vectors, gone, finishes in steps:
        before = growing.scores()
        prune = tuple(gone & (growing.held | vectors).keys())
        run = growing.embed(vectors, prune=prune)
        if finishes:
            kept = growing.keep(run)
            after = growing.scores()
            assert after.keys() == growing.held.keys()
            for path, expected in growing.projected(kept.pca).items():
                np.testing.assert_allclose(np.frombuffer(after[path], "f4"), expected, atol=1e-6)
            untouched = {path for path, seed in growing.held.items() if seed < 100}
            assert all(after[path] == before[path] for path in untouched)


# What --keep-pca refuses


def test_there_must_be_a_pca_to_keep(tmp_path):
    with pytest.raises(DestinationError, match="holds no fitted PCA") as refused:
        load_kept(LocalStore(str(tmp_path)), NETWORK, {}, "Fit one.")
    assert refused.value.remedy == "Fit one."


@pytest.mark.parametrize(
    ("network", "wanted", "said"),
    [
        ({**NETWORK, "model_id": "feed"}, {}, "of embedded .model 0123456789abcdef., this run"),
        ({**NETWORK, "n_features": 5}, {}, "fitted to 4 features"),
        (NETWORK, {"n_components_requested": 3}, "fitted with --components 2, this run is with"),
        (NETWORK, {"variance_requested": 0.9}, "fitted without --variance, this run is with"),
        (NETWORK, {"standardize": False}, "fitted without --no-standardize, this run is with"),
    ],
)
def test_a_pca_of_another_model_or_of_other_options_is_not_kept(growing, network, wanted, said):
    with pytest.raises(DestinationError, match=said):
        load_kept(growing.store, network, wanted, "")


@pytest.mark.parametrize("damage", [b"{", b'{"sha256": "of others"}'])
def test_a_pca_whose_files_do_not_belong_together_is_not_kept(growing, damage):
    growing.store.write("model/pca.json", damage)
    with pytest.raises(DestinationError, match=r"damaged|do not belong together"):
        growing.kept()


@pytest.mark.parametrize(
    "other", [{"reduce": False}, {"replace_model": True}, {"pca_from": "elsewhere"}]
)
def test_options_that_contradict_each_other_are_refused(other):
    with pytest.raises(ConfigError, match="contradict"):
        RunConfig("src", "dest", keep_pca=True, **other)


# Whole runs


def picture(number: int) -> bytes:
    return encode(draw(number % 8, number, SynthConfig(classes=8, per_class=9, seed=9)), "jpeg")


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self, said: list[str]) -> None:
        self.say = said.append


def paths_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


@pytest.fixture(scope="module")
def grown(spark, tmp_path_factory) -> SimpleNamespace:
    """A folder that changed in every way between two runs; the second one prunes and keeps."""
    folder = tmp_path_factory.mktemp("grown")
    source, dest = folder / "pictures", folder / "results"
    write(source, SynthConfig(classes=2, per_class=5, seed=2), workers=1)
    gone, changed, spoilt, repaired = (Path(path) for path in paths_in(source)[:4])
    good = repaired.read_bytes()
    repaired.write_bytes(BAD)
    options = {"max_rejects": ANYTHING, "n_components": 4}
    first = run(offline(source, dest, **options), spark=spark)
    before = reduced(dest)

    gone.unlink()
    changed.write_bytes(picture(1))
    spoilt.write_bytes(BAD)
    repaired.write_bytes(good)
    added = source / "Late" / "one.jpg"
    added.parent.mkdir()
    added.write_bytes(picture(2))
    second = run(
        offline(source, dest, max_rejects=ANYTHING, prune=True, keep_pca=True), spark=spark
    )
    return SimpleNamespace(
        source=source,
        dest=dest,
        first=first,
        second=second,
        before=before.set_index("path").features_pca,
        gone=str(gone),
        new={str(path) for path in (changed, repaired, added)},
        spoilt=str(spoilt),
    )


@pytest.mark.spark35
def test_after_all_changes_the_features_are_those_of_one_run_on_the_folder_as_it_is(
    spark, grown, tmp_path
):
    run(offline(grown.source, tmp_path / "fresh", max_rejects=ANYTHING, reduce=False), spark=spark)
    once, grew = features(tmp_path / "fresh"), features(grown.dest)
    assert grew.path.tolist() == paths_in(grown.source)
    same = ["path", "label", "version", "bytes", "width", "height", "model_id", "status", "stage"]
    pd.testing.assert_frame_equal(grew[same], once[same])
    good = grew.status == "ok"
    assert grew.path[~good].tolist() == [grown.spoilt]
    np.testing.assert_allclose(
        np.stack(grew.features[good]), np.stack(once.features[good]), atol=1e-5
    )


def test_the_ledger_tells_what_was_pruned_and_how_far_the_new_images_are(grown):
    record, ledger = grown.second.record, grown.second.record.ledger
    assert (ledger.listed, ledger.already_done, ledger.embedded, ledger.rejected) == (10, 6, 3, 1)
    assert (record.pruned, record.not_listed) == (1, 0)
    assert record.drift["rows"] == 3
    assert record.drift["noise"] == pytest.approx(np.sqrt(1 / 3 + 1 / 9))
    assert record.pca["run"] == grown.first.record.run
    assert record.pca["kept"]["since"] == record.run
    assert (record.pca["n_samples"], record.pca["kept"]["rows"]) == (9, 9)


def test_scores_of_old_images_stay_and_new_ones_are_projected(grown):
    rows = reduced(grown.dest).set_index("path").features_pca
    assert set(rows.index) == set(paths_in(grown.source)) - {grown.spoilt}
    for path in set(rows.index) - grown.new:
        np.testing.assert_array_equal(rows[path], grown.before[path])
    vectors = features(grown.dest).set_index("path").features
    for path in grown.new:
        expected = grown.first.pca.transform(vectors[path][np.newaxis])[0]
        np.testing.assert_allclose(rows[path], expected, atol=1e-5)


def test_every_output_is_without_the_image_that_is_gone(grown):
    csv = pd.read_csv(grown.dest / "csv" / "reduced.csv")
    assert sorted(csv.path) == reduced(grown.dest).path.tolist()
    assert pd.read_csv(grown.dest / "rejects.csv").path.tolist() == [grown.spoilt]
    assert Path(grown.gone).name not in (grown.dest / "report.html").read_text()
    result = featuremill.check(CheckConfig(str(grown.dest), source=str(grown.source)))
    assert result.failed == ()


def test_where_nothing_has_changed_a_kept_pca_needs_no_spark(grown, tmp_path, monkeypatch):
    dest = tmp_path / "results"
    shutil.copytree(grown.dest, dest)
    started = "featuremill.workers.spark.spark_workers"
    monkeypatch.setattr(started, lambda *_: pytest.fail("Spark was started"))
    other = OtherName("/link", "/pictures")
    monkeypatch.setattr("featuremill.workflows.run.pipeline.other_name", lambda *_: other)
    config = offline(grown.source, dest, prune=True, keep_pca=True, max_rejects=ANYTHING)
    record = run(config).record
    assert other.warning(str(grown.source)) in record.warnings
    assert record.pca == grown.second.record.pca
    assert record.drift == grown.second.record.drift


def test_without_keep_pca_it_is_fitted_to_all_again(spark, grown, tmp_path):
    dest = tmp_path / "results"
    shutil.copytree(grown.dest, dest)
    config = offline(grown.source, dest, n_components=4, max_rejects=ANYTHING)
    record = run(config, spark=spark).record
    assert record.pca["run"] == record.run
    assert "kept" not in record.pca
    assert (record.pca["n_samples"], record.drift) == (9, None)


def test_rows_are_pruned_within_the_source_and_the_selection_only(spark, tmp_path):
    one, other, dest = tmp_path / "fruits", tmp_path / "fruits-too", tmp_path / "results"
    for number, folder in enumerate((one / "Apple", one / "Pear", other / "Apple", one / "disk")):
        folder.mkdir(parents=True)
        for image in range(2):
            (folder / f"{image}.jpg").write_bytes(picture(2 * number + image))
    shutil.move(one / "disk", tmp_path / "disk")
    (one / "disk").symlink_to(tmp_path / "disk")
    for source in (other, one):
        run(offline(source, dest, reduce=False), spark=spark)
    for folder in (one / "Apple", one / "Pear", other / "Apple"):
        (folder / "0.jpg").unlink()
    shutil.move(tmp_path / "disk", tmp_path / "elsewhere")

    def left(**options) -> set[str]:
        config = offline(one, dest, reduce=False, max_rejects=ANYTHING, **options)
        record = run(config, spark=spark, progress=Heard(said)).record
        rows = features(dest)
        kept.append((record.pruned, record.not_listed))
        return {str(Path(path).relative_to(tmp_path)) for path in rows.path[rows.status == "ok"]}

    kept: list[tuple[int, int]] = []
    said: list[str] = []
    everything = left()
    assert len(everything) == 8
    assert left(prune=True, classes=("Pear",)) == everything - {"fruits/Pear/0.jpg"}
    assert left(prune=True) == everything - {"fruits/Pear/0.jpg", "fruits/Apple/0.jpg"}
    # rows of the other source, of the disk that is away, and once of what was not selected
    assert kept == [(0, 6), (1, 7), (1, 4)]
    of_others = "rows that stay, of other sources or of images not selected: {}"
    assert [text for text in said if "stay" in text] == [
        f"2 images of earlier runs are gone from {one};"
        " their rows stay in every table, unless --prune is given",
        *map(of_others.format, (4, 7, 4)),
    ]


def test_a_listing_that_fails_prunes_nothing_and_an_empty_source_is_refused(
    grown, tmp_path, monkeypatch
):
    dest = tmp_path / "results"
    shutil.copytree(grown.dest, dest)
    before = features(dest)
    complete = LocalStore.list

    def breaks(store: LocalStore) -> Iterator[Listed]:
        yield next(iter(complete(store)))
        raise SourceError("the source went away", "Bring it back.")

    config = offline(grown.source, dest, prune=True, max_rejects=ANYTHING)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "list", breaks)
        with pytest.raises(SourceError, match="went away"):
            run(config)
    pd.testing.assert_frame_equal(features(dest), before)

    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="holds no image"):
        run(offline(empty, dest, prune=True))
    pd.testing.assert_frame_equal(features(dest), before)


# Another folder


@pytest.mark.spark35
def test_other_images_are_brought_onto_the_components_of_a_run(spark, grown, tmp_path):
    source, dest, out = (tmp_path / name for name in ("others", "results", "out"))
    write(source, SynthConfig(classes=1, per_class=4, seed=5), workers=1)
    shutil.copytree(grown.dest, dest)
    (source / "erased.jpg").write_bytes(picture(4))
    erased = Forgotten().adding([str(source / "erased.jpg")])
    (dest / FORGOTTEN).write_bytes(erased.to_bytes())
    before = everything_in(dest)
    arguments = ["transform", str(source), str(dest), "-o", str(out)]

    done = CliRunner().invoke(main, arguments, obj=spark)
    assert done.exit_code == 0, done.output
    assert "drift " in done.stdout
    (source / "late.jpg").write_bytes(picture(3))
    again = featuremill.transform(source, dest, out, spark=spark)

    assert everything_in(dest) == before
    # what the one whose PCA is used was made to forget is not embedded here either
    assert again.record.skipped == {"forgotten": 1}
    assert (again.record.ledger.already_done, again.record.ledger.embedded) == (4, 1)
    assert again.record.drift["rows"] == 5
    assert again.record.pca["kept"]["from"] == str(dest)
    rows, vectors = reduced(out), features(out)
    left = [path for path in paths_in(source) if not path.endswith("/erased.jpg")]
    assert rows.path.tolist() == vectors.path.tolist() == left
    np.testing.assert_allclose(
        np.stack(rows.features_pca),
        grown.first.pca.transform(np.stack(vectors.features)),
        atol=1e-5,
    )
    assert featuremill.check(CheckConfig(str(out), source=str(source))).failed == ()


def test_a_transform_is_refused_where_there_is_nothing_to_transform_by(grown, tmp_path):
    with pytest.raises(DestinationError, match="holds no result"):
        featuremill.transform(grown.source, tmp_path / "nothing", tmp_path / "out")
    for output in (grown.dest, grown.dest / "below"):
        with pytest.raises(DestinationError, match="is, or lies in"):
            featuremill.transform(grown.source, grown.dest, output)
    fitted = tmp_path / "fitted"
    shutil.copytree(grown.dest, fitted)
    with pytest.raises(DestinationError, match="fitted to its own images"):
        featuremill.transform(grown.source, grown.dest, fitted)
    with pytest.raises(ConfigError, match="n_components cannot be chosen"):
        featuremill.transform(grown.source, grown.dest, tmp_path / "out", n_components=3)
    assert not (tmp_path / "out").exists()
