"""List any corpus in one shape, with a summary of what is in it and of what is wrong with it."""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from scripts.preparing.download import download
from scripts.preparing.summary import histogram, report, summarise
from src.build import build_text
from src.cli import CONFIGS
from src.datasets.corpora.catalogue import NAMES, reader_of
from src.datasets.corpora.held_out import HeldOut
from src.datasets.corpora.listed_corpus import measured
from src.datasets.corpora.listing import Flaw, Row, flaw_of, listed
from src.datasets.corpora.manifest import write_manifest
from src.datasets.rejections import Rejections
from src.datasets.selection import UNWRITABLE, WITHOUT_WORDS
from src.logger.pictures import save_png
from src.utils.command_line import in_quotes
from src.utils.errors import NotInstalled, UserError, nearest
from src.utils.files import atomic_write, write_json
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Reads a corpus as it lies and writes four files: a list of its utterances, a JSON line each, with
path, text, split, speaker and duration; beside it NAME.summary.json, NAME.durations.png and
NAME.rejected.jsonl, which names every row that was left out, and why.

  python -m scripts.prepare_data an4 --root data/an4 --download
  python -m scripts.prepare_data ljspeech --root data/ljspeech --download
  python -m scripts.prepare_data common_voice --root cv-corpus/es --text characters_spanish
  python -m scripts.prepare_data voxforge --root data/voxforge_es
  python -m scripts.prepare_data folder --root recordings --out recordings/list.jsonl

Then train on one list, or on several:
  python train.py -cn=deepspeech2 dataset=folder dataset.root=data/manifests/an4.jsonl
  python train.py -cn=deepspeech2 dataset=mixture 'dataset.roots=[an4.jsonl,ljspeech.jsonl]'

Official parts are kept. Where there are none, speakers are held out, or utterances where speakers
are unknown. Common Voice needs an account and VoxForge publishes no checksums: docs/corpora.md."""


@ctrl_c_ends("prepare_data", "nothing is written; durations are measured again next time")
def main(words: Sequence[str] | None = None) -> None:
    """Read, check, write, tell. A person's mistake ends in one line and status 1."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    options = parse(words)
    sys.stdout.reconfigure(errors="backslashreplace")  # it may say what a list has in no encoding
    try:
        prepare(options)
    except UserError as error:
        # Readers of corpora speak of the config's key, which goes by another name here.
        sys.exit(f"prepare_data: {error}".replace("dataset.root", "--root"))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.prepare_data",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("corpus", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    add("--root", type=Path, required=True, metavar="DIR", help="where the corpus lies")
    add("--out", type=Path, metavar="FILE", help="default data/manifests/NAME.jsonl")
    add("--text", metavar="NAME", help="leave out what configs/text/NAME.yaml can't write")
    add("--validation_share", type=float, default=0.05, metavar="X", help="default %(default)s")
    add("--test_share", type=float, default=0.05, metavar="X", help="default %(default)s")
    add("--min_duration_s", type=float, default=0.1, metavar="X", help="default %(default)s")
    add("--max_duration_s", type=float, default=None, metavar="X", help="default: no limit")
    add("--max_characters_per_s", type=float, default=40.0, metavar="X", help="default %(default)s")
    add("--train_list", default="train", metavar="NAME", help="of Common Voice: train or validated")
    add("--index_dir", type=Path, default=Path("data/index"), help="keeps durations (%(default)s)")
    add("--download", action="store_true", help="fetch an4, ljspeech or voxforge into DIR first")
    add("--base_url", metavar="URL", help="folder of a mirror")
    add("--sha256", metavar="DIGEST", help="of a mirror's own archive")
    add("--archives", type=Path, metavar="FILE", help="of VoxForge: lines 'DIGEST  NAME.tgz'")
    options = parser.parse_args(words)
    options.out = options.out or Path(f"data/manifests/{options.corpus}.jsonl")
    if options.out.suffix != ".jsonl":
        parser.error(f"--out {options.out}: expected a name that ends in .jsonl")
    return options


