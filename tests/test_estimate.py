"""What a whole run would take: the arithmetic, and estimates beside the runs they speak of."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from featuremill import RunConfig, estimate, run
from featuremill.cli import main
from featuremill.errors import ConfigError, SourceError
from featuremill.storage.listing import Reference
from featuremill.workflows.estimate.extrapolate import Growth, Measurement, largest_task
from featuremill.workflows.estimate.measure import choose
from outputs import MODEL, everything_in, offline

pytestmark = pytest.mark.slow

OFFLINE = ("--model", MODEL, "--precision", "fp32")


def measurement(**changed: object) -> Measurement:
    """A sample whose images take 10 ms and 5 kB each, on two slots."""
    measured = Measurement(
        start=6.0,
        listing=1.0,
        stages={
            "features": Growth(32, 4.0, 0.01),
            "reduce": Growth(32, 1.0, 1e-4),
            "write": Growth(32, 0.5, 1e-4),
        },
        outputs={
            "features": Growth(1_000, 5e6, 5e3),
            "report": Growth(1_000, 6e6, 100.0, most=20_000),
        },
        peak_bytes=10**9,
        reducing_bytes=10**8,
        reference_bytes=100.0,
        task_rows=16,
        slots=2,
    )
    return dataclasses.replace(measured, **changed)


def config(source: Path, **options) -> RunConfig:
    return offline(source, Path("nowhere"), **options)


def estimated(*arguments: str | Path) -> Result:
    """What the command prints, and how it ends, in this process."""
    return CliRunner().invoke(main, ["estimate", *map(str, arguments)])


# The arithmetic


def test_twice_the_images_take_twice_the_time_per_image_and_start_once():
    once, twice = measurement().seconds(10_000), measurement().seconds(20_000)
    assert once["start"] == twice["start"] == 6.0
    assert twice["features"] - once["features"] == pytest.approx(10_000 * 0.01)
    assert twice["reduce"] - once["reduce"] == pytest.approx(10_000 * 1e-4)
    parts = ("start", "features", "reduce", "write")
    assert twice["total"] == pytest.approx(sum(twice[part] for part in parts))


def test_listing_counts_only_where_it_takes_longer_than_what_goes_on_meanwhile():
    quick, slow = measurement(listing=100.0), measurement(listing=1_000.0)
    assert quick.seconds(10_000)["total"] == measurement().seconds(10_000)["total"]
    seconds = slow.seconds(10_000)
    assert seconds["total"] == pytest.approx(1_000 + seconds["reduce"] + seconds["write"])


def test_a_report_shows_no_more_points_than_it_can():
    few, many = measurement().output_bytes(20_000), measurement().output_bytes(1_000_000)
    assert few["report"] == many["report"] == 6_000_000 + 19_000 * 100
    assert many["features"] == 5_000_000_000
    assert many["total"] == many["features"] + many["report"]


def test_memory_grows_with_the_tasks_until_they_are_as_large_as_they_get():
    small, large, huge = (
        measurement(reducing_bytes=0, reference_bytes=0.0).memory_bytes(images)
        for images in (100, 100_000, 10_000_000)
    )
    assert 10**9 <= small < large == huge


def test_the_larger_of_two_growths_is_what_memory_must_hold():
    assert measurement(reducing_bytes=5 * 10**8).memory_bytes(1_000) == 15 * 10**8


def test_tasks_grow_to_their_share_of_a_minute():
    assert largest_task(64, 0.01, slots=2) == 16
    assert largest_task(1_000_000, 0.01, slots=2) == 60 * 100 / 8


def test_a_line_goes_through_both_measurements_and_never_falls():
    assert Growth.through((100, 7.0), (300, 9.0)).at(200) == pytest.approx(8.0)
    assert Growth.through((100, 7.0), (300, 6.0)).at(1_000) == 7.0
    assert Growth.through((100, 7.0), (100, 7.0)).at(1_000) == 7.0


# The sample


def references(count: int) -> list[Reference]:
    return [Reference(f"/{number:05d}.jpg", "fruit", "1", 10) for number in range(count)]


def test_a_sample_is_in_order_the_same_each_time_and_spread_over_the_source():
    everything = references(10_000)
    chosen, size = choose(everything, 1_000)
    assert chosen == choose(everything, 1_000)[0]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 1_000
    assert size == 100_000
    in_first_half = sum(reference < everything[5_000] for reference in chosen)
    assert 430 < in_first_half < 570


def test_a_sample_larger_than_the_source_is_the_source():
    assert choose(references(3), 10) == (references(3), 30)


# Estimates of real runs


@pytest.mark.long
def test_an_estimate_knows_what_the_run_will_count_and_write(spark, pictures, tmp_path):
    (tmp_path / "tmp").mkdir()
    before = everything_in(pictures)

    predicted = estimate(config(pictures), sample=20, spark=spark)

    assert everything_in(pictures) == before
    assert not Path("nowhere").exists()
    assert (predicted.images, predicted.classes, predicted.sample) == (60, 4, 20)
    assert predicted.image_bytes == sum(path.stat().st_size for path in pictures.rglob("*.jpg"))
    assert predicted.rejected == predicted.skipped == 0
    assert predicted.precision == "fp32"
    assert predicted.images_per_second > 0
    assert predicted.peak_bytes > 10**8
    seconds = predicted.seconds
    assert all(spent >= 0 for spent in seconds.values())
    assert seconds["total"] >= seconds["start"] + seconds["features"]

    actual = tmp_path / "actual"
    run(offline(pictures, actual), spark=spark)
    for name, entry in {"features": "features", "csv": "csv", "report": "report.html"}.items():
        found = actual / entry
        size = sum(path.stat().st_size for path in [found, *found.rglob("*")] if path.is_file())
        assert predicted.output_bytes[name] == pytest.approx(size, rel=0.2), name


@pytest.mark.long
def test_an_estimate_leaves_nothing_behind(spark, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    estimate(config(pictures, reduce=False), sample=10, spark=spark)
    assert list(tmp_path.glob("featuremill*")) == []


def test_only_what_is_selected_is_estimated(spark, pictures):
    label = min(folder.name for folder in pictures.iterdir())
    predicted = estimate(config(pictures, classes=(label,), reduce=False), sample=5, spark=spark)
    assert (predicted.images, predicted.classes, predicted.skipped) == (15, 1, 45)
    assert predicted.output_bytes["reduced"] == predicted.output_bytes["csv"] == 0


def test_rejected_images_of_the_sample_are_told_with_what_would_come_of_them(spark, tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(b"no image")
    predicted = estimate(config(tmp_path), sample=4, spark=spark)
    assert predicted.rejected == 4
    assert "4 of 4 sampled images were rejected, --max-rejects is 5%" in predicted.warnings[-1]


# The command


@pytest.mark.long
def test_the_command_prints_json_for_programs(spark, pictures):
    ended = estimated(pictures, *OFFLINE, "--sample", "60", "--json")
    assert ended.exit_code == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["images"] == answer["sample"] == 60
    assert answer["seconds"].keys() == {"start", "list", "features", "reduce", "write", "total"}
    assert answer["output_bytes"]["total"] > answer["output_bytes"]["features"] > 60 * 1280 * 4


def test_the_command_prints_a_table_for_people(spark, pictures):
    ended = estimated(pictures, *OFFLINE, "--sample", "60", "--no-reduce")
    assert ended.exit_code == 0, ended.stderr
    said = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert said.keys() == {"source", "sample", "time", "speed", "memory", "output"}
    assert said["source"].startswith("60 images in 4 classes, ")
    assert said["sample"] == "60 images, which is all, 0 rejected, precision fp32"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--sample", "0"], "--sample is 0"),
        (["--sample", "61"], "holds 60 images, fewer than the sample of 61: nothing was run"),
        (["--components", "1281"], "--components is 1281"),
        (["--include", "*.png"], "holds no image"),
        (["--master", "yarn"], "--master is yarn"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_estimated_is_refused(pictures, options, problem):
    refused = estimated(pictures, *OFFLINE, *options)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert problem in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_library_refuses_what_a_run_refuses(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        estimate(config(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="--sample is -1"):
        estimate(config(tmp_path), sample=-1)
