"""Is system B better than system A? Rates of folders of predictions held against each other."""

import argparse
import string
import sys
from collections.abc import Sequence
from pathlib import Path

from calc_wer_cer import NORMALISERS, print_report, warn
from src.metrics import READINGS, Skipped, read_predictions
from src.metrics.compared import (
    System,
    compare_rates,
    comparison_tables,
    differing_most,
    side_by_side,
)
from src.metrics.pairing import Paired, Read, by_id, measure_all, pair_up, speaker_of
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import write_json
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Holds each folder of predictions against the first, the same utterances in both (paired bootstrap,
Bisani and Ney 2004):

  python -m scripts.compare saved/predict/lstm saved/predict/gru
  python -m scripts.compare saved/predict/lstm saved/predict/gru --by speaker --worst 5
  python -m scripts.compare saved/predict/ls saved/predict/ls --field greedy_text --field beam_text

The words that a phoneme model found in its lexicon (decoder=beam_lm), beside those of letters:

  python -m scripts.compare saved/predict/letters saved/predict/phonemes \\
      --field pred_text --field pred_word

A system trained with several seeds is several folders, one --system each:

  python -m scripts.compare --system saved/predict/lstm_* --system saved/predict/gru_*

Below 0.05, p says that the difference would hardly be met were both as good; "not told apart" does
not say that they are. Exit status: 0, or 1 with one line where they can't be compared."""
FEW_SPEAKERS, FEW_SEEDS = 10, 4  # below these a bootstrap shows too little of how they vary


@ctrl_c_ends("compare", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read, compare, print. A person's mistake ends in one line and status 1."""
    options = parse(words)
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without − still gets its table
    normalise, described = NORMALISERS[options.normalise]
    try:
        systems = name_systems(options)
        paired = pair_up(read_all(systems), normalise, options.common)
        groups = speakers(paired.ids) if options.by == "speaker" else None
        measures = measure_all(paired, normalise)
        rates = {
            name: compare_rates(systems, measured, groups, options.n_resamples, options.seed)
            for name, measured in measures.items()
        }
        worst = differing_most(systems, next(iter(measures.values())), options.worst)
        if options.out:
            write_json(options.out, plain_report(options, systems, paired, groups, rates, worst))
    except UserError as error:
        sys.exit(f"compare: {error}")
    texts = [
        introduction(options, systems, paired, groups, described),
        *comparison_tables(systems, rates),
        *(side_by_side(systems, paired, place, errors, normalise) for place, errors in worst),
    ]
    print_report("\n\n".join(texts))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compare",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", nargs="*", metavar="DIR", help="folders of predictions, a system each")
    add(
        "--system",
        action="append",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of one system, a seed each; again for each system",
    )
    add(
        "--by",
        choices=("utterance", "speaker"),
        default="utterance",
        help="what is drawn anew; speakers are known by the ids of LibriSpeech and Speech Commands "
        "(default: %(default)s)",
    )
    add("--common", action="store_true", help="leave out utterances that a folder lacks")
    add(
        "--field",
        action="append",
        choices=READINGS,
        help="which reading of the files (default: pred_text); again for each system's own",
    )
    add("--normalise", choices=list(NORMALISERS), default="english", help="see calc_wer_cer.py")
    add(
        "--worst",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="show the N utterances where errors differ most; of seeds, what the first one read",
    )
    add(
        "--n_resamples",
        type=whole_number(1),
        default=10_000,
        metavar="N",
        help="bootstrap samples (default: %(default)s); p is never below 2 / (N + 1)",
    )
    add("--seed", type=whole_number(0), default=0, help="of the resampling (default: 0)")
    add("--out", type=Path, metavar="FILE", help="also write JSON; rates are fractions there")
    return parser.parse_args(words)


