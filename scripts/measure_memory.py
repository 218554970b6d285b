"""Does training hold ever more memory or files? Resident sizes over thousands of steps."""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from scripts.benchmarks.corpus import write_tones
from src.build import build_trainer, plain
from src.cli import CONFIGS
from src.logger import JSONL, Logger, Several
from src.utils.arguments import whole_number
from src.utils.interrupts import ctrl_c_ends
from src.utils.seeding import seed_everything
from src.utils.tables import table

HELP = """\
Trains a small model on generated FLAC files with everything on (workers, SpecAugment,
accumulation, a moving average, validation, saving, logging), looks at the trainer and its
workers every 50 steps, and tells how their resident size and open files grow:

  python -m scripts.measure_memory --n_steps 3000

The slope is that of a straight line through the second half of the samples, since caches fill in
the first. Takes minutes on a CPU core."""
EVERY = 50  # steps between two looks


@dataclass(frozen=True)
class Look:
    """What the processes hold at one step."""

    step: int
    trainer_kb: int  # resident, without files that others share
    workers_kb: int  # of all workers together
    trainer_files: int  # open descriptors, without tensors in flight
    worker_files: int
    in_flight: int  # tensors on their way from workers to trainer, a descriptor each


class Watch(Logger):
    """A logger that looks at this process and its children whenever it is told something."""

    def __init__(self) -> None:
        self.looks: list[Look] = []

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if any(name.startswith("train/") for name in values):
            own, workers = os.getpid(), children(os.getpid())
            files = [open_files(process) for process in (own, *workers)]
            self.looks.append(
                Look(
                    step,
                    resident_kb(own),
                    sum(map(resident_kb, workers)),
                    files[0][0],
                    sum(n for n, _ in files[1:]),
                    files[0][1],
                )
            )


def children(process: int) -> list[int]:
    """Processes that a process has started, and that still are."""
    names = Path(f"/proc/{process}/task").glob("*/children")
    return sorted({int(number) for name in names for number in name.read_text().split()})


def resident_kb(process: int) -> int:
    """Memory that a process has for itself or shares with its workers: not of files; in kB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kinds = ("RssAnon:", "RssShmem:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds))


def open_files(process: int) -> tuple[int, int]:
    """Open descriptors of a process: files, pipes and the like; tensors in shared memory."""
    in_flight = n = 0
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            in_flight += "/torch_" in str(descriptor.readlink())
            n += 1
    return n - in_flight, in_flight


def slope(looks: Sequence[Look], name: str) -> float:
    """Growth of a field per 1,000 steps over the second half of the looks, by least squares."""
    half = looks[len(looks) // 2 :]
    thousands = np.array([look.step for look in half]) / 1000
    thousands -= thousands.mean()
    return float(thousands @ [getattr(look, name) for look in half] / (thousands @ thousands))


def watch_training(folder: Path, n_steps: int, n_workers: int, *overrides: str) -> list[Look]:
    """Train in `folder`, where a small corpus is written first; what was seen on the way."""
    durations_s = np.random.default_rng(0).uniform(0.5, 1.5, 60)
    root = write_tones(folder / "corpus", durations_s)
    words = [
        "device=cpu", f"dataset.root={root}", f"dataset.index_dir={folder / 'index'}",
        "dataset.train_parts=[tones]", "dataset.validation_share=0.3", "transform=logmel80",
        "model.n_cnn_layers=1", "model.n_rnn_layers=1", "model.n_channels=2", "model.width=8",
        "loader.batch_size=4", "loader.max_batch_s=null", "loader.bucket_pool=2",
        f"loader.n_workers={n_workers}", "trainer.n_epochs=1", f"trainer.epoch_len={n_steps}",
        "trainer.accumulate=2", "trainer.ema_decay=0.99", "trainer.validate_every_epochs=null",
        f"trainer.validate_every_steps={max(100, n_steps // 10)}", f"trainer.log_every={EVERY}",
        "trainer.save_every_minutes=0.1", "trainer.n_examples=1", *overrides,
    ]  # fmt: skip
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = plain(compose("deepspeech2", [*words, f"run_dir={folder / 'run'}"]))
    seed_everything(config["seed"])
    watch = Watch()
    log = Several([JSONL(folder / "run"), watch])
    try:
        build_trainer(config, folder / "run", log).train()
    finally:
        log.close()
    return watch.looks


def report(looks: Sequence[Look]) -> str:
    """A dozen of the looks as a table, and the growth below."""
    shown = looks[:: max(1, len(looks) // 12)]
    columns = ["step", "trainer MB", "workers MB", "trainer files", "worker files", "in flight"]
    rows = [
        [
            f"{look.step:,}",
            *(f"{kb / 1024:.1f}" for kb in (look.trainer_kb, look.workers_kb)),
            *map(str, (look.trainer_files, look.worker_files, look.in_flight)),
        ]
        for look in shown
    ]
    growth = [
        f"{who}: {slope(looks, f'{who}_kb'):+.0f} kB per 1,000 steps"
        for who in ("trainer", "workers")
    ]
    return "\n".join([table(rows, columns), "", *growth])


@ctrl_c_ends("measure_memory", "nothing is kept; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Train, look, tell."""
    options = parse(words)
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="measure_memory.") as folder:
        looks = watch_training(Path(folder), options.n_steps, options.n_workers)
    print(report(looks))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.measure_memory",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n_steps", type=whole_number(4 * EVERY), default=3000)
    parser.add_argument("--n_workers", type=whole_number(0), default=2)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
