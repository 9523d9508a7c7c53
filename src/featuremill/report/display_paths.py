"""Where images lie and results went, as a report says it: in full, or as below the source."""

from featuremill._utils import paths
from featuremill.dataset.ledger import RunRecord
from featuremill.storage import Store

_SHOWN = 2
"""Last parts of an address that stand for all of it."""


class Place:
    """The words of one report for paths and addresses.

    Attributes
    ----------
    source, destination : str
        In full.
    title : str
        The last two folders of the source.
    """

    def __init__(self, source: Store, destination: Store, record: RunRecord) -> None:
        self.source, self.destination = map(paths.of_place, (source.url, destination.url))
        self.title = _end(self.source.removeprefix("s3://").strip("/"))
        # messages have a percent sign as it is
        self._said = paths.plain(source.url), paths.plain(destination.url)
        self._relative = bool(record.config.get("relative_paths"))
        self._start = paths.of_place(source.url.rstrip("/")) + "/"

    def path(self, path: str) -> str:
        """A path, or what it is below the source; of an image of another source, its end."""
        if not self._relative:
            return path
        return path.removeprefix(self._start) if path.startswith(self._start) else _end(path)

    def text(self, text: str) -> str:
        """Words that may name the source or the destination."""
        text = paths.plain(text)
        if not self._relative:
            return text
        for url in (self.source, self.destination, *self._said):
            text = text.replace(f"{url}/", "").replace(url, _end(url))
        return text


def _end(address: str) -> str:
    return "/".join(address.split("/")[-_SHOWN:])
