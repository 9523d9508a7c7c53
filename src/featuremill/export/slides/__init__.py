"""A run as slides: native shapes and charts that PowerPoint, Keynote and LibreOffice can edit.

Every figure comes from what the run left or from the dated table of prices; what neither knows is
left out, or said to be unknown.
"""

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from featuremill._utils.extras import require
from featuremill._utils.progress import Progress
from featuremill.errors import ConfigError
from featuremill.export.slides.talk import Talk

if TYPE_CHECKING:
    from featuremill.export.slides.deck import Deck
    from featuremill.export.slides.facts import Facts

LANGUAGES: Final = ("en", "fr")

_KIND = ".pptx"


@dataclass(frozen=True)
class Slides:
    """The presentation that was written.

    Attributes
    ----------
    url : str
        The file.
    pages : int
    bytes : int
    """

    url: str
    pages: int
    bytes: int


def write_slides(
    destination: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    language: str = "en",
    title: str = "",
    author: str = "",
    context: str = "",
    overwrite: bool = False,
    endpoint_url: str | None = None,
    region: str | None = None,
    progress: Progress | None = None,
) -> Slides:
    """Write a presentation of what a destination holds.

    Parameters
    ----------
    destination : str or path
        Destination of an earlier run; without a PCA there are fewer slides.
    output : str or path
        A file, local or on S3, that ends in ``.pptx``.
    language : str
        ``en`` or ``fr``.
    title, author, context : str
        Title of the first slide, who presents, and what it is about; see
        :class:`~featuremill.export.slides.talk.Talk`.
    overwrite : bool
        Replace a file of the same name.
    endpoint_url, region : str, optional
        Endpoint and region of S3, at either end; prices are those of a region in the EU.
    progress : Progress, optional
        Is told what is being done.

    Raises
    ------
    InputError
        If something was refused before anything was written: an option, a file that is there
        already, a destination without a run, or python-pptx is missing.
    StorageError
        If reading or writing failed.
    """
    _check(os.fspath(output), language)
    talk = Talk(title, author, context)
    from featuremill.export.output import open_output
    from featuremill.export.slides.deck import Deck
    from featuremill.export.slides.facts import gather
    from featuremill.export.slides.wording import Words
    from featuremill.storage import open_store

    store = open_store(destination, endpoint_url=endpoint_url, region=region)
    target = open_output(output, is_file=True, endpoint_url=endpoint_url, region=region)
    target.check(store, (), overwrite=overwrite)
    progress = progress or Progress()
    progress.say(f"reading {store.url}")
    facts = gather(store, region)
    deck = Deck(Words(language))
    _add_slides(deck, facts, talk)
    content = io.BytesIO()
    deck.save(content)
    with target.cleared_on_failure():
        target.write(target.file or "", content.getvalue())
    return Slides(target.url, deck.pages, len(content.getvalue()))


def _add_slides(deck: "Deck", facts: "Facts", talk: Talk) -> None:
    """Write all slides that the facts suffice for, in their order."""
    from featuremill.export.slides import closing, cloud, machine, method, results

    results.cover(deck, facts, talk)
    results.context(deck, facts, talk)
    results.glance(deck, facts)
    method.chain(deck, facts)
    method.paths(deck)
    method.commits(deck, facts)
    if facts.pca is not None:
        method.passes(deck, facts.pca)
    here = facts.measured.was_here
    if here:
        machine.architecture(deck, facts)
    cloud.architecture(deck, used=not here)
    cloud.roles(deck, used=not here)
    if not here:
        machine.architecture(deck, facts)
    _add_figures(deck, facts)
    closing.cost(deck, facts)
    cloud.privacy(deck)
    closing.following(deck, facts)
    closing.sources(deck, facts)


def _add_figures(deck: "Deck", facts: "Facts") -> None:
    """Write the slides of what came out: classes, time, components, neighbours, rejects."""
    from featuremill.export.slides import gallery, results

    shown = facts.pictures
    results.classes(deck, facts)
    if shown.classes:
        gallery.montage(deck, shown.classes)
    results.time(deck, facts)
    if facts.pca is not None:
        results.variance(deck, facts, facts.pca)
    if facts.pca is not None and facts.points is not None:
        results.plane(deck, facts, facts.pca, facts.points)
    if facts.told is not None:
        results.neighbours(deck, facts.told)
    if shown.neighbours:
        gallery.nearest(deck, shown.neighbours)
    results.ledger(deck, facts)
    if shown.rejects:
        gallery.rejects(deck, shown.rejects, facts.rejects)


def _check(output: str, language: str) -> None:
    if language not in LANGUAGES:
        raise ConfigError(f"--language is {language!r}", f"Choose one of {', '.join(LANGUAGES)}.")
    if not output.lower().endswith(_KIND):
        raise ConfigError(
            f"output {output!r} does not end in {_KIND}", "Give a name such as deck.pptx."
        )
    require("slides", "a presentation")
