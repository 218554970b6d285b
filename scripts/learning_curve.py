"""How low would the error rate be with more hours of speech? A power law through what was tried."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calc_wer_cer import NORMALISERS, print_report
from scripts.compare import read_all
from scripts.reporting.learning_curve import drawn_curve
from src.logger.pictures import save_png
from src.metrics import READINGS
from src.metrics.compared import System
from src.metrics.comparison import resampled_rates, seed_rates
from src.metrics.learning_curve import Foretold, PowerLaw, fit_power_law, foretell
from src.metrics.pairing import measure_all, pair_up
from src.utils.arguments import number_above, whole_number
from src.utils.errors import UserError
from src.utils.files import write_json
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import percent, table

HELP = """\
Folders of predictions of the same utterances by models trained on more and more hours, each as
HOURS=DIR; a size may come several times, with other seeds:

  python -m scripts.learning_curve 0.5=saved/predict/a 1=saved/predict/b 2=saved/predict/c
  python -m scripts.learning_curve 1=saved/predict/b 2=saved/predict/c 3.7=saved/predict/d \\
      --to 100 960 --beside 960=10.5=deepspeech.pytorch --picture curve.png --out curve.json

The interval is where 95 % of trainings at that size should fall: it holds the choice of the test
utterances (bootstrap) and the scatter of the trainings about the line (Student's t). It trusts the
power law, which no curve follows for ever; rates near 100 %, where hardly a word is read, lie on
none and should be left out. Exit status: 0, or 1 with one line where no curve can be drawn."""
HOURS = PERCENT = number_above(0)
SATURATED = 0.9  # rates above it tell little of how learning goes on


class Point(NamedTuple):
    """A trained model, or with a name instead of a folder what others published."""

    hours: float
    folder: str = ""
    rate: float = 0.0
    name: str = ""


@ctrl_c_ends("learning_curve", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read, fit, print. A person's mistake ends in one line and status 1."""
    options = parse(words)
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        points = sorted(options.points)
        name, errors, lengths = read_errors(points, options.field, options.normalise)
        hours = np.array([point.hours for point in points])
        rates = seed_rates(errors, lengths)
        resampled = resampled_rates(errors[:, None], lengths, None, options.n_resamples)
        law, told = extrapolated(hours, rates, resampled, np.array(options.to))
        if options.out:
            write_json(options.out, plain(name, points, rates, law, options.to, told))
        if options.picture:
            trained = [(p.hours, float(r)) for p, r in zip(points, rates, strict=True)]
            beside = [(p.hours, p.rate, p.name) for p in options.beside]
            forecasts = list(zip(options.to, told, strict=True))
            save_png(drawn_curve(name, trained, law, forecasts, beside), options.picture)
    except UserError as error:
        sys.exit(f"learning_curve: {error}")
    print_report(report(name, points, rates, resampled, law, options, told))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.learning_curve",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("points", nargs="+", type=point, metavar="HOURS=DIR", help="predictions of one model")
    add(
        "--to",
        nargs="+",
        type=HOURS,
        default=[100.0, 960.0],
        metavar="HOURS",
        help="sizes to foretell (default: 100 960)",
    )
    add(
        "--beside",
        nargs="+",
        type=published,
        default=[],
        metavar="HOURS=PERCENT=NAME",
        help="what others published, to draw and print beside it",
    )
    add("--field", default="pred_text", choices=READINGS, help="see calc_wer_cer.py")
    add("--normalise", choices=list(NORMALISERS), default="english", help="see calc_wer_cer.py")
    add("--n_resamples", type=whole_number(1), default=10_000, metavar="N", help="%(default)s")
    add("--picture", type=Path, metavar="FILE.png", help="draw the curve")
    add("--out", type=Path, metavar="FILE.json", help="also write JSON; rates are fractions there")
    return parser.parse_args(words)


def point(value: str) -> Point:
    """HOURS=DIR."""
    hours, equals, folder = value.partition("=")
    if not equals or not folder:
        raise argparse.ArgumentTypeError(
            f"{value}: expected HOURS=DIR, such as 3.7=saved/predict/d"
        )
    return Point(HOURS(hours), folder)


def published(value: str) -> Point:
    """HOURS=PERCENT=NAME."""
    hours, _, rest = value.partition("=")
    rate, _, name = rest.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{value}: expected HOURS=PERCENT=NAME")
    return Point(HOURS(hours), rate=PERCENT(rate) / 100, name=name)


def read_errors(
    points: Sequence[Point], field: str, normalise: str
) -> tuple[str, np.ndarray, np.ndarray]:
    """The leading rate's name, errors (trainings, utterances) and reference lengths.

    Raises:
        UserError: a folder can't be read, or they hold other utterances.
    """
    reads = read_all([System("trained", [place.folder for place in points], field)])
    paired = pair_up(reads, NORMALISERS[normalise][0], common=False)
    name, measured = next(iter(measure_all(paired, NORMALISERS[normalise][0]).items()))
    return name, measured.errors, measured.lengths


def extrapolated(
    hours: np.ndarray, rates: np.ndarray, resampled: np.ndarray, targets: np.ndarray
) -> tuple[PowerLaw, list[Foretold]]:
    """The line and what it foretells.

    Raises:
        UserError: too few trainings for a line, or one without errors.
    """
    try:
        return fit_power_law(hours, rates), foretell(hours, rates, resampled, targets)
    except ValueError as error:
        raise UserError(f"no curve can be drawn: {error}.") from error


def plain(
    name: str,
    points: Sequence[Point],
    rates: np.ndarray,
    law: PowerLaw,
    targets: Sequence[float],
    told: Sequence[Foretold],
) -> dict:
    """The same for JSON."""
    tried = zip(points, rates, strict=True)
    return {
        "rate": name,
        "trained": [{"hours": p.hours, "folder": p.folder, "rate": float(r)} for p, r in tried],
        "power_law": law._asdict(),
        "foretold": [{"hours": h} | t._asdict() for h, t in zip(targets, told, strict=True)],
    }


def report(
    name: str,
    points: Sequence[Point],
    rates: np.ndarray,
    resampled: np.ndarray,
    law: PowerLaw,
    options: argparse.Namespace,
    told: Sequence[Foretold],
) -> str:
    """What was tried, the law, and what it foretells."""
    ends = np.quantile(resampled, [0.025, 0.975], axis=1).T
    tried = [
        (f"{p.hours:g}", percent(rate, tuple(interval)), p.folder)
        for p, rate, interval in zip(points, rates, ends, strict=True)
    ]
    future = [
        (f"{hours:g}", percent(one.rate, (one.low, one.high)), "foretold")
        for hours, one in zip(options.to, told, strict=True)
    ]
    others = [(f"{p.hours:g}", percent(p.rate), p.name) for p in options.beside]
    times = 2**law.exponent
    lines = [
        table([*tried, *future, *others], ("hours", name, "by")),
        f"{name} = {100 * law.factor:.1f} % · hours^−{law.exponent:.3f}: twice the speech divides "
        f"it by {times:.2f}; single trainings scatter by {100 * law.scatter:.1f} % of it.",
    ]
    if max(rates) > SATURATED:
        lines.append(
            f"A rate above {percent(SATURATED)} lies on no power law: leave that training out."
        )
    return "\n\n".join(lines)


if __name__ == "__main__":
    main()
