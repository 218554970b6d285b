"""From a batch of waveforms, or from emissions already at hand, to predictions."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from src.batch import Batch, Emissions, Hypothesis, to_int16
from src.decoding import Decoding, Heard, side_by_side
from src.predictions import Prediction, rate_names
from src.recognizer import Recognizer
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.files import atomic_write, inside, read_object, write_json
from src.utils.processes import ProcessPool
from src.utils.tables import counted

logger = logging.getLogger(__name__)

READER = "checkpoint.txt"  # beside predictions: the path of what read them


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
        self.precision = precision
        self.decoding = Decoding(
            text, self.decoders, word_decoder, recognizer.sample_rate, recognizer.frame_s
        )

    # Not inference_mode: there autocast forgets the weights it has cast, and a GRU casts them
    # anew at each frame (on a CPU ten times slower in bf16).
    @torch.no_grad()
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

    def transcribe_all(
        self, batches: Iterable[Batch], folder: Path, n_decoders: int = 0, decode_batch: int = 1
    ) -> list[Prediction]:
        """Predictions of every batch, each written to `folder`/<utterance id>.json at once.

        Those of an earlier run into the same folder are told of first. They go as soon as the
        first batch is written, since a folder is scored as a whole; a run that fails before
        costs nothing.

        Args:
            n_decoders: processes that decode on the CPU while the model reads on; with 0 this
                process does, on the model's device.
            decode_batch: utterances to be searched together, at least; batches are put side by side
                until they have so many.
        """
        predictions: list[Prediction] = []
        earlier = earlier_predictions(folder)
        with ProcessPool(self.decoding, n_decoders) if n_decoders else nullcontext() as pool:
            decode = pool.submit if pool else self._later
            read = self._read_all(batches, decode, 2 * n_decoders, decode_batch)
            for found in tqdm(read, desc=f"reading {folder.name}", unit="batch", disable=None):
                for prediction in found:
                    path = inside(folder, f"{prediction.id}.json")
                    write_json(path, prediction.to_dict(), sync=False)
                if not predictions:
                    note_reader(folder, None)
                    remove_predictions(earlier, keep={prediction.id for prediction in found})
                predictions += found
        return predictions

    def _read_all(
        self, batches: Iterable[Batch], decode: Callable, most_waiting: int, decode_batch: int
    ) -> Iterator[list[Prediction]]:
        """Predictions of one batch, or of several together, after another.

        Args:
            decode: starts decoding and gives a function that waits for the predictions.
            most_waiting: batches whose predictions are not yet asked for; bounds the memory.
        """
        decoded: deque[Callable] = deque()  # how to wait for the predictions
        for heard in side_by_side(self._hear_all(batches, copy=most_waiting > 0), decode_batch):
            decoded.append(decode(*heard))
            while len(decoded) > most_waiting:
                yield decoded.popleft()()
        for wait in decoded:
            yield wait()

    def _hear_all(self, batches: Iterable[Batch], copy: bool) -> Iterator[Heard]:
        """What the model says of each batch."""
        waiting: deque[Callable] = deque()
        for batch in batches:
            if not batch.ids:
                continue
            # One batch ahead: the GPU has work while the CPU sees to what is heard already.
            waiting.append(self._hear(batch, copy))
            if len(waiting) > 1:
                yield waiting.popleft()()
        for wait in waiting:
            yield wait()

    def _hear(self, batch: Batch, copy: bool) -> Callable[[], Heard]:
        """Start the model on a batch; the function returned waits for what it says.

        Args:
            copy: to the CPU, where other processes can read it.
        """
        emissions = self.emissions(batch)
        log_probs = emissions.log_probs.float()
        there = torch.cuda.Event() if copy and log_probs.is_cuda else None
        if copy:
            log_probs = log_probs.to("cpu", non_blocking=True)
        if there:
            there.record()

        def wait() -> Heard:
            if there:
                there.synchronize()
            # Decoders never see audio, and another process had to be sent it.
            silent = replace(batch, waveforms=batch.waveforms[:, :0])
            return Emissions(log_probs, emissions.lengths.cpu()), silent

        return wait

    def _later(self, emissions: Emissions, batch: Batch) -> Callable[[], list[Prediction]]:
        return lambda: self.decoding(emissions, batch)

    def transcribe_waveform(self, waveform: np.ndarray, name: str = "utterance") -> Hypothesis:
        """The best hypothesis for one waveform, as `transcribe` would find it in a batch.

        Args:
            waveform: (N,) float in −1 … 1 or int16, at the recogniser's sample rate.

        Raises:
            UserError: a sample is NaN or infinite.
        """
        batch = Batch(
            ids=[name],
            waveforms=torch.from_numpy(to_int16(np.ascontiguousarray(waveform)))[None],
            waveform_lengths=torch.tensor([len(waveform)]),
            tokens=torch.zeros(1, 0, dtype=torch.int64),
            token_lengths=torch.zeros(1, dtype=torch.int64),
        )
        return self.transcribe(batch)[0].best

    def rate_names(self) -> list[str]:
        """The error rates that predictions can have where it is known what was said."""
        *_, last = self.decoders.values()
        of_words = self.decoding.word_decoder is not None or bool(getattr(last, "words", ()))
        return rate_names(self.text.unit, self.decoders, of_words)

    def predict(self, emissions: Emissions, batch: Batch) -> list[Prediction]:
        """Predictions from the emissions of a batch, with its targets where it has them."""
        return self.decoding(emissions, batch)


def note_reader(folder: Path, checkpoint: Path | None) -> None:
    """Note beside predictions the checkpoint that read them all; None: nobody knows any more."""
    if checkpoint is None:
        (folder / READER).unlink(missing_ok=True)
        return
    with atomic_write(folder / READER, "w") as file:
        file.write(f"{checkpoint.resolve()}\n")


def noted_reader(folder: Path) -> Path | None:
    """The checkpoint that read the predictions of a folder, if it is noted there."""
    try:
        noted = (folder / READER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(noted) if noted else None


def earlier_predictions(folder: Path) -> list[Path]:
    """The prediction files of an earlier run in `folder`; a warning says that they will go."""
    earlier = [path for path in sorted(folder.glob("*.json")) if _is_prediction(path)]
    if earlier:
        logger.warning(
            "%s: %s of an earlier run will be replaced; name=OTHER keeps both.",
            folder,
            counted(len(earlier), "prediction"),
        )
    return earlier


def remove_predictions(files: Iterable[Path], keep: set[str]) -> None:
    """Delete the prediction files of an earlier run.

    Args:
        keep: ids of the utterances whose files are new.

    Raises:
        UserError: one of them can't be deleted.
    """
    for path in files:
        if path.stem in keep:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{path}: the prediction of an earlier run can't be deleted ({error.strerror}), "
                "and would be scored with the new ones; delete it or choose another name=…"
            ) from error


def _is_prediction(path: Path) -> bool:
    """Whether a JSON file has the two keys that every prediction of ours has."""
    # A pipe would be waited for.
    return path.is_file() and {"pred_text", "n_best"} <= read_object(path).keys()
