"""How much speech one CPU second reads from a corpus, and how much memory that takes."""

import argparse
import logging
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from scripts.compute_stats import read_config
from src.build import build
from src.build.training import READING
from src.cli import explain
from src.datasets import make_batches, make_loader
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
examples:
  python -m scripts.measure_reading dataset.root=data/LibriSpeech
  python -m scripts.measure_reading dataset=shards dataset.root=data/shards
  python -m scripts.measure_reading dataset=shards dataset.train.shuffle_buffer=250

Reads dataset.train once, in the shuffled batches of training, without a model. With
loader.n_workers=0, the default here, all happens in this process. CPU seconds hardly depend on
what else the machine does; the first reading of a file also waits for the disk."""


class Reading(NamedTuple):
    """One pass over a corpus."""

    n_utterances: int
    speech_s: float
    wall_s: float
    cpu_s: float  # of this process and of the workers, which have ended
    memory_mb: float  # peak of this process, above what it had before


@ctrl_c_ends("measure_reading", "nothing is written")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, print. A person's mistake ends in one line and status 1."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    options = parse(arguments)
    try:
        config = read_config(options.config_name, ["loader.n_workers=0", *options.overrides])
        found = measure(config)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"measure_reading: {message}")
    print(
        f"{counted(found.n_utterances, 'utterance')}, {found.speech_s:,.0f} s of speech: "
        f"{found.wall_s:.2f} s, CPU {found.cpu_s:.2f} s, {found.speech_s / found.cpu_s:,.0f} s of "
        f"speech a CPU second, {found.memory_mb:,.0f} MB above the start"
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.measure_reading",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-cn", "--config-name", default="deepspeech2", help="a training config (%(default)s)")
    add("overrides", nargs="*", help="as for train.py, for example dataset.root=FOLDER")
    return parser.parse_intermixed_args(arguments)


def measure(config: Mapping[str, Any]) -> Reading:
    """Read the training part of a resolved config once.

    Raises:
        UserError: the part can't be opened or read.
    """
    keys = {key: value for key, value in config["loader"].items() if key != "cache"}
    reading = {key: keys.pop(key) for key in READING}
    before_mb, begun_s, cpu_s = _peak_mb(), time.monotonic(), _cpu_s()
    dataset = build(config["dataset"]["train"], "dataset.train", text=None)
    batches = make_batches(dataset, seed=config["seed"], shuffle=True, **keys)
    batches.set_position(1)  # the first epoch may be sorted
    n_utterances, n_samples = 0, 0
    loader = make_loader(dataset, batches, **reading)
    for batch in loader:
        n_utterances += len(batch)
        n_samples += int(batch.waveform_lengths.sum())
    wall_s = time.monotonic() - begun_s
    loader.close()  # the time of children counts when they have ended
    return Reading(
        n_utterances,
        n_samples / dataset.sample_rate,
        wall_s,
        _cpu_s() - cpu_s,
        _peak_mb() - before_mb,
    )


def _cpu_s() -> float:
    """Processor time of this process and of those of its children that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)  # os.times counts hundredths


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
