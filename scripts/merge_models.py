"""One model out of several trainings of it, drawn back towards the weights they began with."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.average_checkpoints import average
from src.build.parts import build_recognizer, build_text
from src.trainer import find_checkpoint, save_checkpoint
from src.utils.arguments import number_above
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends

HELP = """\
Trainings that began with the same weights (the same encoder, or init_from= of the same checkpoint)
and went on with other data, seeds or rates err in other places; the mean of their weights often
errs in fewer (Wortsman et al. 2022, "Model soups", arXiv:2203.05482):

  python -m scripts.merge_models saved/whisper/RUN_A saved/whisper/RUN_B --out saved/merged.pt

Tuning on few hours also makes an encoder forget. With --towards its weights are drawn back to the
published ones by a share ("Robust fine-tuning", Wortsman et al. 2022, arXiv:2109.01903):

  python -m scripts.merge_models saved/whisper/RUN --towards whisper-tiny.en-encoder.safetensors \\
      --share 0.4 --out saved/merged.pt

Try some shares on validation speech (inference.py part=validation). The result is for inference and
init_from=; model.n_tuned_layers=0 then fits the head to it."""


@ctrl_c_ends("merge_models", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Average, draw back, write. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        paths = [find_checkpoint(path) for path in options.checkpoints]
        merged = average(paths)
        if options.towards:
            n = draw_back(merged, options.towards, options.share)
            print(f"{n} tensors of the encoder drawn back by {options.share:g}: {options.towards}")
        save_checkpoint(options.out, merged)
    except UserError as error:
        sys.exit(f"merge_models: {error}")
    for path in paths:
        print(f"1/{len(paths)} of {path}")
    print(f"written to {options.out}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.merge_models",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="run folders, whose best one is taken, or files",
    )
    add(
        "--towards",
        metavar="FILE",
        help="the encoder's published weights, as model.weights took them",
    )
    add(
        "--share",
        type=number_above(0, below=1),
        default=0.4,
        help="of these in the result, 0 to 1 (%(default)s)",
    )
    add("--out", type=Path, required=True, metavar="FILE.pt", help="the merged checkpoint")
    options = parser.parse_args(words)
    if len(options.checkpoints) == 1 and not options.towards:
        parser.error("one checkpoint alone is merged with nothing; name another, or --towards FILE")
    return options


def draw_back(state: dict[str, Any], weights: str, share: float) -> int:
    """Mix the encoder of a checkpoint with published weights, in place; the number of tensors.

    Args:
        state: a checkpoint; its `recognizer` is changed.
        weights: a file as `model.weights` takes it.
        share: of the published weights in the result, 0 … 1.

    Raises:
        UserError: the model has no published encoder, or the file is not its.
    """
    published = encoder_of(state["config"], weights)
    mixed = {
        name: torch.lerp(state["recognizer"][name].float(), tensor.float(), share)
        for name, tensor in published.items()
        if tensor.is_floating_point()
    }
    state["recognizer"] = state["recognizer"] | mixed
    return len(mixed)


def encoder_of(config: dict[str, Any], weights: str) -> dict[str, Tensor]:
    """The encoder that a training of this config would begin with, by its names in a checkpoint."""
    if "weights" not in config["model"]:
        raise UserError(
            f"{config['model'].get('_target_')} does not begin with anybody's weights; --towards "
            "is for tuned encoders, such as model=whisper_tiny."
        )
    config = {**config, "model": {**config["model"], "weights": weights}}
    fresh = build_recognizer(config, build_text(config)).state_dict()
    return {name: tensor for name, tensor in fresh.items() if name.startswith("model.encoder.")}


if __name__ == "__main__":
    main()
