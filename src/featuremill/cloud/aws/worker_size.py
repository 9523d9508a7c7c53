"""How large workers are: one task slot is one Python process with a one-thread engine.

Images never pass through Java, so the heap stays small; what a worker needs is memory beside it,
which Spark calls overhead. EMR Serverless ends a worker at the first byte above its size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from featuremill.errors import ConfigError

SLOT_MB = 1_200
"""Memory of one slot's Python: the engine, a batch, one image of 100 million pixels."""
DEFAULT_VCPU = 16
"""What new accounts may use at once."""

_LEAST_SLOT_MB = 500
_YARN_GB_PER_CORE = 3
"""What EMR leaves to YARN of the 4 GB a core of the machines used here."""

_PLATFORM_MB = 800
"""Java beside its heap, and what the service itself runs in each worker."""

_HEAP_MB: Mapping[int, int] = MappingProxyType({1: 1024, 2: 1024, 4: 2048, 8: 2048, 16: 4096})

# https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/app-behavior.html
_SERVERLESS_GB: Mapping[int, tuple[int, int, int]] = MappingProxyType(
    {1: (2, 8, 1), 2: (4, 16, 1), 4: (8, 30, 1), 8: (16, 60, 4), 16: (32, 120, 8)}
)
"""vCPU of a Serverless worker → smallest, largest memory and its step, in GB."""

_IDLE = 0.1
"""Share of the vCPUs that may stay unused for the sake of larger workers."""


@dataclass(frozen=True)
class Size:
    """One worker: a driver or an executor.

    Parameters
    ----------
    cores : int
        vCPU, and so task slots.
    heap_mb, overhead_mb : int
        Memory of Java, and beside it.
    """

    cores: int
    heap_mb: int
    overhead_mb: int

    @property
    def memory_gb(self) -> float:
        """All of its memory, which is what Serverless bills."""
        return (self.heap_mb + self.overhead_mb) / 1024


@dataclass(frozen=True)
class Fleet:
    """The executors of a job."""

    executor: Size
    executors: int

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        return self.executor.cores * self.executors

    def properties(self) -> dict[str, str]:
        """Spark's properties for these executors.

        The parallelism is said beforehand: the job cuts its work by it, and would otherwise see
        only the executors that happen to be there when it starts.
        """
        executor = self.executor
        return {
            "spark.executor.cores": str(executor.cores),
            "spark.executor.memory": f"{executor.heap_mb}m",
            "spark.executor.memoryOverhead": f"{executor.overhead_mb}m",
            "spark.dynamicAllocation.enabled": "true",
            "spark.dynamicAllocation.initialExecutors": str(self.executors),
            "spark.dynamicAllocation.maxExecutors": str(self.executors),
            "spark.default.parallelism": str(self.slots),
        }


DRIVER = Size(cores=2, heap_mb=2048, overhead_mb=4096)
"""It lists, commits and writes; a million references take it 260 MB."""


def executor(cores: int, slot_mb: int = SLOT_MB) -> Size:
    """The smallest executor of so many cores that Serverless has and the engines fit in.

    Parameters
    ----------
    cores : int
        1, 2, 4, 8 or 16.
    slot_mb : int
        Memory of one slot's Python; Java's heap grows with it.

    Returns
    -------
    Size

    Raises
    ------
    ConfigError
        If there is no worker with so many, or with so much memory.
    """
    if cores not in _SERVERLESS_GB:
        raise ConfigError(
            f"executors of {cores} vCPU were asked for, they must have one of"
            f" {', '.join(map(str, _SERVERLESS_GB))}",
            "Choose one of them.",
        )
    smallest, largest, step = _SERVERLESS_GB[cores]
    heap = _HEAP_MB[cores] * max(SLOT_MB, slot_mb) // SLOT_MB
    needed = heap + cores * slot_mb + _PLATFORM_MB
    steps = -(-max(0, needed - smallest * 1024) // (step * 1024))
    total = smallest + steps * step
    if slot_mb < _LEAST_SLOT_MB or total > largest:
        raise ConfigError(
            f"--slot-memory is {slot_mb}, it must be from {_LEAST_SLOT_MB} to about"
            f" {_most_slot_mb(cores):,} MB",
            f"The default is {SLOT_MB:,}.",
        )
    return Size(cores, heap, total * 1024 - heap)


def _most_slot_mb(cores: int) -> int:
    largest = _SERVERLESS_GB[cores][1] * 1024
    return int((largest - _PLATFORM_MB) / (cores + _HEAP_MB[cores] / SLOT_MB)) // 100 * 100


def serverless(max_vcpu: int = DEFAULT_VCPU, slot_mb: int = SLOT_MB) -> Fleet:
    """Executors for a Serverless job that uses at most so many vCPUs, its driver included.

    The largest executors are taken that leave at most a tenth of the vCPUs unused: each one
    costs the memory of a Java process.

    Raises
    ------
    ConfigError
        If there is no room for a driver and one executor, or for so much memory.
    """
    free = max_vcpu - DRIVER.cores
    if free < 1:
        raise ConfigError(
            f"--max-vcpu is {max_vcpu}, it must be at least {DRIVER.cores + 1}",
            f"The driver takes {DRIVER.cores}; the default is {DEFAULT_VCPU}.",
        )
    fitting = (cores for cores in (4, 2) if cores <= free and free % cores <= _IDLE * free)
    cores = next(fitting, 1)
    return Fleet(executor(cores, slot_mb), free // cores)


def on_nodes(cores: int, nodes: int, slot_mb: int = SLOT_MB) -> Fleet:
    """Executors for a cluster: one on each node.

    By default that leaves YARN room for a notebook's driver as well.

    Raises
    ------
    ConfigError
        If a node of 4 GB for each core has not so much memory.
    """
    size = executor(cores, slot_mb)
    room = cores * _YARN_GB_PER_CORE
    if size.memory_gb > room:
        raise ConfigError(
            f"--slot-memory {slot_mb} makes executors of {size.memory_gb:g} GB,"
            f" a node has {room} GB for them",
            f"Lower it; the default is {SLOT_MB:,}.",
        )
    return Fleet(size, nodes)
