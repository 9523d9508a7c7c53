"""Which slides there are, in which order."""

from featuremill.export.slides import closing, cloud, method, results
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.facts import Facts


def tell(deck: Deck, facts: Facts) -> None:
    """Write all slides that the facts suffice for."""
    results.cover(deck, facts)
    results.glance(deck, facts)
    method.chain(deck, facts)
    method.paths(deck)
    method.commits(deck, facts)
    if facts.pca is not None:
        method.passes(deck, facts.pca)
    cloud.architecture(deck)
    cloud.roles(deck)
    results.classes(deck, facts)
    results.time(deck, facts)
    if facts.pca is not None:
        results.variance(deck, facts, facts.pca)
    if facts.pca is not None and facts.points is not None:
        results.plane(deck, facts, facts.pca, facts.points)
    if facts.told is not None:
        results.neighbours(deck, facts.told)
    results.ledger(deck, facts)
    closing.cost(deck, facts)
    cloud.privacy(deck)
    closing.following(deck, facts)
    closing.sources(deck, facts)
