"""`cloud estimate`: the arithmetic by hand, what must always hold, and where a speed comes from."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featuremill.cloud.aws.client import Aws
from featuremill.cloud.jobs.fleets import Machines
from featuremill.cloud.jobs.job import Job
from featuremill.cloud.jobs.serverless import JobLimits
from featuremill.cloud.pricing import estimate as estimating
from featuremill.cloud.pricing import prices, probe, throughput
from featuremill.cloud.pricing.bill import (
    MONTH,
    UPLOAD,
    Bill,
    Currency,
    cluster_bill,
    hours,
    requests_of_run,
    serverless_bill,
    total,
)
from featuremill.cloud.pricing.estimate import Question, estimate
from featuremill.cloud.pricing.throughput import Throughput
from featuremill.cloud.stack import project_file as places
from featuremill.cloud.stack.project_file import Place
from featuremill.config import RunConfig
from featuremill.dataset.lock import hold
from featuremill.dataset.tables import DataFile, features_table
from featuremill.errors import CloudError, ConfigError
from featuremill.storage import open_store
from featuremill.workflows.estimate import measure
from featuremill.workflows.estimate.measure import Estimate
from tests.cloud.answers import counting
from tests.cloud.stack import (
    BUCKET,
    deployed,
    described,
    dry_run,
    featuremill,
    folder,
    put,
    recording,
)

__all__ = ["folder"]


@pytest.fixture(autouse=True)
def no_prices_asked_for_earlier(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path_factory.mktemp("cache")))


def bill(
    images: int = 1_000_000, per_vcpu: float = 50.0, *, max_vcpu: int = 16, **options: Any
) -> Bill:
    """The bill of a Serverless run in Ireland."""
    known = prices.load(options.pop("region", "eu-west-1"))
    architecture = options.pop("architecture", "x86_64")
    speed = throughput.given(per_vcpu)
    return serverless_bill(images, speed, known, architecture, max_vcpu, **options)


def amounts(bill: Bill) -> dict[str, Decimal]:
    return {line.what: line.usd for line in bill.lines}


# By hand


def test_a_million_images_on_16_vcpu() -> None:
    found = bill()
    # 16 vCPU: a driver of 2, 7 executors of 2, so 14 slots; 14 x 50 images/s
    assert found.slots == 14
    # 40 s archive + 20 s start + 1,000,000 / 700 = 1,428.6 s + 1,000,000 x 0.00016 = 160 s,
    # rounded up
    assert found.seconds == 1_649
    # 16 x 1,649 / 3,600 = 7.32888..., up to a millionth
    assert found.vcpu_hours == Decimal("7.328889")
    # 7.328889 x 0.052624
    assert amounts(found)["EMR Serverless vCPU"] == Decimal("0.385675454736")
    # a driver of 6 GB and 7 executors of 5: 41 x 1,649 / 3,600 = 18.780278 x 0.0057785
    assert amounts(found)["EMR Serverless memory"] == Decimal("0.108521836423")


def test_requests_and_storage_of_a_million_images() -> None:
    found = bill(image_bytes=2**31)
    # one PUT an image: 1,000 thousands x 0.005
    assert found.usd(UPLOAD) == Decimal("5")
    # 6,000 bytes an image: 6 x 10^9 / 2^30 = 5.587936 GB, and 2 GB of images, x 0.023
    assert amounts(found)["S3 storage of the results"] == Decimal("0.128522528")
    assert amounts(found)["S3 storage of the images"] == Decimal("0.046")
    assert found.usd(MONTH) == Decimal("0.174522528")
    # one GET an image at least: 1,000 thousands x 0.0004
    assert Decimal("0.4") < amounts(found)["S3 GET of the run"] < Decimal("0.41")


def test_arm64_costs_four_fifths_for_the_same_hours() -> None:
    x86, arm = amounts(bill()), amounts(bill(architecture="arm64"))
    for what in ("EMR Serverless vCPU", "EMR Serverless memory"):
        assert arm[what] == x86[what] * Decimal("0.8")


def test_a_worker_is_billed_for_a_minute_at_least() -> None:
    quick = Throughput(100.0, "test", start_seconds=0.0, after_each=0.0)
    known = prices.load("eu-west-1")
    # 40 s archive + 1 image
    assert serverless_bill(1, quick, known, "x86_64", 16).seconds == 60
    # 40 s + 42,000 / (14 x 100) = 30 s
    assert serverless_bill(42_000, quick, known, "x86_64", 16).seconds == 70


def test_a_million_images_on_a_cluster() -> None:
    speed = throughput.given(50.0)
    found = cluster_bill(1_000_000, speed, prices.load("eu-west-1"), Machines("x86_64"))
    # 4 nodes of 4 vCPU: 16 slots; 480 s ready + 60 s + 1,000,000 / 800 = 1,250 s + 160 s
    assert (found.slots, found.seconds) == (16, 1_950)
    # 5 nodes x 1,950 / 3,600 = 2.708334 hours, up to a millionth
    expected = {
        "EC2 m5.xlarge on demand": Decimal("2.708334") * Decimal("0.214"),
        "EMR on m5.xlarge": Decimal("2.708334") * Decimal("0.048"),
        "public IPv4 addresses": Decimal("2.708334") * Decimal("0.005"),
    }
    assert expected.items() <= amounts(found).items()
    assert found.vcpu_hours == hours(1_950, 20)
    assert "Spot" in found.not_counted[0]


def test_a_cluster_whose_surcharge_no_source_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"both EC2's and EMR's price of m7g\.xlarge") as no:
        cluster_bill(1, throughput.given(1.0), prices.load("eu-west-1"), Machines("arm64"))
    assert "--refresh-prices" in no.value.remedy


# What always holds


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(0.1, 1_000), st.integers(3, 400))
@settings(max_examples=50, deadline=None)
def test_more_images_never_cost_less(
    some: int, others: int, per_vcpu: float, max_vcpu: int
) -> None:
    fewer, more = (bill(images, per_vcpu, max_vcpu=max_vcpu) for images in sorted((some, others)))
    assert fewer.seconds <= more.seconds
    for before, after in zip(fewer.lines, more.lines, strict=True):
        assert 0 <= before.usd <= after.usd, before.what
    assert fewer.usd() <= more.usd()


AMOUNTS = st.decimals(0, 10**9, places=12)
RATES = st.decimals(Decimal("0.0001"), 10_000, places=6)


@given(st.lists(AMOUNTS, max_size=20), RATES)
def test_a_sum_converted_is_the_sum_of_what_was_converted(
    usd: list[Decimal], rate: Decimal
) -> None:
    euros = Currency("EUR", rate, "2026-11-21")
    assert euros.of(total(usd)) == total(map(euros.of, usd))


@given(AMOUNTS, RATES)
def test_a_conversion_is_exact(usd: Decimal, rate: Decimal) -> None:
    converted = Currency("EUR", rate, "2026-11-21").of(usd)
    assert Fraction(converted) == Fraction(usd) * Fraction(rate)


@given(st.integers(1, 10**9), RATES)
@settings(max_examples=50, deadline=None)
def test_a_bill_is_the_sum_of_its_lines_in_any_currency(images: int, rate: Decimal) -> None:
    found, euros = bill(images), Currency("EUR", rate, "2026-11-21")
    converted = total(euros.of(line.usd) for line in found.lines if line.when == "run")
    assert converted == euros.of(found.usd())


@pytest.mark.parametrize(
    ("usd", "text"), [("1234.567", "1,234.57 USD"), ("0.01234", "0.0123 USD"), ("0", "0.00 USD")]
)
def test_amounts_are_rounded_only_where_they_are_shown(usd: str, text: str) -> None:
    assert Currency().shown(Decimal(usd)) == text


# Requests, counted at a server


@pytest.mark.slow
def test_commits_ask_what_is_reckoned(aws: Aws, endpoint: str) -> None:
    deployed(aws)
    with counting(endpoint) as (counted, came):
        store = open_store(f"s3://{BUCKET}/results/x", endpoint_url=counted, region="eu-west-1")
        table = features_table(store)
        table.create()
        with hold(store, "r"):
            for version in range(3):
                names = [f"status=ok/r-{version}-{number}.parquet" for number in range(4)]
                for name in names:
                    store.write(f"features/{name}", b"rows")
                files = [DataFile(name, 1, 4, {"status": "ok"}) for name in names]
                came.clear()
                table.commit("r", version, files)
                puts, gets = came["PUT"] + came["LIST"], came["GET"] + came["HEAD"]
                # of Delta's log 3 times what has not been summed up
                assert (puts, gets) == (5, 4 + 8 + 3 * version)


def test_every_image_is_asked_for_once_and_the_rest_hardly_counts() -> None:
    puts, gets = requests_of_run(1_000_000, slots=14, images_per_second=700.0, workers=8)
    assert 1_000_000 < gets < 1_050_000
    # 1,000 lists, and some thousand files
    assert 1_000 < puts < 5_000


def test_a_slow_run_commits_more_often_and_so_asks_for_more() -> None:
    # 24 and 833 minutes of work, and as many commits
    fast, slow = (requests_of_run(1_000_000, 2, speed, 2) for speed in (700.0, 20.0))
    assert slow[1] - 1_000_000 > 10 * (fast[1] - 1_000_000)


# Where a speed comes from


def found_here(**changed: Any) -> Estimate:
    """What `featuremill estimate` found on this machine."""
    facts: dict[str, Any] = {
        "images": 20_000,
        "classes": 10,
        "skipped": 0,
        "image_bytes": 60_000_000,
        "sample": 1_000,
        "rejected": 0,
        "precision": "mixed",
        "seconds": {"start": 10.0, "list": 1.0, "features": 54.0, "reduce": 3.0, "write": 1.0},
        "images_per_second": 370.0,
        "peak_bytes": 2 * 10**9,
        "output_bytes": {"features": 103_000_000, "total": 129_000_000},
        "after_each": 0.0002,
        "output_each": 6_400.0,
    }
    return Estimate(**{**facts, **changed})


def test_a_vcpu_is_taken_for_half_a_core_and_that_is_said() -> None:
    share = throughput.vcpu_share("x86_64", threads_per_core=1.0)
    speed = throughput.measured(found_here(), 2, share, "x86_64", "of photos")
    # 370 / 2 cores x 0.5
    assert speed.per_vcpu == 92.5
    assert speed.origin.startswith("measured here on 1,000 images of photos: 370.0 images/s by 2")
    assert "a vCPU of x86_64 is a hyperthread and does 0.5 of" in speed.assumptions[0]
    # (3 + 1) s of 20,000 images
    assert speed.after_each == pytest.approx(0.0002)
    assert speed.start_seconds == 10.0


def test_what_a_sample_pays_once_does_not_grow_with_the_images() -> None:
    # of 8 s for the PCA and the outputs of 1,000 drawn pictures, 0.2 s come from the pictures
    few = found_here(images=1_000, seconds={"start": 10.0, "reduce": 5.0, "write": 3.0})
    speed = throughput.measured(few, 2, 0.5, "x86_64", "drawn for it")
    assert speed.start_seconds == pytest.approx(17.8)
    # 40 s archive + 17.8 s + 1,000,000 / (14 x 92.5) = 772.2 s + 200 s
    assert speed.seconds(1_000_000, 14) == pytest.approx(1_030.0, abs=0.1)
    assert speed.output_bytes == 6_400


@pytest.mark.parametrize(
    ("architecture", "threads_per_core", "share"),
    [("x86_64", 1.0, 0.5), ("x86_64", 2.0, 1.0), ("arm64", 1.0, 1.0)],
)
def test_what_a_vcpu_does_depends_on_what_a_core_is(
    architecture: str, threads_per_core: float, share: float
) -> None:
    assert throughput.vcpu_share(architecture, threads_per_core) == share


def test_a_sample_of_which_nothing_could_be_embedded_tells_no_speed() -> None:
    with pytest.raises(CloudError, match="not one of 1,000 sampled images"):
        throughput.measured(found_here(rejected=1_000), 2, 0.5, "x86_64", "of photos")


def record(**changed: Any) -> dict[str, Any]:
    """What a run leaves in runs/<id>.json, as far as it matters here."""
    facts: dict[str, Any] = {
        "run": "20261121T120000000Z-abcdef",
        "ledger": {"embedded": 4_900, "rejected": 100},
        "worker_seconds": 100.0,
        "images_per_second": 500.0,
        "seconds": {"extract": 25.0, "reduce": 3.0, "write": 2.0},
    }
    return {**facts, **changed}


def test_the_last_run_tells_its_tasks_own_speed() -> None:
    speed = throughput.of_record(record(), "the last run on AWS")
    # 5,000 images in 100 seconds of tasks
    assert speed.per_vcpu == 50.0
    # 25 s, of which 5,000 / 500 = 10 s of embedding, and 3 + 2 s for PCA and outputs, of which
    # 5,000 images take no more than usual: the rest comes once, however many there are
    assert speed.after_each == throughput.AFTER_EACH
    assert speed.start_seconds == pytest.approx(15.0 + 5.0 - 5_000 * throughput.AFTER_EACH)
    assert "the last run on AWS: run 20261121T120000000Z-abcdef, 5,000 images" in speed.origin


def test_a_run_with_nothing_new_tells_no_speed() -> None:
    nothing = record(ledger={"embedded": 0, "rejected": 0}, worker_seconds=0.0)
    with pytest.raises(CloudError, match="embedded nothing new"):
        throughput.of_record(nothing, "the last run on AWS")


def test_the_newest_record_is_read_from_the_bucket(aws: Aws) -> None:
    stack = deployed(aws)
    older, newer = record(run="20261120T1"), record(run="20261121T1")
    for each in (newer, older):
        put(aws, f"results/main/runs/{each['run']}.json", json.dumps(each).encode())
    question = Question("eu-west-1", "x86_64", images=1_000, origin="--last-run")
    bill = estimate(aws, question, stack)
    assert "20261121T1" in bill.throughput.origin


def test_the_last_run_is_the_last_that_embedded(aws: Aws) -> None:
    stack = deployed(aws)
    nothing = {"embedded": 0, "rejected": 0}
    for each in (record(run="20261120T1"), record(run="20261121T1", ledger=nothing)):
        put(aws, f"results/main/runs/{each['run']}.json", json.dumps(each).encode())
    put(aws, "results/main/runs/20261122T1.json", b'{"run": "2026')
    question = Question("eu-west-1", "x86_64", images=1_000, origin="--last-run")
    bill = estimate(aws, question, stack)
    assert "20261120T1" in bill.throughput.origin


def test_a_last_run_of_seconds_tells_no_speed(aws: Aws) -> None:
    stack = deployed(aws)
    small = record(ledger={"embedded": 60, "rejected": 0}, worker_seconds=7.0)
    put(aws, f"results/main/runs/{small['run']}.json", json.dumps(small).encode())
    question = Question("eu-west-1", "x86_64", images=1_000_000, origin="--last-run")
    with pytest.raises(CloudError, match=r"took 7\.0 s; less than 60 s are too few") as refused:
        estimate(aws, question, stack)
    assert "--probe" in refused.value.remedy


def test_what_a_probe_does_once_is_not_multiplied_by_the_images() -> None:
    probed = record(
        ledger={"embedded": 500, "rejected": 0},
        worker_seconds=10.0,
        images_per_second=100.0,
        seconds={"extract": 25.0, "reduce": 6.0, "write": 4.0},
    )
    speed = throughput.of_record(probed, "a probe")
    # of the 500 themselves it took 20 s to begin, and 10 for PCA and outputs
    assert speed.seconds(500, 10) == pytest.approx(40 + 20 + 500 / (50 * 10) + 10)
    # of a million, at 50 images/s by 10 slots, it does not take 10 s more for every 500
    assert speed.seconds(1_000_000, 10) < 2_000 + 300


def test_no_record_says_what_to_do(aws: Aws) -> None:
    question = Question("eu-west-1", "x86_64", images=1_000, origin="--last-run")
    with pytest.raises(CloudError, match="results/main/runs/ holds no record") as missing:
        estimate(aws, question, deployed(aws))
    assert "--probe" in missing.value.remedy


def test_a_probe_runs_the_images_and_leaves_nothing(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probe.PROBED == 500
    monkeypatch.setattr(probe, "PROBED", 20)
    stack = deployed(aws)
    for number in range(15):
        put(aws, f"input/fruit-{number % 3}/{number}.jpg", b"image")
    put(aws, "input/readme.txt", b"no image")
    copied: list[int] = []

    def stay(aws: Aws, _stack: Place, job: Job, _minutes: int) -> None:
        # moto runs nothing: what the job would leave
        below = job.destination.removeprefix(f"s3://{BUCKET}/")
        put(aws, f"{below}/runs/20261121T1.json", json.dumps(record()).encode())
        copies = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{below}-images/")
        copied.append(copies["KeyCount"])

    monkeypatch.setattr(probe, "stay", stay)
    learned = probe.probe(aws, stack, JobLimits(), "mobilenetv2")
    assert copied == [15]
    assert learned["worker_seconds"] == 100.0
    left = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="results/")
    assert left["KeyCount"] == 0
    assert aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="input/")["KeyCount"] == 16


def test_a_probe_that_fails_is_explained_and_its_copies_go(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = deployed(aws)
    put(aws, "input/0.jpg", b"image")

    def fails(*_: object) -> None:
        raise CloudError("job 00f ended as FAILED: a worker needed more memory", "--slot-memory")

    monkeypatch.setattr(probe, "stay", fails)
    with pytest.raises(CloudError, match="needed more memory"):
        probe.probe(aws, stack, JobLimits(), "mobilenetv2")
    left = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="results/")
    assert left["KeyCount"] == 0


def test_a_probe_takes_images_from_everywhere_and_the_same_each_time() -> None:
    keys = [f"input/{number:05d}.jpg" for number in range(10_000)]
    drawn = probe._draw(iter(keys), 500)
    assert drawn == probe._draw(iter(keys), 500)
    assert len(set(drawn)) == 500
    assert 200 < sum(key < keys[5_000] for key in drawn) < 300


def test_a_probe_without_images_says_what_to_do(aws: Aws) -> None:
    with pytest.raises(CloudError, match="holds no image to probe with") as missing:
        probe.probe(aws, deployed(aws), JobLimits(), "mobilenetv2")
    assert "cloud upload" in missing.value.remedy


@pytest.mark.parametrize(
    ("architecture", "has_source"), [("x86_64", True), ("arm64", True), ("x86_64", False)]
)
def test_this_machine_is_measured_with_the_workers_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, has_source: bool
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"12345")
    (tmp_path / "photos" / "notes.txt").write_bytes(b"no image")
    tried: list[RunConfig] = []

    def try_here(config: RunConfig, *, sample: int) -> Estimate:
        tried.append(config)
        assert len(list(Path(config.source).rglob("*.jpg"))) == (1 if has_source else sample)
        return found_here(sample=sample)

    monkeypatch.setattr(measure, "estimate", try_here)
    source = str(tmp_path / "photos") if has_source else None
    images = None if has_source else 5_000
    question = Question("eu-west-1", architecture, source, images, sample=20)
    found = estimate(Aws("eu-west-1"), question, None)

    assert tried[0].engine == ("auto" if architecture == "x86_64" else "onnxruntime")
    assert found.images == (1 if has_source else 5_000)
    assert ("drawn for it" in found.throughput.origin) is not has_source
    # 5 bytes are a millionth of a GB, rounded up
    kept = [line for line in found.lines if line.what == "S3 storage of the images"]
    assert [line.quantity for line in kept] == ([Decimal("0.000001")] if has_source else [])


# The command


GIVEN = ("cloud", "estimate", "--images", "1000000", "--throughput", "50")


def test_the_command_shows_the_arithmetic_dates_and_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = featuremill(*GIVEN)
    assert shown.exit_code == 0, shown.output
    for text in (
        "speed     50.0 images/s for each vCPU, given by --throughput",
        "assumed   40 s until the workers have unpacked the archive, 20 s to start and end",
        "time      1,649 s = 40 s archive + 20 s start + 1,000,000 / (14 slots x 50.0/s) = 1,429 s",
        "16 vCPU x 1,649 s / 3,600 = 7.328889 x 0.052624 USD for each vCPU-hour = 0.386 USD",
        "prices    serverless.vcpu_hour, serverless.memory_gb_hour: 2023-02-03, eu-west-1, price",
        "prices    s3.put_1000, s3.get_1000, s3.storage_gb_month: 2026-10, eu-west-1, Amazon S3",
        "besides   5.00 USD once for the upload, 0.129 USD each month while all is kept",
    ):
        assert text in shown.output
    assert list(tmp_path.iterdir()) == []


def test_a_million_images_are_not_reckoned_from_what_a_few_cost_each(folder: Path) -> None:
    few = featuremill("cloud", "estimate", "--images", "12", "--throughput", "50").output
    many = featuremill(*GIVEN).output
    totals = [line for text in (few, many) for line in text.splitlines() if "total" in line]
    assert totals[0].partition("run, ")[2] == totals[1].partition("run, ")[2] != ""


def test_the_command_says_that_arm64_is_inferred(folder: Path) -> None:
    assert "(inferred: arm64 at 80 %" in featuremill(*GIVEN, "--architecture", "arm64").output


def test_euros_come_with_their_rate_and_its_date(folder: Path) -> None:
    options = ("--currency", "EUR", "--rate", "0.9", "--rate-date", "2026-11-20")
    shown = featuremill(*GIVEN, *options).output
    assert "rate      1 USD = 0.9 EUR, as given for 2026-11-20" in shown
    # 5 USD x 0.9
    assert "besides   4.50 EUR once for the upload" in shown


def test_an_estimate_is_kept_beside_the_stacks_file(folder: Path) -> None:
    assert "kept      featuremill-estimate.json" in featuremill(*GIVEN).output
    kept = json.loads((folder / "featuremill-estimate.json").read_text())
    assert kept["images"] == 1_000_000
    assert kept["vcpu_hours"] == "7.328889"


def test_the_stack_says_region_and_architecture(folder: Path) -> None:
    stack = described()
    outputs = {**stack.outputs, "Architecture": "arm64"}
    places.save(places.Place(stack.stack, "eu-central-1", stack.account, outputs), folder)
    shown = featuremill(*GIVEN).output
    assert "inferred" in shown
    assert "2023-02-03, eu-central-1" in shown


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--throughput", "50"], "neither SRC nor --images was given"),
        (["--images", "0", "--throughput", "50"], "--images is 0"),
        (["--images", "1", "--throughput", "0"], "throughput is 0.0 images"),
        (["--images", "1", "--throughput", "nan"], "throughput is nan images"),
        (["--images", "1", "--probe", "--last-run"], "--probe and --last-run were given"),
        (["--images", "1", "--last-run"], "--last-run asks a stack"),
        (["--images", "1", "--probe"], "--probe asks a stack"),
        (["--images", "1", "--throughput", "5", "--max-vcpu", "2"], "--max-vcpu is 2"),
        (["--images", "1", "--throughput", "5", "--region", "us-east-1"], "'us-east-1', must be"),
        (["--images", "1", "--currency", "EUR"], "--currency is EUR, and no --rate"),
        (["--images", "1", "--rate", "0.9"], "--rate is 0.9, but amounts are in USD"),
        (["--images", "1", "--currency", "EUR", "--rate", "x"], "--rate is 'x', no number"),
        (["--images", "1", "--currency", "EUR", "--rate", "-1"], "--rate is -1, it must be"),
        (["--images", "1", "--currency", "EUR", "--rate", "NaN"], "--rate is NaN, it must be"),
        (["nowhere", "--throughput", "5"], "nowhere does not exist"),
        (["--images", "1", "--sample", "0"], "--sample is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_estimated_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = featuremill("cloud", "estimate", *arguments)
    assert refused.exit_code == 2, refused.output
    assert problem in refused.output


def test_a_probe_of_another_architecture_is_refused(folder: Path) -> None:
    refused = featuremill(
        "cloud", "estimate", "--images", "1", "--probe", "--architecture", "arm64"
    )
    assert refused.exit_code == 2
    assert "--probe tells of x86_64, which stack featuremill is" in refused.output


@pytest.mark.parametrize("origin", ["--probe", "--last-run", "--measure"])
def test_a_dry_run_shows_the_calls_and_makes_none(folder: Path, origin: str) -> None:
    shown = dry_run("cloud", "estimate", "--images", "1000", origin)
    assert ("emr-serverless.start_job_run" in shown) is (origin == "--probe")
    assert ("s3.get_object" in shown) is (origin != "--measure")


def test_a_given_speed_needs_no_call_at_all(folder: Path) -> None:
    with recording() as (endpoint, came):
        assert featuremill(*GIVEN, "--endpoint-url", endpoint).exit_code == 0
    assert came == []


def test_the_names_of_the_origins_are_the_options() -> None:
    assert {estimating.GIVEN, estimating.MEASURED, estimating.PROBE, estimating.LAST_RUN} == {
        "--throughput",
        "--measure",
        "--probe",
        "--last-run",
    }
