"""Checks the rows against the images of the source as they are now."""

from collections.abc import Callable

from featuremill._utils import paths
from featuremill.dataset.exclusions import Forgotten, read_forgotten
from featuremill.dataset.known_images import Known, known_images
from featuremill.dataset.ledger import open_recorded
from featuremill.dataset.tables import features_table
from featuremill.storage import Store
from featuremill.storage.listing import Listing, Rejection, Selection
from featuremill.workflows.check.findings import CheckConfig, Findings
from featuremill.workflows.check.run import Held

NAMES = ("source.images", "source.versions", "source.gone")


def check_source(
    source: Store, held: Held, rows_below: int, config: CheckConfig, findings: Findings
) -> None:
    """List a source, and judge the rows by it.

    Images are those that the newest run selected; a row of another run's selection counts as long
    as its image is there.

    Raises
    ------
    SourceError
        If the source cannot be listed.
    """
    known, chosen = (
        known_images(features_table(held.store), str((held.network or {})["model_id"])),
        _chooser(held),
    )
    forgotten, start = _forgotten(held, config), len(paths.prefix_of(source.url))
    listing = Listing(source, Selection())
    images = missing = changed = met = 0
    first = ["", ""]
    try:
        for item in listing:
            reference = item.reference if isinstance(item, Rejection) else item
            found = known.look_up(reference.path, reference.version)
            met += found is not None
            if not chosen(reference.path[start:], reference.label):
                continue
            if any(reference.path in one for one in forgotten):
                continue
            images += 1
            if found is None:
                missing, first[0] = missing + 1, first[0] or reference.path
            elif not found[1] and not _is_retried(found):
                changed, first[1] = changed + 1, first[1] or reference.path
    finally:
        listing.close()
    findings.none_of("source.images", missing, f"of {images:,} images without a row", first[0])
    findings.none_of("source.versions", changed, "images that have changed since", first[1])
    what = f"of {rows_below:,} rows whose image is gone"
    findings.none_of("source.gone", rows_below - met, what)


def _chooser(held: Held) -> Callable[[str, str], bool]:
    config = held.record.config if held.record else {}
    globs = (tuple(config.get(name, ())) for name in ("include", "exclude", "classes"))
    return Selection(*globs).chooser()


def _forgotten(held: Held, config: CheckConfig) -> tuple[Forgotten, ...]:
    recorded = held.record.config if held.record else {}
    stores, origin = [held.store], recorded.get("pca_from")
    if origin is not None:
        given = config.endpoint_url, config.region
        stores.append(open_recorded(paths.place(origin), recorded, *given))
    return tuple(map(read_forgotten, stores))


def _is_retried(found: tuple[int, bool]) -> bool:
    # of an image that could not be read, no version is known
    return found[0] == Known.RETRY
