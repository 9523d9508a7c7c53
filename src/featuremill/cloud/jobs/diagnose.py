"""Finds in the logs of a failed job what really went wrong, and what usually helps.

The last exception of a log is seldom the cause: Spark wraps what a worker raised, and AWS wraps
what Spark did. Looked for are, in this order: what featuremill itself said, the known causes of
:data:`CAUSES`, the last exception of Python, the innermost of Java, and AWS' own reason. What is
only noted, or tried again, is no cause.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cause:
    """A known cause.

    Parameters
    ----------
    name : str
        What went wrong, as a clause.
    pattern : re.Pattern
        Found in the line that shows it.
    remedy : str
        What usually helps.
    survived : bool
        Whether many jobs meet it and go on: then an exception of Python says more.
    """

    name: str
    pattern: re.Pattern[str]
    remedy: str
    survived: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What went wrong.

    Parameters
    ----------
    cause : str
        As a clause.
    said : str
        The line that shows it.
    where : str
        The log it stands in.
    remedy : str
        What usually helps; may be empty.
    """

    cause: str
    said: str
    where: str
    remedy: str


_MORE_MEMORY = "Submit again with more: --slot-memory 2400; or reject large images: --max-pixels."
_PACKAGE = "Build it anew and submit again: `featuremill cloud package`."

CAUSES = tuple(
    Cause(name, re.compile(pattern), remedy, *survived)
    for name, pattern, remedy, *survived in (
        (
            "a worker's disk is full",
            r"No space left on device",
            "Submit again with fewer slots on each machine: a lower --max-vcpu, or --cluster with a"
            " larger --size.",
        ),
        (
            "the archive was built for a newer Linux",
            r"GLIBC(?:XX)?_[\d.]+'? not found",
            _PACKAGE,
        ),
        (
            "the archive was built for another processor",
            r"wrong ELF class|Exec format error|invalid ELF header"
            r"|cannot open shared object file.*(?:x86.64|aarch64)",
            "Build it for the stack's: `featuremill cloud package --architecture` x86_64 or arm64.",
        ),
        (
            "NumPy and the packages built on it do not fit together",
            r"compiled using NumPy 1\.x|numpy\.core\.multiarray failed to import"
            r"|numpy\.dtype size changed",
            _PACKAGE,
        ),
        (
            "the Python that workers were to use is not there",
            r'Cannot run program "[^"]*(?:python|environment)[^"]*"',
            "Use the releases this version is made for: `featuremill cloud deploy`.",
        ),
        (
            "a package is missing from the archive",
            r"^(?:\S*: )?(?:ModuleNotFoundError|ImportError): ",
            _PACKAGE,
        ),
        (
            "a worker needed more memory than it has",
            r"[Ee]xit(?:ed with)?(?: ?(?:status|[Cc]ode))?:? ?137\b|OOMKilled"
            r"|Container killed by YARN for exceeding|running beyond physical memory limits"
            r"|Consider boosting spark\S*memoryOverhead|^(?:\w+\.)*_?(?:Array)?MemoryError\b"
            r"|std::bad_alloc",
            _MORE_MEMORY,
        ),
        ("Java's heap was full", r"java\.lang\.OutOfMemoryError", _MORE_MEMORY),
        (
            "the account or the application may not use so much at once",
            r"MaxCapacityExceeded|exceeded (?:the )?maximumCapacity|ServiceQuotaExceeded"
            r"|[Vv]cpuLimitExceeded|exceed\w* (?:\S+ ){0,6}(?:quota|vCPU)",
            "Submit with a lower --max-vcpu, or ask for a higher quota in the Service Quotas"
            " console (EMR Serverless, max concurrent vCPUs per account).",
        ),
        (
            "the release is unknown in this region",
            r"[Rr]elease ?[Ll]abel.{0,80}(?:invalid|not exist|not supported|unknown)"
            r"|not supported for release label",
            "Deploy with a release that is there: `featuremill cloud doctor` names them.",
        ),
        (
            "the credentials had run out",
            r"\bExpiredToken(?:Exception)?\b|security token included in the request is expired",
            "Submit again: the run goes on where it was.",
        ),
        (
            "the job's role may not do that",
            r"\bAccess ?Denied(?:Exception)?\b|Status Code: 403\b|\b403 Forbidden\b",
            "Images belong in input/ and results in results/ of the stack's own bucket; if they"
            " are there, deploy again: `featuremill cloud deploy`.",
        ),
        (
            "AWS took a Spot machine back",
            r"Exit status: -100\b|released on a \*?lost\*? node"
            r"|[Ss]pot.{0,40}(?:interrupt|reclaim)",
            "Submit again: the run goes on where it was. Without --cluster there are no Spot"
            " machines.",
            True,
        ),
        (
            "it took longer than it was allowed",
            r"[Ee]xecution ?[Tt]imeout|timed out due to",
            "Submit again with a longer --timeout: the run goes on where it was.",
        ),
        (
            "a machine of the cluster could not be set up",
            r"BOOTSTRAP_FAILURE|bootstrap action \d+ (?:failed|returned)",
            "Read the bootstrap action's own log: `featuremill cloud logs --to FOLDER`.",
        ),
        (
            "S3 was asked too much at once",
            r"\bSlowDown\b|503 Slow Down|reduce your request rate",
            "Submit again with a lower --max-vcpu, in some minutes: S3 grows with its load.",
            True,
        ),
        (
            "something that should be in the bucket is not",
            r"\bNoSuchKey\b|\bNoSuchBucket\b|Status Code: 404\b",
            "Upload and package again: `featuremill cloud upload`, `featuremill cloud package`.",
            True,
        ),
        (
            "a worker's Python died",
            r"Python worker exited unexpectedly|Python worker failed to connect back",
            _MORE_MEMORY,
            True,
        ),
    )
)
"""Known causes, the most telling first."""

