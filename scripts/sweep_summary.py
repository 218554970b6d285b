"""The trials of a sweep as a table and a picture."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from src.sweeps import Trial, read_sweep, sweep_table, varied
from src.utils.errors import UserError

HELP = """\
What each trial of a sweep was asked, its best value, steps, minutes and status, while the sweep
runs or after it; drawn in sweep.png beside them:

  python train.py -cn=convnet --multirun run_dir=saved/rates optimizer.lr=1e-3,3e-4 seed=1,2
  python -m scripts.sweep_summary saved/rates"""
PICTURE = "sweep.png"
MOST_PANELS = 4


class AtEnd(Callback):
    """Tells how a sweep went when it ends; Hydra calls it."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table of what lies in the sweep's folder."""
        print(summarise(Path(config.hydra.sweep.dir)), flush=True)


def main(words: Sequence[str] | None = None) -> None:
    """Print and draw. A person's mistake ends in one line and status 1."""
    try:
        print(summarise(parse(words).folder))
    except UserError as error:
        sys.exit(f"sweep_summary: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.sweep_summary",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="run_dir of the sweep")
    return parser.parse_args(words)


def summarise(folder: Path) -> str:
    """The table of a sweep, and where its picture is.

    Raises:
        UserError: no trial in there.
    """
    trials = read_sweep(folder)
    lines = ["", sweep_table(trials)]
    if varied(trials) and any(trial.best is not None for trial in trials):
        from src.logger import save_png  # late: the table needs no PyTorch

        save_png(draw(trials), folder / PICTURE)
        lines.append(f"\nDrawn in {folder / PICTURE}")
    return "\n".join(lines)


def draw(trials: Sequence[Trial]):
    """A figure with a panel for each of the first keys that were varied: value against best."""
    from src.logger.pictures import new_figure

    keys = varied(trials)[:MOST_PANELS]
    figure = new_figure(3.2 * len(keys), 3)
    measured = [trial for trial in trials if trial.best is not None]
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        values = [trial.overrides.get(key, "") for trial in measured]
        numbers = [_number(value) for value in values]
        if None in numbers:
            axes.plot(values, [trial.best for trial in measured], "o")
        else:
            axes.plot(numbers, [trial.best for trial in measured], "o")
            if min(numbers) > 0 and max(numbers) > 20 * min(numbers):
                axes.set_xscale("log")
        axes.set(xlabel=key, ylabel=measured[0].metric)
    return figure


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


if __name__ == "__main__":
    main()
