"""A recogniser hears a moment of noise before hours are spent on it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from src.batch import padding_mask
from src.recognizer import Recognizer
from src.utils.errors import UserError

SECONDS = (1.0, 0.6)  # of the two utterances
ROUNDING = 0.01  # of the sum of a frame's probabilities, in half precision


def rehearse(recognizer: Recognizer, config: Mapping[str, Any], n_tokens: int) -> None:
    """Refuse parts that don't keep what docs/configs.md ("Adding a part") asks of them.

    Logits in place of log-probabilities, say, make a loss that falls without end.

    Raises:
        UserError: of the feature or model, which of its promises it breaks.
    """
    feature = f"transform.features={_name(config['transform'].get('features'))}"
    model = f"model={_name(config['model'])}"
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([round(s * recognizer.sample_rate) for s in SECONDS])
    waveforms = 0.1 * torch.randn(len(lengths), int(lengths.max()), generator=generator)
    was_training = recognizer.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # a run's own numbers stay
        try:
            recognizer.eval()
            _check_feature(recognizer, lengths, waveforms, feature)
            features, frames = recognizer.features(waveforms, lengths)
            _check_promises(recognizer.model, model)
            found = recognizer.model(features, frames)
            _check_emissions(found, recognizer.model.output_lengths(frames), n_tokens, model)
        finally:
            recognizer.train(was_training)


def _name(node: Any) -> str:
    return str(node.get("_target_")) if isinstance(node, Mapping) else str(node)


def _check_feature(
    recognizer: Recognizer, lengths: Tensor, waveforms: Tensor, feature: str
) -> None:
    part = recognizer.front_end.features
    found = part(waveforms)
    if found.dim() != 3 or found.shape[0] != len(lengths) or found.shape[2] != part.n_features:
        raise UserError(
            f"{feature}: makes {_shape(found)} of {_shape(waveforms)} samples; expected "
            f"({len(lengths)}, frames, {part.n_features}), by its n_features."
        )
    most = int(part.output_lengths(lengths).max())
    if most > found.shape[1]:
        raise UserError(
            f"{feature}: its output_lengths tells {most} frames of {int(lengths.max())} samples, "
            f"but there are {found.shape[1]}."
        )


def _check_promises(model: Any, told: str) -> None:
    for promised in ("time_stride", "output_lengths"):
        if not hasattr(model, promised):
            raise UserError(
                f"{told}: has no {promised}. A model tells time_stride, the feature frames from "
                "one emitted frame to the next, and output_lengths(lengths), how many it emits."
            )


def _check_emissions(found: Any, expected: Tensor, n_tokens: int, told: str) -> None:
    if not (hasattr(found, "log_probs") and hasattr(found, "lengths")):
        raise UserError(f"{told}: returns {type(found).__name__}; expected src.batch.Emissions.")
    log_probs, lengths = found.log_probs, found.lengths
    most = int(expected.max())
    shape = (len(expected), most, n_tokens)
    if log_probs.dim() != 3 or log_probs.shape[::2] != shape[::2] or log_probs.shape[1] < most:
        raise UserError(
            f"{told}: emits {_shape(log_probs)} (utterances, frames, tokens); expected {shape}: "
            f"{n_tokens} tokens with the blank, and as many frames as its output_lengths tells."
        )
    if lengths.tolist() != expected.tolist():
        raise UserError(
            f"{told}: emits lengths {lengths.tolist()}, but its output_lengths tells "
            f"{expected.tolist()} frames of the same utterances."
        )
    said = ~padding_mask(expected, log_probs.shape[1], log_probs.device)
    sums = log_probs.float().exp().sum(-1)[said]
    wrong = sums[~((sums - 1).abs() < ROUNDING)]  # NaN too
    if len(wrong):
        raise UserError(
            f"{told}: the probabilities of a frame sum to {float(wrong[0]):.4g}; expected 1. A "
            "model emits log-probabilities: log_softmax goes over its last layer."
        )


def _shape(x: Tensor) -> str:
    return f"({', '.join(map(str, x.shape))})"