def name_systems(options: argparse.Namespace) -> list[System]:
    """Systems as A, B, C …; those of a single folder come first.

    Raises:
        UserError: fewer than two, more than letters, a folder twice in one, or an odd number of
            fields.
    """
    folders = [[folder] for folder in options.folders] + options.system
    if not 2 <= len(folders) <= len(string.ascii_uppercase):
        raise UserError(
            f"{counted(len(folders), 'system')} given, expected 2 to 26: "
            "python -m scripts.compare A B, or --system A1 A2 --system B1 B2 for several seeds."
        )
    twice = [name for names in folders for name in set(names) if names.count(name) > 1]
    if twice:
        raise UserError(f"{twice[0]}: stands twice in one --system; each seed has its own folder.")
    fields = options.field or [READINGS[0]]
    if len(fields) not in (1, len(folders)):
        raise UserError(
            f"--field stands {len(fields)} times for {len(folders)} systems; give it once for "
            "all, or once for each in their order."
        )
    fields = fields * len(folders) if len(fields) == 1 else fields
    return list(map(System, string.ascii_uppercase, folders, fields))


def read_all(systems: Sequence[System]) -> list[Read]:
    """Every folder of every system in order; what can't be read is named on stderr."""
    reads, skipped = [], []
    for system in systems:
        for folder in system.folders:
            pairs, unreadable = read_predictions(folder, system.field)
            name = folder if system.field == READINGS[0] else f"{folder} ({system.field})"
            reads.append(Read(name, by_id(pairs)))
            skipped += [Skipped(str(Path(folder, file)), reason) for file, reason in unreadable]
    warn(skipped)
    return reads


def speakers(ids: Sequence[str]) -> list[str]:
    """Who speaks each utterance.

    Raises:
        UserError: an id does not tell, or all are of one speaker.
    """
    found = {name: speaker_of(name) for name in ids}
    unknown = [name for name, speaker in found.items() if speaker is None]
    if unknown:
        raise UserError(
            f"{unknown[0]}: this id does not tell its speaker, nor do "
            f"{counted(len(unknown) - 1, 'other')}; --by speaker needs ids "
            "as LibriSpeech (61-70968-0000) or Speech Commands (on_22a97823_nohash_0) have them."
        )
    if len(set(found.values())) == 1:
        raise UserError("all utterances are of one speaker; leave out --by speaker.")
    return list(found.values())


def introduction(
    options: argparse.Namespace,
    systems: Sequence[System],
    paired: Paired,
    groups: Sequence[str] | None,
    described: str,
) -> str:
    """What is compared, and how."""
    names = [f"{system.letter}  {', '.join(system.folders)}" for system in systems]
    if len({system.field for system in systems}) > 1:
        names = [f"{name}  ({s.field})" for name, s in zip(names, systems, strict=True)]
    left_out = f", {paired.n_left_out:,} left out that not all have" if paired.n_left_out else ""
    n_speakers = len(set(groups or ()))
    drawn = counted(n_speakers, "speaker") if groups else "utterances"
    lines = [
        *names,
        f"{counted(len(paired.ids), 'utterance')} in each{left_out}; "
        f"{options.n_resamples:,} resamples of {drawn} (seed {options.seed}).",
        f"Both sides: {described} (--normalise {options.normalise}).",
    ]
    if groups is None and all(map(speaker_of, paired.ids)):
        lines.append("Utterances of one speaker are not independent: see --by speaker.")
    few = [counted(n_speakers, "speaker")] if groups and n_speakers < FEW_SPEAKERS else []
    n_seeds = [len(s.folders) for s in systems if 1 < len(s.folders) < FEW_SEEDS]
    few += [f"{min(n_seeds)} seeds"] if n_seeds else []
    if few:
        lines.append(f"Only {' and '.join(few)}: intervals are narrower than they should be.")
    return "\n".join(lines)


def plain_report(
    options: argparse.Namespace,
    systems: Sequence[System],
    paired: Paired,
    groups: Sequence[str] | None,
    rates: dict[str, dict],
    worst: Sequence[tuple[int, list[float]]],
) -> dict:
    """The same for JSON."""
    return {
        "systems": [system._asdict() for system in systems],
        "normalise": options.normalise,
        "by": options.by,
        "n_resamples": options.n_resamples,
        "seed": options.seed,
        "n_utterances": len(paired.ids),
        "n_left_out": paired.n_left_out,
        "n_speakers": len(set(groups)) if groups else None,
        "rates": {name.lower().replace(" ", "_"): found for name, found in rates.items()},
        "worst": [{"id": paired.ids[place], "errors": errors} for place, errors in worst],
    }


if __name__ == "__main__":
    main()
