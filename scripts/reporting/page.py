"""The sections of a report, from what was read to markup; no file is touched here."""

import math
import time
from collections.abc import Sequence

from scripts.reporting import charts
from scripts.reporting.charts import Series
from scripts.reporting.markup import Markup, folded, join, page, rows, tag
from scripts.reporting.predictions import Part, predictions
from scripts.reporting.runs import LONGEST_TEXT, Run, differing_keys
from src.utils.tables import percent

RATES = {"wer": "WER", "cer": "CER", "per": "PER", "word_error": "word error"}
ENDINGS = ("learning_rate", "lr")


def render(parts: Sequence[Part]) -> Markup:
    """The whole page."""
    runs = [part.run for part in parts if part.run]
    sections = [("compared", "Runs compared", compared(parts))] if runs else []
    if runs:
        sections.append(("curves", "Curves", curves(runs)))
    numbered = [(part, scores) for part in parts for scores in part.scores]
    for n, (part, scores) in enumerate(numbered, 1):
        whose = f"{part.run.name}: " if part.run else ""
        sections.append((f"scores-{n}", f"{whose}{scores.source}", predictions(part, scores)))
    if len(runs) > 1:
        sections.append(("differences", "Where the configs differ", differences(runs)))
    for n, run in enumerate(runs, 1):
        sections.append((f"run-{n}", f"Config and environment of {run.name}", made_with(run)))
    title = "Report on " + (", ".join(run.name for run in runs) or "predictions")
    links = [tag("li", tag("a", heading, href=f"#{key}")) for key, heading, _ in sections]
    body = [
        tag("section", tag("h2", heading), content, id=key) for key, heading, content in sections
    ]
    header = tag("header", tag("h1", title), tag("p", _made(), class_="quiet"))
    contents = tag("nav", tag("ul", *links), aria_label="Contents")
    skip = tag("a", "To the content", href="#content", class_="skip")
    main = tag("main", notes(parts), *body, id="content")
    return page(title, skip, header, contents, main)


def notes(parts: Sequence[Part]) -> Markup | None:
    """What is missing, and of whom."""
    found = [
        tag("li", tag("strong", f"{part.run.name}: ") if part.run else None, sentence)
        for part in parts
        for sentence in dict.fromkeys([*(part.run.missing if part.run else []), *part.missing])
    ]
    if not found:
        return None
    return tag("aside", tag("h2", "What is missing"), tag("ul", *found), class_="notes")


def compared(parts: Sequence[Part]) -> Markup:
    """Size, time and errors of each run beside each other, longer bars for more."""
    table = [_row(part) for part in parts if part.run]
    columns = list(zip(*table, strict=True))
    barred = [_bars(column) for column in columns[1:]]
    cells = [list(row) for row in zip([row[0][0] for row in table], *barred, strict=True)]
    header = ["run", "parameters", "training time", "audio learnt", "steps"]
    return rows(
        cells,
        [*header, "best validation", "predictions"],
        "A bar is as long as its value; the shorter, the better.",
    )


def curves(runs: Sequence[Run]) -> Markup:
    """Loss, error rates, learning rate: a chart each, all runs in it."""
    drawn = []
    for title, unit, names in _charts(runs):
        series = [
            Series(
                label=_label(run, name, len(runs), len(names)),
                colour=n,
                points=sorted(
                    (step, 100 * value if unit == "%" else value)
                    for step, value in run.curves[name].items()
                ),
                dashed=(len(names) > 1 and name.startswith("train/")) or name.endswith("_beam"),
                marked=name.startswith("validation/"),
            )
            for n, run in enumerate(runs)
            for name in names
            if name in run.curves
        ]
        drawn.append(charts.line_chart(title, series, unit))
    if not drawn:
        return tag("p", "No run has logged anything.")
    return join(tag("div", *drawn, class_="charts"), _validations(runs))


def differences(runs: Sequence[Run]) -> Markup:
    """Config keys that are not the same in all runs."""
    found = [[key, *values] for key, values in differing_keys([run.config for run in runs])]
    return rows(found, ["key", *(run.name for run in runs)], "Keys with their values.")


