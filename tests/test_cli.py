"""The command line: what it prints, what it refuses, how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from featuremill.cli import main
from featuremill.images.synth import SynthConfig, write
from featuremill.workflows.run.pipeline import run
from outputs import MODEL, OTHER_MODEL, everything_in, features, offline, uncommitted

OFFLINE = ("--model", MODEL, "--precision", "fp32")

HEAVY = "boto3 botocore deltalake obstore onnx onnxruntime openvino pandas plotly pyarrow pyspark"


def featuremill(*arguments: str | Path) -> Result:
    """What a command prints, and how it ends, in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def commands(group: click.Group = main, *above: str) -> Iterator[tuple[list[str], click.Command]]:
    """Every command there is, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield [*above, name], command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


ALL = [[], *(words for words, _ in commands())]


@pytest.fixture
def source(tmp_path) -> Path:
    """One picture is enough to be refused."""
    folder = tmp_path / "pictures"
    write(folder, SynthConfig(classes=1, per_class=1), workers=1)
    return folder


# Help


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_help_says_what_a_command_does_and_shows_an_example(command):
    page = featuremill(*command, "--help")
    assert page.exit_code == 0
    assert re.search(r"^  [A-Z].*(\n  .+)*\.$", page.output, re.MULTILINE)
    if "Commands:" not in page.output or not command:
        assert re.search(r"^  Examples?:\n    featuremill ", page.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in commands()]
)
def test_the_help_of_an_option_is_a_sentence_of_three_words_or_more(words, command):
    clipped = {
        option.opts[0]: option.help
        for option in command.params
        if isinstance(option, click.Option)
        and not re.fullmatch(r"[A-Z]\S*( \S+){2,}\.", (option.help or "").split("  [")[0])
    }
    assert clipped == {}, words


def test_no_help_page_loads_anything_heavy():
    program = f"""
import sys
from featuremill.cli import main
for command in {ALL!r}:
    main([*command, "--help"], standalone_mode=False)
print("loaded:", *set("{HEAVY}".split()) & sys.modules.keys())
"""
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout.splitlines()[-1].strip() == "loaded:"


# The models


def test_models_are_listed_with_what_they_are():
    listed = featuremill("models", "list")
    assert listed.exit_code == 0
    names = [line.split()[0] for line in listed.output.splitlines()]
    ours = ["embedded", "mobilenetv2", "mobilenetv2-untrained"]
    assert names == ["dinov2-base", "dinov2-small", *ours, "siglip2-base"]
    assert "ImageNet" in listed.output
    assert "no download" in listed.output.splitlines()[2]
    assert listed.output.count("(download untested)") == 3


def test_a_model_is_shown_with_its_licence_and_its_checksum():
    shown = featuremill("models", "show", "mobilenetv2")
    assert shown.exit_code == 0
    facts = dict(line.split(maxsplit=1) for line in shown.output.splitlines())
    assert facts["licence"] == "Apache-2.0"
    assert facts["features"] == "1280"
    assert facts["input"] == "224 x 224"
    assert re.fullmatch(r"[0-9a-f]{64}", facts["sha256"])


def test_the_model_that_ships_in_the_package_is_shown_like_any_other():
    shown = featuremill("models", "show", "embedded")
    facts = dict(line.split(maxsplit=1) for line in shown.output.splitlines())
    assert facts["licence"] == "MIT"
    assert facts["input"] == "96 x 96"
    assert facts["weights"] == "shipped with featuremill"
    assert re.fullmatch(r"[0-9a-f]{64}", facts["sha256"])


@pytest.mark.parametrize(
    ("name", "origin"),
    [("embedded", "shipped with featuremill"), ("mobilenetv2-untrained", "drawn from a seed")],
)
def test_where_there_is_nothing_to_fetch_that_is_said(name, origin, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATUREMILL_CACHE", str(tmp_path / "cache"))
    fetched = featuremill("models", "fetch", name)
    assert fetched.exit_code == 0
    assert f"{name} is ready" in fetched.stdout
    assert f"nothing to fetch: its weights are {origin}" in fetched.stdout
    assert not (tmp_path / "cache").exists()


def test_a_model_without_weights_has_no_checksum():
    shown = featuremill("models", "show", OTHER_MODEL)
    assert "sha256" not in shown.output
    assert "drawn from a seed" in shown.output


def test_a_misspelt_model_is_answered_with_the_right_name():
    shown = featuremill("models", "show", "mobilnet")
    assert shown.exit_code == 2
    assert "Did you mean --model mobilenetv2?" in shown.stderr


# Refused before anything is written


def assert_refused(result: Result, problem: str, remedy: str) -> None:
    """Exit code 2, and after what went on two lines: what is wrong, and what to do."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    said = re.sub(r"(?m)^ *[\d.]+ s  .*\n", "", result.stderr)
    first, _, rest = said.partition("\n")
    assert first.startswith("error: ")
    assert problem in first
    assert remedy in rest
    assert "Traceback" not in result.stderr


