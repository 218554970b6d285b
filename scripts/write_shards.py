"""Pack one part of a corpus into shards: large tar files of 16-bit samples, and an index."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from scripts.compute_stats import read_config
from src.build import build, check_keys
from src.build.targets import subnode
from src.build.training import BUILT, READING
from src.cli import explain
from src.datasets import make_loader
from src.datasets.shards.writer import write_shards
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Whatever dataset= can read is decoded once, shuffled, and packed; then training reads it as a
stream or at random, without decoding:

  python -m scripts.write_shards dataset=librispeech dataset.root=data/LibriSpeech \\
      --part train --out data/shards
  python -m scripts.write_shards dataset=librispeech dataset.root=data/LibriSpeech \\
      --part validation --out data/shards
  python train.py -cn=deepspeech2 dataset=shards dataset.root=data/shards

What dataset.train leaves out (min_duration_s, max_duration_s) is left out here; transcripts are
kept as the corpus gives them, for any text=. Recordings that can't be read are named and left
out, or stop the run, as loader.unreadable and loader.max_unreadable say. An hour takes 116 MB.

The same arguments give the same bytes. A run that was killed goes on where it was when the
command is given again."""


@ctrl_c_ends("write_shards", "whole shards stay; run it again to go on")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, pack, report. A person's mistake ends in one line and status 1."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    options = parse(arguments)
    folder = options.out / options.part
    try:
        dataset, seed, reading = open_part(options.config_name, options.overrides, options.part)
        n_shards, n_utterances, left_out = write_shards(
            dataset, folder, shard_mb=options.size_mb, seed=seed, **reading
        )
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"write_shards: {message}")
    missing = f", {len(left_out):,} left out" if left_out else ""
    print(
        f"{folder}: {counted(n_utterances, 'utterance')} in {counted(n_shards, 'shard')}{missing}"
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.write_shards",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, "default %(default)s"
    add("-cn", "--config-name", default="deepspeech2", help=f"a training config ({default})")
    add("--part", required=True, choices=("train", "validation", "test"), help="of the dataset")
    add("--out", type=Path, required=True, help="folder for the parts; this one is OUT/PART")
    add("--size_mb", type=_megabytes, default=256, help=f"most MB of a shard ({default})")
    add("overrides", nargs="*", help="as for train.py, for example dataset.root=FOLDER")
    return parser.parse_intermixed_args(arguments)


def open_part(name: str, overrides: list[str], part: str) -> tuple[Any, int, dict[str, Any]]:
    """The dataset of a part, the seed of its new order, and how `make_loader` shall read it.

    Raises:
        UserError: the config can't be composed, or the part has nothing that can be packed.
    """
    config = read_config(name, overrides)
    loader = subnode(config, "loader", READING)
    reading = {key: loader[key] for key in READING}
    check_keys(make_loader, reading, BUILT, "loader")
    node = subnode(config, "dataset", (part,))[part]
    dataset = build(node, f"dataset.{part}", text=None)
    if not hasattr(dataset, "__getitem__"):
        raise UserError(f"dataset.{part}: is a stream already; pack the corpus that it came from.")
    return dataset, int(config["seed"]), reading


def _megabytes(value: str) -> float:
    try:
        size = float(value)
    except ValueError:
        size = 0
    if not 0 < size < 1e6:
        raise argparse.ArgumentTypeError(f"{value} is not a number of megabytes above 0")
    return size


if __name__ == "__main__":
    main()
