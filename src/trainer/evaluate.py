"""Loss and error rates over a whole loader."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from src.batch import Batch, Emissions
from src.predictions import Prediction, corpus_rates
from src.recognizer import Recognizer
from src.utils.devices import autocast


@dataclass(slots=True)
class Evaluation:
    """What a pass over held-out speech gave."""

    metrics: dict[str, float]  # "loss" in nats per token; rates as fractions
    predictions: list[Prediction]
    example: tuple[Batch, Emissions] | None  # first batch, for pictures and audio


@torch.inference_mode()
def evaluate(
    recognizer: Recognizer,
    read: Callable[[Emissions, Batch], list[Prediction]],
    loss: Callable,
    batches: Iterable[Batch],
    *,
    precision: str = "float32",
    description: str = "validation",
) -> Evaluation:
    """Corpus loss and error rates, in evaluation mode.

    Args:
        read: emissions and their batch to predictions (`Transcriber.predict`).
        loss: the training loss; impossible alignments are counted, not summed.
        precision: of the forward pass; loss and decoding stay in float32.
    """
    was_training = recognizer.training
    recognizer.eval()
    device = next(recognizer.parameters()).device
    totals = {"nats": 0.0, "tokens": 0, "impossible": 0}
    predictions: list[Prediction] = []
    example = None
    for batch in tqdm(batches, desc=description, unit="batch", leave=False, disable=None):
        moved = batch.to(device)
        with autocast(device, precision):
            emissions = recognizer(moved.waveforms, moved.waveform_lengths)
        _add(totals, loss(emissions, moved.tokens, moved.token_lengths))
        predictions += read(emissions, batch)
        example = example or (batch, emissions)
    recognizer.train(was_training)
    metrics = {"loss": totals["nats"] / max(1, totals["tokens"])} | corpus_rates(predictions)
    if totals["impossible"]:
        metrics["impossible"] = totals["impossible"]
    return Evaluation(metrics, predictions, example)


def _add(totals: dict[str, Any], loss) -> None:
    totals["nats"] += float(loss.total)
    totals["tokens"] += int(loss.n_tokens)
    totals["impossible"] += int(loss.impossible.sum())
