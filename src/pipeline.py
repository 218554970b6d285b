"""From a batch of waveforms, or from emissions already at hand, to predictions."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from src.batch import Batch, Emissions, Hypothesis
from src.predictions import Prediction
from src.recognizer import Recognizer
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.files import inside, write_json

logger = logging.getLogger(__name__)


class Transcriber:
    """Reads utterances: recogniser, decoders and vocabulary in one hand.

    Args:
        recognizer: front end and model; moved nowhere, the caller places it.
        text: vocabulary, unit and lexicon of the model (`src.text`).
        decoders: name → decoder; the last one has the last word.
        word_decoder: chooses one word of a closed lexicon, where the text has one.
        precision: "float32", "bf16" or "fp16"; loss and decoding stay in float32.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        text,
        decoders: Mapping,
        word_decoder=None,
        precision="float32",
    ) -> None:
        self.recognizer = recognizer
        self.text = text
        self.decoders = dict(decoders)
        self.word_decoder = word_decoder
        self.precision = precision

    @torch.inference_mode()
    def emissions(self, batch: Batch) -> Emissions:
        """Emissions of a batch, in evaluation mode."""
        self.recognizer.eval()
        device = next(self.recognizer.parameters()).device
        moved = batch.to(device)
        with autocast(device, self.precision):
            return self.recognizer(moved.waveforms, moved.waveform_lengths)

    def transcribe(self, batch: Batch) -> list[Prediction]:
        """Predictions of a batch, in its order."""
        return self.predict(self.emissions(batch), batch)

    def transcribe_all(self, batches: Iterable[Batch], folder: Path) -> list[Prediction]:
        """Predictions of every batch, each written to `folder`/<utterance id>.json at once.

        Those of an earlier run into the same folder go as soon as the first batch is written,
        since a folder is scored as a whole; a run that fails before costs nothing.
        """
        predictions: list[Prediction] = []
        for batch in tqdm(batches, desc=f"reading {folder.name}", unit="batch", disable=None):
            is_first = not predictions
            for prediction in self.transcribe(batch):
                path = inside(folder, f"{prediction.id}.json")
                write_json(path, prediction.to_dict(), sync=False)
                predictions.append(prediction)
            if is_first:
                remove_predictions(folder, keep=set(batch.ids))
        return predictions

    def transcribe_waveform(self, waveform: np.ndarray, name: str = "utterance") -> Hypothesis:
        """The best hypothesis for one waveform (N,) float32 at the recogniser's sample rate."""
        batch = Batch(
            ids=[name],
            waveforms=torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))[None],
            waveform_lengths=torch.tensor([len(waveform)]),
            tokens=torch.zeros(1, 0, dtype=torch.int64),
            token_lengths=torch.zeros(1, dtype=torch.int64),
        )
        return self.transcribe(batch)[0].best

    def predict(self, emissions: Emissions, batch: Batch) -> list[Prediction]:
        """Predictions from the emissions of a batch, with its targets where it has them."""
        emissions = Emissions(emissions.log_probs.float().cpu(), emissions.lengths.cpu())
        readings = {name: decoder(emissions) for name, decoder in self.decoders.items()}
        words = self.word_decoder(emissions) if self.word_decoder else [(None, None)] * len(batch)
        seconds = (batch.waveform_lengths / self.recognizer.sample_rate).tolist()
        return [
            Prediction(
                id=utterance_id,
                unit=self.text.unit,
                readings={name: n_bests[i] for name, n_bests in readings.items()},
                symbols=self.text.vocabulary.symbols,
                frame_s=self.recognizer.frame_s,
                duration_s=seconds[i],
                target=(batch.targets[i] or None) if batch.targets else None,
                word=self.text.normalise(batch.transcripts[i]) or None
                if batch.transcripts
                else None,
                read_word=words[i][0],
                word_posterior=words[i][1],
            )
            for i, utterance_id in enumerate(batch.ids)
        ]


def remove_predictions(folder: Path, keep: set[str]) -> None:
    """Delete the prediction files of an earlier run in `folder`, and nothing else in it.

    Args:
        keep: ids of the utterances whose files are new.

    Raises:
        UserError: one of them can't be deleted.
    """
    others = (path for path in sorted(folder.glob("*.json")) if path.stem not in keep)
    earlier = [path for path in others if _is_prediction(path)]
    for path in earlier:
        try:
            path.unlink()
        except OSError as error:
            raise UserError(
                f"{path}: the prediction of an earlier run can't be deleted ({error.strerror}), "
                "and would be scored with the new ones; delete it or choose another name=…"
            ) from error
    if earlier:
        logger.info("%s: removed %s predictions of an earlier run.", folder, f"{len(earlier):,}")


def _is_prediction(path: Path) -> bool:
    """Whether a JSON file has the two keys that every prediction of ours has."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"pred_text", "n_best"} <= found.keys()
