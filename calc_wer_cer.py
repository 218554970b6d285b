"""Score a folder of predictions: corpus WER and CER (or PER) with confidence intervals.

  python calc_wer_cer.py --dir_path saved/predict/test-clean
  python calc_wer_cer.py --dir_path saved/predict/test-clean --worst 10
  python calc_wer_cer.py --dir_path DIR --json > scores.json
  python calc_wer_cer.py --dir_path DIR --csv pairs.csv

Every *.json below the folder is one utterance: {"pred_text": "...", "text": "..."}, as
inference.py writes them (older files with just these two keys do too). Where the file says
"unit": "phoneme", phonemes are counted (PER), and words where it names "word" and "pred_word".

A rate is summed errors over summed reference length. Its interval says how far the rate would
move with other utterances of the same kind (bootstrap, 95 %). Two systems whose intervals
overlap widely have not been told apart.

Where the files tell how sure each word is, the area under the ROC curve (AUC) says how well that
ranks wrong words below right ones: 1 always, 0.5 as by chance.

Exit status: 0 all files scored; 1 some left out, named on stderr; 2 nothing to score.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from src.metrics import (
    READINGS,
    ErrorCounts,
    Ranking,
    RateSummary,
    Skipped,
    TextPair,
    aligned,
    compared_units,
    measure,
    plain,
    plain_rankings,
    rank_all,
    ranking_lines,
    read_predictions,
    summarise_all,
    table,
    worst,
)
from src.text import Normaliser
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

_ENGLISH, _LOWER = Normaliser(), Normaliser(drop_punctuation=False)
NORMALISERS: dict[str, tuple[Callable[[str], str], str]] = {
    "english": (_ENGLISH, _ENGLISH.describe()),
    "lower": (_LOWER, _LOWER.describe()),
    "none": (str, "as written, spaces collapsed"),
}
_NAMED = 20  # skipped files of one kind are named up to here, then counted


@ctrl_c_ends("calc_wer_cer.py", "nothing was changed")
def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal without × or é still gets its table
        stream.reconfigure(errors="backslashreplace")
    try:
        pairs, skipped = read_predictions(options.dir_path, options.field)
        warn(skipped)
        if not pairs:
            raise _nothing_to_score(skipped, options)
        normalise, _ = NORMALISERS[options.normalise]
        measures = [measure(pair, normalise) for pair in pairs]
        if options.csv:
            write_pairs(options.csv, pairs, measures)
    except UserError as error:
        print(f"calc_wer_cer.py: {error}", file=sys.stderr)
        return 2
    scores = summarise_all(measures, options.n_resamples)
    rankings = rank_all(pairs, normalise, options.n_resamples)
    report = _json_report if options.json else _text_report
    shown = worst(pairs, measures, options.worst)
    print_report(report(options, skipped, scores, rankings, shown, len(pairs)))
    return 1 if skipped else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dir_path",
        default="saved/predict/test-clean",
        metavar="DIR",
        help="folder of predictions, searched with its subfolders (default: %(default)s)",
    )
    parser.add_argument(
        "--field",
        default="pred_text",
        choices=READINGS,
        help="which of the file's readings to score; pred_word: the words that a phoneme model "
        "found in its lexicon, by WER and CER (default: %(default)s)",
    )
    parser.add_argument(
        "--normalise",
        default="english",
        choices=list(NORMALISERS),
        help="done to both sides alike. "
        + "; ".join(f"{name}: {described}" for name, (_, described) in NORMALISERS.items())
        + " (default: %(default)s)",
    )
    parser.add_argument(
        "--worst",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="also show the N utterances of highest rate, reference over prediction",
    )
    parser.add_argument(
        "--n_resamples",
        type=whole_number(1),
        default=1000,
        metavar="N",
        help="bootstrap samples behind each interval (default: %(default)s)",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="also write a table of all utterances: file, text, reading, errors and length",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; rates are fractions")
    return parser


def write_pairs(path: Path, pairs: list[TextPair], measures: list[dict[str, ErrorCounts]]) -> None:
    """A line of CSV for each utterance, whose texts are as the files have them."""
    names = list(dict.fromkeys(name for counts in measures for name in counts))
    head = ["file", "text", "pred_text"]
    head += [f"{name} {column}" for name in names for column in ("errors", "length")]
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for pair, counts in zip(pairs, measures, strict=True):
            found = [counts.get(name) for name in names]
            numbers = [(c.errors, c.reference_length) if c else ("", "") for c in found]
            row = [_encodable(text) for text in (pair.file, pair.reference, pair.hypothesis)]
            writer.writerow(row + [number for both in numbers for number in both])


def _encodable(text: str) -> str:
    """The text; half a surrogate, which JSON may hold and UTF-8 can't, as \\udc00 is written."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def warn(skipped: list[Skipped]) -> None:
    """Every file left out, on stderr; of one reason only the first few by name."""
    by_reason: dict[str, list[str]] = {}
    for file, reason in skipped:
        by_reason.setdefault(reason, []).append(file)
    for reason, files in by_reason.items():
        for file in files[:_NAMED]:
            print(f"left out: {file}: {reason}", file=sys.stderr)
        if len(files) > _NAMED:
            print(f"left out: {len(files) - _NAMED} more: {reason}", file=sys.stderr)