def prepare(options: argparse.Namespace) -> None:
    """All of it."""
    text = load_text(options.text)
    root = options.root
    if options.download:
        download(options.corpus, root, options.base_url, options.sha256, options.archives)
    if not root.exists():
        raise UserError(f"{root}: no such folder; give --root the corpus.")
    rows, rejected = checked(options, text)
    if not rows:
        raise UserError(
            f"{root}: none of {counted(len(rejected), 'row')} can be used. {_some(rejected)}"
        )
    summary = summarise(rows, rejected)
    write(options.out, rows, rejected, summary, options.corpus)
    print(report(summary, rejected))
    print(f"\nwritten to {options.out}, with .summary.json, .durations.png and .rejected.jsonl")
    print(f"train on it: dataset=folder {_root_is(options.out)}")


def load_text(name: str | None) -> Any:
    """The vocabulary of configs/text/NAME.yaml; None for None."""
    if name is None:
        return None
    known = sorted(path.stem for path in (CONFIGS / "text").glob("*.yaml"))
    if name not in known:
        raise UserError(f"--text {name}: no such choice{nearest(name, known)}")
    return build_text({"text": OmegaConf.load(CONFIGS / "text" / f"{name}.yaml")})


def checked(options: argparse.Namespace, text: Any) -> tuple[list[Row], list[Flaw]]:
    """The usable rows with their split, duration and whole path; and all others."""
    root = options.root
    listing = listed(reader_of(options.corpus, options.train_list)(root))
    sides = HeldOut(listing.rows, options.validation_share, options.test_share)
    home = root.parent if root.is_file() else root
    lost = Rejections()
    found, durations_s, _ = measured(home, listing.rows, options.index_dir, lost, trusting=False)
    rejected = listing.flaws + [
        Flaw(name, reason, lost.explanations.get(reason, {}).get(name, ""))
        for reason, names in lost.ids_by_reason.items()
        for name in names
    ]
    rows = []
    for row, seconds in zip(found, durations_s.tolist(), strict=True):
        fault = fault_of(row, seconds, options, text)
        if fault is not None:
            rejected.append(fault)
            continue
        path = os.path.abspath(home / row.path)  # links stay as they are  # noqa: PTH100
        split = sides.split_of(row)
        rows.append(row._replace(path=path, split=split, duration_s=round(seconds, 4)))
    return rows, rejected


def fault_of(row: Row, seconds: float, options: argparse.Namespace, text: Any) -> Flaw | None:
    """Why a row can't be used, if so."""
    shortest, longest = options.min_duration_s, options.max_duration_s
    fastest = options.max_characters_per_s
    if not row.text:
        return flaw_of(row, WITHOUT_WORDS)
    if seconds < shortest:
        return flaw_of(row, f"shorter than {shortest:g} s", f"{seconds:.3f} s")
    if longest is not None and seconds > longest:
        return flaw_of(row, f"longer than {longest:g} s", f"{seconds:.1f} s")
    if len(row.text) > fastest * seconds:
        told = f"{len(row.text)} in {seconds:.2f} s"
        return flaw_of(row, f"with more than {fastest:g} characters a second", told)
    try:
        if text is not None and not text.encode(row.text):
            return flaw_of(row, WITHOUT_WORDS)
    except NotInstalled:
        raise
    except UserError as error:
        return flaw_of(row, UNWRITABLE, str(error))
    return None


def write(
    out: Path,
    rows: Sequence[Row],
    rejected: Sequence[Flaw],
    summary: dict[str, Any],
    corpus: str,
) -> None:
    """The list last, so that where it is the others are too."""
    hours = sum(part["hours"] for part in summary["splits"].values())
    title = f"{corpus}: {counted(len(rows), 'utterance')}, {hours:.2f} h"
    save_png(histogram(rows, title), out.with_suffix(".durations.png"))
    write_json(out.with_suffix(".summary.json"), summary)
    with atomic_write(out.with_suffix(".rejected.jsonl"), "w") as file:
        for flaw in rejected:
            told = {"id": flaw.id, "reason": flaw.reason, "explanation": flaw.explanation}
            file.write(json.dumps(told) + "\n")
    write_manifest(out, rows)


def _some(rejected: Sequence[Flaw]) -> str:
    if not rejected:
        return "It has none."
    first = rejected[0]
    why = f" ({first.explanation})" if first.explanation else ""
    return f"The first: {first.id} {first.reason}{why}"


def _root_is(path: Path) -> str:
    """As it can be pasted behind train.py."""
    plain = re.fullmatch(r"[\w./:+-]+", str(path), re.ASCII)
    return f"dataset.root={path}" if plain else in_quotes("dataset.root", str(path))


if __name__ == "__main__":
    main()
