"""Loss and error rates over a whole loader."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from tqdm import tqdm

from src.batch import Batch, Emissions
from src.predictions import Prediction, corpus_rates
from src.recognizer import Recognizer
from src.utils import parallel
from src.utils.devices import autocast


@dataclass(slots=True)
class Evaluation:
    """What a pass over held-out speech gave."""

    metrics: dict[str, float]  # "loss" in nats per token; rates as fractions
    predictions: list[Prediction]
    example: tuple[Batch, Emissions] | None  # first batch, for pictures and audio


@torch.no_grad()  # not inference_mode: see Transcriber.emissions
def evaluate(
    recognizer: Recognizer,
    read: Callable[[Emissions, Batch], list[Prediction]],
    loss: Callable,
    batches: Iterable[Batch],
    *,
    precision: str = "float32",
    description: str = "validation",
) -> Evaluation:
    """Corpus loss and error rates, in evaluation mode; of all processes together.

    Args:
        read: emissions and their batch to predictions (`Transcriber.predict`).
        loss: the training loss; impossible alignments are counted, not summed.
        precision: of the forward pass; loss and decoding stay in float32.
    """
    was_training = recognizer.training
    recognizer.eval()
    device = next(recognizer.parameters()).device
    totals = torch.zeros(3, dtype=torch.float64)  # nats, tokens, impossible alignments
    predictions: list[Prediction] = []
    example = None
    for batch in tqdm(batches, desc=description, unit="batch", leave=False, disable=None):
        if not len(batch):  # nothing of it could be read, or other processes have it all
            continue
        moved = batch.to(device)
        with autocast(device, precision):
            emissions = recognizer(moved.waveforms, moved.waveform_lengths)
        found = loss(emissions, moved.tokens, moved.token_lengths)
        n_impossible = found.impossible.sum()
        totals += torch.stack([found.total.cpu(), found.n_tokens, n_impossible]).double()
        predictions += read(emissions, batch)
        example = example or (batch, emissions)
    recognizer.train(was_training)
    nats, n_tokens, n_impossible = parallel.add_up(totals).tolist()
    predictions = list(itertools.chain(*parallel.gather(predictions)))
    metrics = {"loss": nats / max(1, n_tokens)} | corpus_rates(predictions)
    if n_impossible:
        metrics["impossible"] = int(n_impossible)
    return Evaluation(metrics, predictions, example)
