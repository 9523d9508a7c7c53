"""Rounds of a soak: a new source and destination each, a dozen runs, and an audit after each."""

import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from soak import audit, plan, processes, trial, world
from soak.audit import Reference
from soak.disk import Disk
from soak.plan import Plan
from soak.standalone import Cluster, standalone_cluster
from soak.trial import Outcome
from soak.world import World

RUNS_PER_ROUND = 12
INTERRUPTED = 130
_PICTURES = 240
_SURVIVED = 3
"""A task is tried four times: so many kills cannot end a run."""
_OPTIONS = ("--model", "embedded", "--precision", "fp32", "--components", "3")
_ALL_CHUNKS = "200000"


@dataclass
class Soak:
    """A soak under way; ``folder`` must be empty, ``disk`` is mounted on its ``dest``."""

    seed: int
    folder: Path
    disk: Disk | None
    say: Callable[[str], None]
    kinds: Sequence[str] = plan.KINDS
    operations: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    _running: list[psutil.Process] = field(default_factory=list)
    _clusters: ExitStack = field(default_factory=ExitStack)
    _cluster: Cluster | None = None

    @property
    def kills(self) -> int:
        """Processes killed so far."""
        return sum(self.operations[what] for what in trial.KILLS)

    def prepare(self) -> None:
        """Draw the pictures, and let an undisturbed run make the features to compare with."""
        self._pictures = world.drawn(_PICTURES, self.seed)
        pool, destination = self.folder / "pool", self.folder / "dest" / "pool"
        pool.mkdir(parents=True)
        for number, picture in enumerate(self._pictures):
            (pool / f"{number}.jpg").write_bytes(picture)
        arguments = [_ALL_CHUNKS, "run", str(pool), str(destination), *_OPTIONS]
        outcome = trial.run(arguments, destination, [], random.Random(0))
        if outcome.code != 0:
            raise RuntimeError(f"the undisturbed run failed: {outcome.said}")
        self._reference = Reference.of(destination)

    def close(self) -> None:
        """End the cluster, and wait for the processes of the last run."""
        self.mismatches += self._settled()
        self._clusters.close()

    def round(self, number: int, until: Callable[[], bool]) -> None:
        """A round; the same number is the same round, whatever came before it."""
        chance = random.Random(f"{self.seed}/{number}")
        live = World(self.folder / f"source {number}", self._pictures)
        destination = self.folder / "dest" / f"{number}"
        for run in range(1, RUNS_PER_ROUND + 1):
            last = run == RUNS_PER_ROUND or until()
            planned = plan.draw(chance, self.kinds)
            if last:
                planned = replace(planned, strikes=(), at_once=False)
            found = list(self._run(planned, live, destination, chance))
            self.say(f"round {number} run {run}: {self.kills} kills so far")
            for mismatch in found:
                self.mismatches.append(f"round {number} run {run}: {mismatch}")
                self.say(f"MISMATCH {self.mismatches[-1]}")
            if found:
                # what comes after a mismatch would only repeat it
                self.say(f"left as it is: {live.folder} and {destination}")
                return
            if last:
                break
        shutil.rmtree(live.folder)
        shutil.rmtree(destination)

    def _run(
        self, planned: Plan, live: World, destination: Path, chance: random.Random
    ) -> Iterator[str]:
        """A run, and all that is wrong after it."""
        self._change(planned, live, chance)
        before = audit.rows_of(destination, self._reference)
        forgotten = chance.sample(sorted(before), min(planned.forget, len(before)))
        if forgotten:
            yield from self._forget(forgotten, planned, live, destination, chance)
            before = audit.rows_of(destination, self._reference)
        self.operations[f"run with {planned.workers}"] += 1
        cluster = self._cluster_started() if planned.workers == "cluster" else None
        arguments = _arguments(planned, live.folder, destination, cluster)
        self.operations["prune"] += planned.prune
        outcome = trial.run(
            arguments, destination, planned.strikes, chance, cluster=cluster, faults=self._faults()
        )
        if self.disk:
            self.disk.repair()
        self._count(outcome)
        if not planned.at_once:
            yield from self._settled()
        yield from _ending(outcome)
        now = audit.rows_of(destination, self._reference)
        if outcome.code == 0:
            yield from audit.after_success(before, now, live, destination, pruning=planned.prune)
        else:
            yield from audit.after_failure(before, now, live, pruning=planned.prune)

    def _forget(
        self,
        paths: list[str],
        planned: Plan,
        live: World,
        destination: Path,
        chance: random.Random,
    ) -> Iterator[str]:
        """Forget images, and finish it where it was killed; all that is wrong afterwards."""
        before = audit.rows_of(destination, self._reference)
        live.forgotten.update(paths)
        arguments = [_ALL_CHUNKS, "forget", str(destination), "--yes"]
        outcome = trial.run([*arguments, *paths], destination, planned.forget_strikes, chance)
        self._count(outcome, "forget")
        if outcome.code == -signal.SIGKILL:
            # at once where it had not even noted what is to be forgotten
            outcome = trial.run([*arguments, *paths], destination, (), chance)
        if outcome.code != 0:
            yield f"forget ended with exit code {outcome.code}: {outcome.said[-2000:]}"
        now = audit.rows_of(destination, self._reference)
        yield from audit.after_forget(before, now, live)

    def _change(self, planned: Plan, live: World, chance: random.Random) -> None:
        live.remove(chance, planned.remove)
        live.change(chance, planned.change)
        live.append(chance, planned.append)
        for what in ("append", "change", "remove"):
            self.operations[what] += bool(getattr(planned, what))

    def _faults(self) -> dict[str, Callable[[], bool]]:
        """What can strike a run besides kills; nothing where no disk could be mounted."""
        disk = self.disk
        return {
            "the disk is full": disk.fill if disk else lambda: False,
            "the disk is read-only": disk.forbid if disk else lambda: False,
        }

    def _count(self, outcome: Outcome, what: str = "run") -> None:
        self.operations[what] += 1
        self.operations[f"finished {what}"] += outcome.code == 0
        self.operations.update(strike.what for strike in outcome.done)
        self._running += outcome.processes

    def _settled(self) -> Iterator[str]:
        """Wait until what earlier runs consisted of has ended."""
        for command in processes.left(self._running):
            yield f"did not end by itself: {command}"
        self._running.clear()

    def _cluster_started(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._clusters.enter_context(standalone_cluster())
        return self._cluster


def _arguments(
    planned: Plan, source: Path, destination: Path, cluster: Cluster | None
) -> list[str]:
    arguments = [str(planned.chunk), "run", str(source), str(destination), *_OPTIONS]
    arguments += ["--max-rejects", "100%", *(["--prune"] if planned.prune else [])]
    if planned.keep_pca and (destination / "model" / "pca.json").exists():
        arguments.append("--keep-pca")
    if cluster:
        arguments += ["--master", cluster.master]
    elif planned.workers == "spark":
        arguments += ["--master", "local[*]"]
    return arguments


def _ending(outcome: Outcome) -> Iterator[str]:
    """What is wrong with how a run ended."""
    if outcome.code not in _allowed_codes(outcome):
        strikes = ", ".join(map(str, outcome.done)) or "nothing"
        yield f"exit code {outcome.code} after {strikes}: {outcome.said[-2000:]}"
    if "Traceback" in outcome.said:
        yield f"an error that is not for people: {outcome.said[-2000:]}"
    if outcome.code == INTERRUPTED and "to resume" not in outcome.said:
        yield f"an interrupted run does not say how to go on: {outcome.said}"


def _allowed_codes(outcome: Outcome) -> set[int | None]:
    """Exit codes that are right after what was done; a run that hung has none."""
    struck = [strike.what for strike in outcome.done]
    codes: set[int | None] = {0}
    if "kill the driver" in struck:
        codes.add(-signal.SIGKILL)
    if trial.CTRL_C in struck:
        # by the signal itself where the run was over and the interpreter about to end
        codes |= {INTERRUPTED, -signal.SIGINT}
    if "kill Java" in struck or len(struck) > _SURVIVED:
        codes.add(1)
    if {"the disk is full", "the disk is read-only"} & set(struck):
        codes |= {1, 2}
    return codes