def made_with(run: Run) -> Markup:
    """What is needed to run the same again."""
    facts = [[key, str(value)[:1000]] for key, value in run.environment.items()]
    facts += [["commit", run.commit]] if run.commit else []
    return join(
        rows(facts, ["", "value"], "Machine, versions and command") if facts else None,
        folded("config.yaml", _text(run.config_text)),
        folded("packages.txt", _text(run.packages)),
    )


def _charts(runs: Sequence[Run]) -> list[tuple[str, str, list[str]]]:
    """Title, unit and names of the curves in each chart that has any."""
    names = sorted({name for run in runs for name in run.curves})
    last = {name: name.rsplit("/", 1)[-1] for name in names}
    found = [("Loss", "nats per token", [n for n in names if last[n] == "loss"])]
    for key, title in RATES.items():
        found.append((title, "%", [n for n in names if last[n] in (key, f"{key}_beam")]))
    found.append(("Learning rate", "", [n for n in names if last[n] in ENDINGS]))
    found.append(("Speed", "s of audio a s", [n for n in names if last[n] == "audio_s_per_s"]))
    return [chart for chart in found if chart[2]]


def _label(run: Run, name: str, n_runs: int, n_names: int) -> str:
    whose = run.name if n_runs > 1 else ""
    return " ".join(
        filter(None, [whose, name.replace("_", " ") if n_names > 1 or not whose else ""])
    )


def _validations(runs: Sequence[Run]) -> Markup | None:
    """The numbers behind the curves of validation, for those who can't see them."""
    table = []
    for run in runs:
        names = [n for n in run.curves if n.startswith("validation/")]
        steps = sorted({step for name in names for step in run.curves[name]})[-100:]
        for step in steps:
            values = [run.curves[n].get(step) for n in names]
            told = [f"{n.split('/')[1]} {_value(n, v)}" for n, v in zip(names, values, strict=True)]
            table.append([run.name, f"{step:,}", ", ".join(told)])
    if not table:
        return None
    header = ["run", "step", "values"]
    return folded("Validations as numbers", rows(table, header, "At most the last 100 of a run."))


def _value(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "n/a"
    is_rate = name.split("/")[1].removesuffix("_beam") in RATES
    return percent(value) if is_rate else charts.number(value)


def _row(part: Part) -> list[tuple[str, float | None]]:
    """Of each column what it says and how long its bar is."""
    run, best = part.run, part.run.best()
    rate = next(iter(part.scores[0].rates.items()), None) if part.scores else None
    told = f"{best[0].upper()} {_value(f'validation/{best[0]}', best[1])}" if best else "–"
    scored = "–"
    if rate:
        scored = f"{rate[0]} {percent(rate[1].rate, (rate[1].low, rate[1].high))}"
    return [
        (run.name, None),
        ("unknown" if run.n_parameters is None else f"{run.n_parameters:,}", run.n_parameters),
        (duration(run.wall_s), run.wall_s),
        (duration(run.audio_s), None),
        ("–" if run.n_steps is None else f"{run.n_steps:,}", None),
        (f"{told} at step {best[2]:,}" if best else told, best[1] if best else None),
        (scored, rate[1].rate if rate else None),
    ]


def _bars(column: Sequence[tuple[str, float | None]]) -> list[Markup]:
    """Cells of a column; the longest bar is as wide as the cell."""
    most = max((value for _, value in column if value and math.isfinite(value)), default=0)
    return [
        tag(
            "span",
            text,
            tag("span", class_="bar", style=f"width: {100 * value / most:.1f}%", aria_hidden="true")
            if most and value is not None and math.isfinite(value)
            else None,
            class_="barred",
        )
        for text, value in column
    ]


def duration(seconds: float | None) -> str:
    """Hours, minutes or seconds, as suits."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    for size, name in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


def _text(text: str) -> Markup:
    cut = f"\n… {len(text) - LONGEST_TEXT:,} more characters" if len(text) > LONGEST_TEXT else ""
    content = tag("code", text[:LONGEST_TEXT] + cut) if text else "not there"
    return tag("pre", content, tabindex="0")


def _made() -> str:
    return f"Made {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC by scripts.report."
