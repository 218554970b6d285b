"""The mean of the weights that one run had at several steps."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from src.trainer import load_checkpoint, save_checkpoint
from src.trainer.checkpoint_folder import rank
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends

HELP = """\
Weights averaged over several checkpoints of a run often read better than any one of them (Izmailov
et al. 2018, arXiv:1803.05407), at no cost when they are used:

  python -m scripts.average_checkpoints saved/convnet/2026-01-31_12-00-00 --top 3
  python inference.py checkpoint=saved/convnet/2026-01-31_12-00-00/checkpoints/averaged.pt

--top takes the best by the monitored value, --last the newest by step, among those that the run
kept: trainer.keep_top_k says how many. The result is for inference and init_from=; a run can't be
resumed from it. Better measure it before using it: python inference.py tells its rates."""
# Keys of models that change how they learn, not what they read.
TRAINING_ONLY = (
    *("dropout", "intermediate", "weights"),
    *("encoder_lr_factor", "n_tuned_layers", "unfreeze_every"),
)
KEPT = ("config", "symbols", "name", "versions")  # what inference needs beside the weights


@ctrl_c_ends("average_checkpoints", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Choose, average, write. A person's mistake ends in one line and status 1."""
    options = parse(words)
    out = options.out or Path(options.run) / "checkpoints/averaged.pt"
    try:
        state = average(choose(options.run, top=options.top, last=options.last))
        save_checkpoint(out, state)
    except UserError as error:
        sys.exit(f"average_checkpoints: {error}")
    for source in state["averaged"]:
        print(f"step {source['step']:>9,}  {source['file']}")
    print(f"their mean is written to {out}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.average_checkpoints",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="run folder")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--top", type=whole_number(2), metavar="N", help="the N best")
    which.add_argument("--last", type=whole_number(2), metavar="N", help="the N newest")
    parser.add_argument("--out", type=Path, help="default: RUN/checkpoints/averaged.pt")
    return parser.parse_args(words)


def choose(run: Path, *, top: int | None = None, last: int | None = None) -> list[Path]:
    """The checkpoints of a run folder that are wanted, the newest first.

    Args:
        top: how many of the best by the value in their names.
        last: how many of those of the highest steps; two files of one step count once.

    Raises:
        UserError: the run kept fewer.
    """
    folder = run / "checkpoints"
    paths = sorted(folder.glob("top_*=*_step=*.pt"), key=rank)
    step_of = {path: -rank(path)[-1] for path in paths}
    if last:
        for path in (folder / "last.pt", folder / "previous.pt"):
            step = load_checkpoint(path)["step"] if path.is_file() else None
            if step is not None and step not in step_of.values():
                step_of[path] = step
        paths = sorted(step_of, key=step_of.get, reverse=True)
    wanted = top or last
    if len(paths) < wanted:
        raise UserError(
            f"{folder}: {wanted} checkpoints were asked for, but the run kept {len(paths)}. Ask "
            "for fewer (at least 2), or train with a larger trainer.keep_top_k."
        )
    return sorted(paths[:wanted], key=step_of.get, reverse=True)


def average(paths: Sequence[Path]) -> dict[str, Any]:
    """A checkpoint with the mean of the weights of others, summed in float64.

    Whole numbers, such as a count of batches, are those of the first path; so is "step".
    "averaged" names file and step of each source.

    Args:
        paths: at least one, the newest first.

    Raises:
        UserError: one is damaged, or of another vocabulary or model than the first.
    """
    total: dict[str, Tensor] = {}
    first: dict[str, Any] = {}
    sources = []
    for path in tqdm(paths, desc="averaging", unit="checkpoint", leave=False, disable=None):
        state = load_checkpoint(path)
        first = first or state
        _check(state, first, path, paths[0])
        sources.append({"file": path.name, "step": state["step"]})
        for name, tensor in state["recognizer"].items():
            if tensor.is_floating_point():
                total[name] = total.get(name, 0) + tensor.double()
    weights = {
        name: (total[name] / len(sources)).to(tensor.dtype) if name in total else tensor
        for name, tensor in first["recognizer"].items()
    }
    kept = {key: first[key] for key in KEPT if key in first}
    return {**kept, "step": first["step"], "recognizer": weights, "averaged": sources}


def _check(state: dict[str, Any], first: dict[str, Any], path: Path, newest: Path) -> None:
    """Refuse to average what is not the same model with the same vocabulary."""
    lacking = [key for key in ("recognizer", "symbols", "step") if key not in state]
    if lacking:
        raise UserError(f"{path}: lacks {', '.join(lacking)}; it was not written by train.py.")
    shapes = [
        {name: tensor.shape for name, tensor in s["recognizer"].items()} for s in (state, first)
    ]
    if state["symbols"] != first["symbols"]:
        what = "vocabulary"
    elif shapes[0] != shapes[1] or _reads(state) != _reads(first):
        what = "model or front end"
    else:
        return
    raise UserError(
        f"{path}: has another {what} than {newest.name}. Average checkpoints of one run, or of "
        "runs of the same model."
    )


def _reads(state: dict[str, Any]) -> dict[str, Any]:
    """The stored config without what only training asks for."""
    config = dict(state.get("config") or {})
    model = config.get("model")
    if isinstance(model, Mapping):
        config["model"] = {k: v for k, v in model.items() if k not in TRAINING_ONLY}
    return config


if __name__ == "__main__":
    with torch.inference_mode():
        main()