_WRAPPERS = ("Py4JJavaError", "PythonException", "SparkException", "SystemExit", "CalledProcess")
_VAGUE = (
    "a worker process died",
    "worker processes died",
    "a Spark job failed",
    "Spark's Java process died",
)
"""What featuremill says where it knows no more than that."""

_HARMLESS = re.compile(r"\b(?:INFO|DEBUG|TRACE)\b|\bRetrying\b|will retry")

_EXIT_CODES = {
    "2": "featuremill refused the input",
    "3": "more images were rejected than --max-rejects allows",
}


@dataclass
class _Log:
    """What one log holds, read once from its beginning to its end."""

    where: str
    known: dict[int, str] = field(default_factory=dict)
    own: str = ""
    own_remedy: str = ""
    python: str = ""
    java: str = ""

    def read(self, lines: Iterable[str]) -> None:
        """Note every line that may be the cause."""
        raising = remedy_next = False
        java_over = False
        for line in lines:
            self._note_known(line)
            if remedy_next and line.startswith("  "):
                self.own_remedy = line.strip()
            remedy_next = line.startswith("error: ")
            if remedy_next:
                self.own, self.own_remedy = line[7:].strip(), ""
            if "Traceback (most recent call last)" in line:
                raising = True
            elif raising and re.match(r"[A-Za-z_][\w.]*(?:: |\s*$)", line):
                raising = False
                self._note_exception(line.strip())
            if line.startswith("Caused by: ") and not java_over:
                self.java = line[11:].strip()
            elif self.java and not line.startswith((" ", "\t", "Caused by: ")):
                java_over = True

    @property
    def wrapped(self) -> bool:
        """Whether Python only passed on what another process raised."""
        return any(wrapper in self.python.partition(":")[0] for wrapper in _WRAPPERS)

    def _note_known(self, line: str) -> None:
        if _ANY.search(line) and not _HARMLESS.search(line):
            for rank, cause in enumerate(CAUSES):
                if rank not in self.known and cause.pattern.search(line):
                    self.known[rank] = line.strip()

    def _note_exception(self, line: str) -> None:
        if not self.python or not any(name in line.partition(":")[0] for name in _WRAPPERS):
            self.python = line


_ANY = re.compile("|".join(f"(?:{cause.pattern.pattern})" for cause in CAUSES))


def diagnose(logs: Iterable[tuple[str, Iterable[str]]], ended: str = "") -> Diagnosis | None:
    """Name the cause of a failure.

    Parameters
    ----------
    logs : iterable of (str, iterable of str)
        Name and lines of each log, the driver's first.
    ended : str
        AWS' own reason.

    Returns
    -------
    Diagnosis or None
        None where nothing says anything.
    """
    read = [_Log("AWS")]
    read[0].read([ended])
    for where, lines in logs:
        read.append(_Log(where))
        read[-1].read(lines)
    return next(_findings(read, ended), None)


def _findings(logs: list[_Log], ended: str) -> Iterator[Diagnosis]:
    """What may be the cause, the likeliest first."""
    own = [each for each in logs if each.own]
    yield from (_said(each.own, each) for each in own if not each.own.startswith(_VAGUE))
    ranked = sorted((rank, n) for n, each in enumerate(logs) for rank in each.known)
    known = [(CAUSES[rank], logs[n].known[rank], logs[n].where) for rank, n in ranked]
    yield from (_known(*each) for each in known if not each[0].survived)
    yield from (_said(each.python, each) for each in logs if each.python and not each.wrapped)
    yield from (_known(*each) for each in known)
    yield from (_said(text, each) for each in logs for text in (each.own, each.python) if text)
    yield from (_said(each.java, each) for each in logs if each.java)
    code = re.search(r"ExitCode: (\d+)", ended)
    if code and code[1] in _EXIT_CODES:
        yield Diagnosis(_EXIT_CODES[code[1]], ended, "AWS", "")
    if ended:
        yield Diagnosis("AWS gave only this reason", ended, "AWS", "")


def _known(cause: Cause, line: str, where: str) -> Diagnosis:
    return Diagnosis(cause.name, line, where, cause.remedy)


def _said(text: str, log: _Log) -> Diagnosis:
    """What featuremill or an exception said, with a remedy that is for AWS where there is one."""
    cause = next((each for each in CAUSES if each.pattern.search(text)), None)
    if cause is not None:
        return _known(cause, text, log.where)
    if text == log.own:
        return Diagnosis("featuremill said why", text, log.where, log.own_remedy)
    return Diagnosis("an exception that featuremill does not know", text, log.where, "")