def missing(source: Path) -> Path:
    return source / "nowhere"


def empty(source: Path) -> Path:
    folder = source.with_name("empty")
    folder.mkdir()
    return folder


def without_images(source: Path) -> Path:
    folder = empty(source)
    (folder / "notes.txt").write_text("no image")
    (folder / "table.csv").write_text("1,2")
    return folder


def a_file(source: Path) -> Path:
    return next(source.rglob("*.jpg"))


@pytest.mark.parametrize(
    ("made", "problem", "remedy"),
    [
        (missing, "does not exist", "Name an existing folder"),
        (a_file, "is not a folder", "Name an existing folder"),
        (empty, "holds no image", "Name a folder of images"),
        (without_images, "2 entries were skipped (1 .txt, 1 .csv)", "Name a folder of images"),
    ],
)
def test_a_source_without_images(source, tmp_path, made: Callable[[Path], Path], problem, remedy):
    dest = tmp_path / "results"
    assert_refused(featuremill("run", made(source), dest, *OFFLINE), problem, remedy)
    assert not dest.exists()


@pytest.mark.parametrize(
    ("options", "problem", "remedy"),
    [
        (["--components", "0"], "--components is 0", "--no-reduce"),
        (["--components", "1281"], "--components is 1281", "from 1 to 1280"),
        (["--variance", "0"], "--variance is 0", "--variance 0.9"),
        (["--variance", "1.5"], "--variance is 1.5", "--variance 0.9"),
        (["--variance", "nan"], "--variance is nan", "--variance 0.9"),
        (["--components", "5", "--variance", "0.5"], "were both given", "Give one of them"),
        (["--max-rejects", "some"], "--max-rejects is 'some'", "5%"),
        (["--precision", "fp8"], "--precision is 'fp8'", "auto, fp32, mixed, bf16"),
        (["--model", "mobilnet"], "'mobilnet' is unknown", "Did you mean --model mobilenetv2?"),
        (["--weights", "nowhere.h5"], "--weights is nowhere.h5", "--model mobilenetv2"),
        (["--classes", "Durian"], "no image of class Durian", "--classes"),
        (["--include", "*.png"], "1 not selected", "--include"),
        (["--master", "sc://server"], "Spark Connect", "local[*]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_out_of_its_bounds(source, tmp_path, options, problem, remedy):
    dest = tmp_path / "results"
    assert_refused(featuremill("run", source, dest, *OFFLINE, *options), problem, remedy)
    assert not dest.exists()


def test_a_destination_inside_the_source(source):
    before = everything_in(source)
    refused = featuremill("run", source, source / "results", *OFFLINE)
    assert_refused(refused, "lies inside source", "Choose a destination outside")
    assert everything_in(source) == before


def test_a_destination_that_cannot_be_a_folder(source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused = featuremill("run", source, tmp_path / "file" / "results", *OFFLINE)
    assert_refused(refused, "which is a file", "Name a folder")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_destination_that_is_no_table_of_ours(source, tmp_path):
    strange = tmp_path / "results" / "features" / "thesis.txt"
    strange.parent.mkdir(parents=True)
    strange.write_text("precious")
    refused = featuremill("run", source, tmp_path / "results", *OFFLINE)
    assert_refused(refused, "no features table", "Choose another destination")
    assert list((tmp_path / "results").rglob("*.*")) == [strange]


def test_a_destination_with_features_of_another_model(spark, source, tmp_path):
    dest = tmp_path / "results"
    run(offline(source, dest, reduce=False), spark=spark)
    before = everything_in(dest)
    refused = featuremill("run", source, dest, *OFFLINE, "--model", OTHER_MODEL)
    assert_refused(refused, "holds features of embedded", "--replace-model")
    assert everything_in(dest) == before


def test_a_machine_without_java(source, tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    refused = featuremill("run", source, tmp_path / "results", *OFFLINE, "--master", "local[*]")
    assert_refused(refused, "no Java was found", "openjdk-17-jre-headless")
    assert not (tmp_path / "results").exists()


def test_a_java_too_old_for_spark(source, tmp_path, monkeypatch):
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("""#!/bin/sh\necho 'openjdk version "11.0.2" 2019-01-15' >&2\n""")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    refused = featuremill("run", source, tmp_path / "results", *OFFLINE, "--master", "local[*]")
    assert_refused(refused, "is Java 11, Spark needs 17 to 21", "openjdk-17-jre-headless")
    assert not (tmp_path / "results").exists()


def test_a_report_of_nothing(tmp_path):
    assert_refused(featuremill("report", tmp_path), "holds no run", "Name the destination")


def test_a_limit_on_processes_is_named_wherever_it_stops_a_library(tmp_path, monkeypatch):
    class Panic(BaseException):
        """What a library in Rust raises, which is no Exception."""

    def write(*_: object, **__: object) -> None:
        raise Panic("OS can't spawn worker thread: Resource temporarily unavailable (os error 11)")

    monkeypatch.setattr("featuremill.images.synth.write", write)
    done = CliRunner().invoke(main, ["synth", str(tmp_path / "pictures")])
    assert done.exit_code == 1
    assert "error: OS can't spawn worker thread" in done.stderr
    assert "more threads (`ulimit -u`)" in done.stderr


# Runs to their end


def test_a_run_ends_with_its_figures_and_where_the_report_is(spark, pictures, tmp_path):
    dest = tmp_path / "results"
    ended = featuremill("run", pictures, dest, *OFFLINE, "--components", "5")
    assert ended.exit_code == 0, ended.stderr
    said = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert said.keys() == {"PCA", "speed", "images", "features", "scores", "report"}
    assert said["PCA"].startswith("5 components hold ")
    assert said["images"] == "60 images: 60 embedded, 0 rejected"
    for place in (said["features"], *said["scores"].split(", "), said["report"]):
        assert Path(place).exists()
    assert said["report"] == str(dest / "report.html")

    (dest / "report.html").unlink()
    assert featuremill("report", dest).stdout == f"{dest}/report.html\n"
    assert "60 images in 4 classes" in (dest / "report.html").read_text()


def test_too_many_rejects_end_with_3_and_everything_written(spark, source, tmp_path):
    (source / "spoilt.jpg").write_bytes(b"no image")
    dest = tmp_path / "results"
    ended = featuremill("run", source, dest, *OFFLINE)
    assert ended.exit_code == 3
    assert "1 of 2 images were rejected, --max-rejects is 5%" in ended.stderr
    assert "rejects.csv" in ended.stderr
    assert (dest / "report.html").exists()
    assert "spoilt.jpg" in (dest / "rejects.csv").read_text()
    assert len(features(dest)) == 2


# Interrupted

_SMALL_CHUNKS = """
import featuremill.workflows.run.chunks
from featuremill.cli import main
chunks = featuremill.workflows.run.chunks
chunks.FIRST_SECONDS = chunks.LONGEST_SECONDS = 0.02
main()
"""


def test_an_interrupted_run_goes_on_where_it_was(spark, tmp_path):
    folder, dest = tmp_path / "pictures", tmp_path / "results"
    write(folder, SynthConfig(classes=4, per_class=40, seed=3), workers=1)
    arguments = ["run", folder, dest, *OFFLINE, "--no-reduce"]

    stderr = interrupted_after_a_commit(list(map(str, arguments)), dest)

    assert "interrupted. What was committed is kept" in stderr
    assert "Traceback" not in stderr
    assert not (dest / "run.lock").exists()
    assert uncommitted(dest) == set()
    committed = features(dest)
    assert 0 < len(committed) < 160

    ended = featuremill(*arguments)

    assert ended.exit_code == 0, ended.stderr
    rows = features(dest)
    assert rows.path.tolist() == sorted(str(path) for path in folder.rglob("*.jpg"))
    assert f"{len(committed)} embedded earlier" in ended.stdout


def interrupted_after_a_commit(arguments: list[str], dest: Path) -> str:
    """Run, press Ctrl-C once the first images are committed; what the run said."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SMALL_CHUNKS, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a terminal sends the signal to the whole group
    )
    first_commit = dest / "features" / "_delta_log" / f"{1:020}.json"
    try:
        assert within_a_minute(lambda: first_commit.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert within_a_minute(lambda: not exists(process.pid)), "Java did not end"
    finally:
        if exists(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return stderr


def exists(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def within_a_minute(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_an_unknown_command_is_told_the_nearest_one() -> None:
    assert "Did you mean 'run'?" in featuremill("runn").stderr
    assert "Did you mean 'deploy'?" in featuremill("cloud", "deplyo").stderr
    assert "Did you mean" not in featuremill("xyz").stderr