def print_report(report: str) -> None:
    """Print, unless whoever reads has gone."""
    try:
        print(report, flush=True)
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nothing_to_score(skipped: list[Skipped], options: argparse.Namespace) -> UserError:
    return UserError(
        f"{options.dir_path}: none of its {counted(len(skipped), 'JSON file')} can be scored. "
        f'Each needs "{options.field}" and "text"; predict a part whose transcripts are known, for '
        "example python inference.py -cn=inference."
    )


def _text_report(
    options: argparse.Namespace,
    skipped: list[Skipped],
    scores: dict[str, RateSummary],
    rankings: dict[str, Ranking],
    shown: list[tuple[TextPair, ErrorCounts]],
    n_utterances: int,
) -> str:
    normalise, described = NORMALISERS[options.normalise]
    scored = counted(n_utterances, "utterance")
    lines = [
        f"{options.dir_path}: {scored} scored, {len(skipped):,} left out",
        f"{options.field} against text. Both sides: {described} (--normalise {options.normalise}).",
    ]
    if "PER" in scores:
        lines.append("Phonemes: compared as written, word boundaries not counted.")
    lines += ["", table(scores)]
    if rankings:
        lines += ["", ranking_lines(rankings)]
    for pair, counts in shown:
        lines += ["", f"{pair.file}: {counted(counts.errors, 'error')}, {100 * counts.rate:.1f} %"]
        for above, below in aligned(*compared_units(pair, normalise)):
            lines += [f"  text {above}".rstrip(), f"  pred {below}".rstrip()]
    return "\n".join(lines)


def _json_report(
    options: argparse.Namespace,
    skipped: list[Skipped],
    scores: dict[str, RateSummary],
    rankings: dict[str, Ranking],
    shown: list[tuple[TextPair, ErrorCounts]],
    n_utterances: int,
) -> str:
    report = {
        "dir_path": options.dir_path,
        "field": options.field,
        "normalise": options.normalise,
        "n_resamples": options.n_resamples,
        "n_utterances": n_utterances,
        "skipped": [skip._asdict() for skip in skipped],
        "scores": plain(scores),
        "confidence": plain_rankings(rankings),
        "worst": [
            {
                "file": pair.file,
                "rate": counts.rate,
                "errors": counts.errors,
                "text": pair.reference,
                "pred_text": pair.hypothesis,
            }
            for pair, counts in shown
        ],
    }
    return json.dumps(report, indent=2)


if __name__ == "__main__":
    sys.exit(main())
