"""Draws the last slides: what it costs, what may come next, and where every figure is from."""

from pptx.enum.text import MSO_ANCHOR, PP_ALIGN

from featuremill.cloud.pricing.bill import MONTH, RUN, UPLOAD, Bill
from featuremill.cloud.pricing.throughput import LEAST_SECONDS, SHIPPING_SECONDS
from featuremill.export.slides.box import BODY, Box
from featuremill.export.slides.canvas import Canvas, Paragraph
from featuremill.export.slides.cost import MILLION, USUAL_SPEED, Cost
from featuremill.export.slides.deck import Deck
from featuremill.export.slides.facts import Facts
from featuremill.export.slides.theme import Ink
from featuremill.export.slides.wording import Words, shortened
from featuremill.pca.components import components_needed

_MOST_STEPS = 5
_ENOUGH = 0.9
"""Share of the variance below which more components are proposed."""


def cost(deck: Deck, facts: Facts) -> None:
    """Show what these images cost on AWS, or just the prices where no run embedded anything."""
    words, known = deck.words, facts.cost
    said = "; ".join(f"{name}, {date} ({region})" for name, date, region in known.sources)
    values = {"region": known.region, "images": words.number(facts.images), "sources": said}
    if known.bill is None or known.million is None:
        _prices(deck.page("prices", **values), words, known)
        return
    basis = words("cost.basis_usual" if known.is_usual else "cost.basis_own", run=known.run)
    page = deck.page("cost", **values, basis=basis)
    left, right = BODY.columns(8.7, 3.1, gap=0.4)
    table, below = left.rows(3.55, 1.0)
    rows = [
        [
            words.known("cost.lines", line.what),
            words.number(line.quantity, 3),
            words.known("cost.units", line.price.unit),
            words.price(line.price.usd),
            words.amount(line.usd),
        ]
        for line in known.bill.lines
    ]
    header = [words(f"cost.{name}") for name in ("what", "quantity", "unit", "price", "amount")]
    widths = (3.5, 1.25, 1.75, 1.5, 1.75)
    alt = words("cost.alt", amount=words.money(known.bill.usd(RUN)))
    page.table(table, header, rows, alt, widths=widths, numbers=(1, 3, 4), size=12, row=0.42)
    page.text(below, _assumed(words, known, known.bill), size=12, ink=Ink.MUTED, margin=0)
    figures = (
        (words.money(known.bill.usd(RUN)), words("cost.run")),
        (words.money(known.bill.usd(UPLOAD)), words("cost.upload")),
        (words.money(known.bill.usd(MONTH)), words("cost.month")),
        (words.money(known.million.usd(RUN)), words("cost.million", count=words.number(MILLION))),
    )
    for box, (figure, what) in zip(right.rows(1, 1, 1, 1), figures, strict=True):
        page.card(
            box, [Paragraph(figure, 22, True, Ink.TEAL), Paragraph(what, 12, False, Ink.MUTED)]
        )


def _assumed(words: Words, known: Cost, bill: Bill) -> str:
    known_by = words(
        "cost.by_usual" if known.is_usual else "cost.by_own",
        run=known.run,
        share=words.number(known.share, 1),
        worked=words.seconds(known.worked),
        least=words.number(LEAST_SECONDS),
        usual=words.number(USUAL_SPEED, 1),
    )
    return words(
        "cost.assumed",
        vcpu=known.max_vcpu,
        speed=words.number(bill.throughput.per_vcpu, 1),
        known_by=known_by,
        shipping=words.number(SHIPPING_SECONDS),
        dates=", ".join(dict.fromkeys(price.date for price in known.prices)),
    )


def _prices(page: Canvas, words: Words, known: Cost) -> None:
    rows = [
        [
            words.known("prices.items", price.item),
            words.known("cost.units", price.unit),
            words.price(price.usd),
            f"{price.region}, {price.date}",
        ]
        for price in known.prices
    ]
    header = [words("cost.what"), words("cost.unit"), words("cost.price"), words("prices.of")]
    alt = words("prices.alt")
    page.table(BODY, header, rows, alt, widths=(3.6, 2.6, 1.4, 3), numbers=(2,), size=14, row=0.5)


def following(deck: Deck, facts: Facts) -> None:
    """Propose what to do next, depending on what the run left."""
    words = deck.words
    page = deck.page("following")
    places = BODY.rows(*[1] * _MOST_STEPS, gap=0.16)
    for number, (box, step) in enumerate(
        zip(places, _steps(words, facts)[:_MOST_STEPS], strict=False), start=1
    ):
        mark, text, command = box.columns(0.8, 5.6, 5.5, gap=0.15)
        line = Paragraph(str(number), 24, True, Ink.PAPER)
        page.card(mark, [line], fill=Ink.TEAL, align=PP_ALIGN.CENTER, margin=0.02)
        lines = [Paragraph(step["name"], 15, True), Paragraph(step["what"], 12, False, Ink.MUTED)]
        page.text(text, lines, anchor=MSO_ANCHOR.MIDDLE)
        page.card(command, [Paragraph(step["command"], 13, False, Ink.TEXT)])


def _steps(words: Words, facts: Facts) -> list[dict[str, str]]:
    record, wanted, values = facts.record, [], dict[str, str]()
    if not record.network.get("trained", True):
        wanted.append("weights")
    if facts.rejects:
        wanted.append("rejects")
        values["rejects"] = words.number(facts.rejects)
    if facts.pca is None:
        wanted.append("reduce")
    elif facts.variance_held < _ENOUGH:
        wanted.append("variance")
        values["k"] = words.number(components_needed(facts.pca.spectrum_, _ENOUGH))
        values["share"] = words.percent(_ENOUGH, 0)
    if record.was_here:
        wanted.append("cloud")
    wanted += ["look", "duplicates", "export", "check"]
    return [
        {name: text.format(**values) for name, text in words.raw(f"following.{step}").items()}
        for step in wanted
    ]


def sources(deck: Deck, facts: Facts) -> None:
    """Name the source of every figure."""
    words, record = deck.words, facts.record
    page = deck.page("sources")
    network = record.network
    used = ("featuremill", "python", "pyspark", "openvino", "onnxruntime", "numpy")
    versions = ", ".join(
        f"{name} {record.versions[name]}" for name in used if name in record.versions
    )
    model = f"{network.get('name', '?')}, {network.get('model_id', '?')}"
    if not network.get("trained", True):
        model += f" ({words('sources.untrained')})"
    rows = [
        [words("sources.run"), f"{record.run}, {record.started}"],
        [words("sources.from"), shortened(facts.source, 95)],
        [words("sources.results"), shortened(facts.dest, 95)],
        [words("sources.model"), model],
        [words("sources.weights"), f"SHA-256 {str(network.get('weights_sha256', '?'))[:16]}…"],
        [words("sources.licence"), str(network.get("licence", "?"))],
        [words("sources.versions"), versions or "?"],
    ]
    header = [words("sources.what"), words("sources.where")]
    upper = Box(BODY.left, BODY.top, BODY.width, 3.2)
    alt = words("sources.alt")
    page.table(upper, header, rows, alt, widths=(2.2, 9.9), size=12, row=0.38)
    lower = Box(BODY.left, BODY.top + 3.25, BODY.width, 1.5)
    lines = [Paragraph(words("sources.prices"), 13, True)]
    lines += [
        Paragraph(f"{name}: {date}, {region}", 12, False, Ink.MUTED)
        for name, date, region in facts.cost.sources
    ]
    page.text(lower, lines, margin=0)
