"""Speak a text with many synthetic voices, into a corpus in LibriSpeech's layout."""

import argparse
import functools
import re
import sys
from pathlib import Path

from scripts.speaking.corpus import speak_corpus
from scripts.speaking.engines import ENGINES, PARTS
from scripts.speaking.sentences import read_sentences
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
examples:
  a corpus of your own sentences, and a training on it:
    python -m scripts.speak_text sentences.txt --out data/spoken
    python train.py -cn=deepspeech2 dataset.root=data/spoken 'dataset.train_parts=[spoken]'
  voices that training never hears, for validation:
    python -m scripts.speak_text more.txt.gz --out data/spoken --part held-out --voices validation

The text has one sentence a line, plain or as .gz or .xz; the ids of LibriSpeech's transcripts are
taken off. A speaker is a voice of the engine with a pitch, a liveliness, a speed and a level of
its own; speakers take turns, a chapter each.

The same arguments give the same bytes, whatever --jobs. A run that was killed goes on where it
was when the command is given again. Synthetic voices are far easier than people."""


@ctrl_c_ends("speak_text", "whole chapters stay; run it again to go on")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, speak, report. A person's mistake ends in one line and status 1."""
    options = parse(arguments)
    try:
        sentences = read_sentences(options.text, options.limit)
        n_utterances, hours, n_silent = speak_corpus(
            sentences,
            options.out,
            options.part,
            functools.partial(ENGINES[options.engine], options.model),
            voices=options.voices,
            n_speakers=options.n_speakers,
            first_speaker=options.first_speaker,
            chapter_size=options.chapter_size,
            readings=options.readings,
            seed=options.seed,
            jobs=options.jobs,
        )
    except UserError as error:
        sys.exit(f"speak_text: {error}")
    silent = f", {n_silent:,} without a sound left out" if n_silent else ""
    print(
        f"{options.out / options.part}: {counted(n_utterances, 'utterance')}, {hours:.2f} h{silent}"
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.speak_text",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, count, default = parser.add_argument, whole_number(1), "default %(default)s"
    add("text", type=Path, help="one sentence a line; .gz and .xz are unpacked")
    add("--out", type=Path, required=True, help="folder of the corpus")
    add("--part", type=_part, default="spoken", help=f"folder in it ({default})")
    add("--engine", choices=sorted(ENGINES), default="espeak", help=default)
    add("--model", type=Path, help="model file (piper) or folder (kokoro)")
    add("--voices", choices=PARTS, default="all", help=f"which of the engine's ({default})")
    add("--n_speakers", type=count, default=200, help=default)
    add("--first_speaker", type=count, default=1, help=f"number of the first ({default})")
    add("--chapter_size", type=count, default=20, help=f"sentences of a chapter ({default})")
    add("--readings", type=count, default=1, help=f"of each sentence, by others ({default})")
    add("--limit", type=count, help="only the first sentences")
    add("--seed", type=whole_number(0), default=0, help=f"other seed, other voices ({default})")
    add("--jobs", type=count, default=2, help=f"processes that speak at once ({default})")
    return parser.parse_args(arguments)


def _part(name: str) -> str:
    if not re.fullmatch(r"\w[\w\-]*", name):
        raise argparse.ArgumentTypeError(f"{name} is no name of letters, digits, - and _")
    return name


if __name__ == "__main__":
    main()
