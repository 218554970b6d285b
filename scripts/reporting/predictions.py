"""What a folder of predictions comes to, as markup: rates, confusions, the worst utterances."""

from dataclasses import dataclass, field

from scripts.reporting import charts
from scripts.reporting.charts import shown
from scripts.reporting.markup import Markup, join, rows, scrolling, tag
from scripts.reporting.runs import Run
from scripts.reporting.scores import NOTHING, Bad, Scores
from src.utils.tables import counted, percent

MOST_CONFUSIONS = 25  # rows of the table
MOST_UNITS = 400  # words or phonemes of an utterance that are shown


@dataclass
class Media:
    """What can be heard and seen of an utterance, or why not."""

    sound: str | None = None  # data URIs
    picture: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Part:
    """A run with the predictions that belong to it, or predictions of nobody's."""

    run: Run | None
    scores: list[Scores] = field(default_factory=list)
    media: dict[tuple[str, str], Media] = field(default_factory=dict)  # (source, id) → media
    missing: list[str] = field(default_factory=list)


def predictions(part: Part, scores: Scores) -> Markup:
    """Rates, confusions and the worst utterances of one folder."""
    if not scores.n_utterances:
        return join(tag("p", "None of the files can be scored."), _skipped(scores))
    confused = sorted(scores.confusions.errors.items(), key=lambda item: (-item[1], item[0]))
    unit = "phoneme" if scores.unit == "phoneme" else "character"
    if not confused:
        return join(_rates(scores), _skipped(scores), tag("p", "There is no error at all."))
    return join(
        _rates(scores),
        _skipped(scores),
        tag("h3", f"Which {unit}s are confused"),
        tag("div", _confusions(scores, confused), _map(scores), class_="beside"),
        tag("p", _map_legend(unit), class_="quiet"),
        tag("h3", "The worst utterances"),
        _legend(),
        tag("ol", *(_utterance(part, scores, bad) for bad in scores.worst), class_="worst"),
    )


def _rates(scores: Scores) -> Markup:
    table = []
    for name, rate in scores.rates.items():
        c = rate.counts
        errors = [f"{n:,}" for n in (c.substitutions, c.deletions, c.insertions)]
        value = percent(rate.rate, (rate.low, rate.high))
        table.append([name, value, *errors, f"{c.reference_length:,}"])
    header = ["rate", "value [95 % interval]", "substituted", "deleted", "inserted", "of"]
    return rows(table, header, f"{counted(scores.n_utterances, 'utterance')} scored.")


def _skipped(scores: Scores) -> Markup | None:
    if not scores.skipped:
        return None
    told = ", ".join(f"{n:,} × {reason}" for reason, n in scores.skipped.most_common(10))
    return tag("p", f"Files left out: {told}.", class_="notes")


def _confusions(scores: Scores, confused: list[tuple[tuple[str, str], int]]) -> Markup:
    said_times, table = scores.confusions.said, []
    for (said, heard), n in confused[:MOST_CONFUSIONS]:
        kind = "inserted" if said == NOTHING else "deleted" if heard == NOTHING else "substituted"
        share = percent(n / said_times[said]) if said_times[said] else "–"
        table.append([shown(said), shown(heard), kind, f"{n:,}", share])
    header = ["said", "heard", "error", "times", "of the times said"]
    kinds = counted(len(confused), "kind")
    caption = f"The {len(table)} most frequent of {kinds}. ␣ is a space, ∅ nothing."
    return rows(table, header, caption)


def _map(scores: Scores) -> Markup:
    return scrolling(charts.heat_map(scores.confusions), "Heat map of confusions")


def _map_legend(unit: str) -> str:
    return (
        f"A row is the {unit} said, a column what was heard; ∅ is a deletion at the right and an "
        "insertion at the bottom. Stronger colour: a greater share of the times that it was said "
        "(of all insertions in the bottom row). The diagonal, what was heard right, is left out."
    )


def _legend() -> Markup:
    kinds = [_unit("said", "heard"), " substituted, ", _unit("said", NOTHING), " deleted, "]
    return tag("p", *kinds, _unit(NOTHING, "heard"), " inserted.", class_="quiet")


def _utterance(part: Part, scores: Scores, bad: Bad) -> Markup:
    media = part.media.get((scores.source, bad.id), Media())
    text = [_unit(said, heard) for said, heard in bad.pairs[:MOST_UNITS]]
    if len(bad.pairs) > MOST_UNITS:
        text.append(tag("span", f"… {len(bad.pairs) - MOST_UNITS:,} more", class_="quiet"))
    sound = media.sound and tag("audio", controls=True, preload="none", src=media.sound)
    alt = f"Spectrogram of {bad.id} under its decoded tokens, and their posteriors over time"
    return tag(
        "li",
        tag(
            "h4",
            bad.id,
            tag("span", f" {counted(bad.errors, 'error')}, {percent(bad.rate)}", class_="quiet"),
        ),
        tag("div", *text, class_="aligned"),
        sound or None,
        tag("img", src=media.picture, alt=alt) if media.picture else None,
        *(tag("p", note, class_="quiet") for note in media.notes),
    )


def _unit(said: str, heard: str) -> Markup:
    """A word with what was heard below it; <del> and <ins> tell what colours do."""
    if said == heard:
        return tag("span", said, class_="unit")
    kind = "inserted" if said == NOTHING else "deleted" if heard == NOTHING else "substituted"
    words = [tag("del", said) if said else None, tag("ins", heard) if heard else None]
    return tag("span", *words, class_=f"unit {kind}")
