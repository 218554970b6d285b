"""Examples of a validation for people to look at and listen to."""

import numpy as np
import torch

from src.batch import Batch, Emissions, to_float
from src.logger import Logger, spectrogram_with_tokens
from src.metrics import character_errors, phoneme_errors, word_errors
from src.predictions import Prediction
from src.recognizer import Recognizer
from src.trainer.evaluate import Evaluation

LONGEST_S = 40.0  # seconds that a picture shows
LONGEST_TEXT = 600  # characters above it, about as many as are said in that time
COLUMNS = ["id", "target", "raw prediction", "prediction"]
RATES = {
    "character": {"wer": word_errors, "cer": character_errors},
    "phoneme": {"per": phoneme_errors},
}


def show_examples(
    log: Logger, step: int, result: Evaluation, recognizer: Recognizer, n_examples: int
) -> None:
    """A table of the first utterances; of the very first its picture and its sound."""
    batch, emissions = result.example
    predictions = result.predictions[: min(n_examples, len(batch))]
    rows = [_row(p, emissions, i) for i, p in enumerate(predictions)]
    columns = [*COLUMNS, *RATES[predictions[0].unit]]
    log.table(step, "validation/examples", columns, rows)
    log.image(
        step,
        "validation/spectrogram",
        draw_prediction(predictions[0], batch, emissions, recognizer),
    )
    waveform = batch.waveforms[0, : int(batch.waveform_lengths[0])]
    log.audio(step, "validation/audio", to_float(waveform).numpy(), recognizer.sample_rate)


@torch.no_grad()
def draw_prediction(
    prediction: Prediction, batch: Batch, emissions: Emissions, recognizer: Recognizer
) -> np.ndarray:
    """Spectrogram and posteriors of a batch's first utterance under its tokens, RGB (H, W, 3).

    Of a long one the first LONGEST_S seconds: nobody could read thousands of tokens.
    """
    device = next(recognizer.parameters()).device
    n_samples = min(int(batch.waveform_lengths[0]), int(LONGEST_S * recognizer.sample_rate))
    n_frames = min(int(emissions.lengths[0]), int(LONGEST_S / recognizer.frame_s))
    waveform = batch.waveforms[:1, :n_samples].to(device)
    features, lengths = recognizer.features(waveform, torch.tensor([n_samples]))
    tokens = [(token["token"], token["start_s"]) for token in prediction.token_times()]
    heard = _beginning(prediction.best.text)
    part = "" if prediction.duration_s <= LONGEST_S else f" (the first {LONGEST_S:g} s)"
    title = f"{prediction.id}{part}\nheard: {heard or '(nothing)'}"
    if prediction.target is not None:
        title += f"\nsaid: {_beginning(prediction.target)}"
    return spectrogram_with_tokens(
        features[0, : int(lengths[0])].cpu().numpy(),
        recognizer.front_end.hop_s,
        [(symbol, s) for symbol, s in tokens if s is not None and s < LONGEST_S],
        title=title,
        posteriors=emissions.log_probs[0, :n_frames].exp().cpu().numpy(),
        frame_s=recognizer.frame_s,
    )


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _row(prediction: Prediction, emissions: Emissions, index: int) -> list:
    target, text = prediction.target or "", prediction.best.text
    counts = [count(target, text) for count in RATES[prediction.unit].values()]
    rates = [round(errors.rate, 4) if target else "" for errors in counts]
    return [prediction.id, target, _raw(prediction, emissions, index), text, *rates]


def _raw(prediction: Prediction, emissions: Emissions, index: int) -> str:
    """The most probable symbol of every frame, blank as ·, nothing collapsed."""
    best = emissions.log_probs[index, : int(emissions.lengths[index])].argmax(-1).tolist()
    separator = " " if prediction.unit == "phoneme" else ""
    return separator.join("·" if token == 0 else prediction.symbols[token] for token in best)
