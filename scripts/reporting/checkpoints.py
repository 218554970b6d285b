"""What only a checkpoint knows: how many parameters, and what the model says of each frame."""

import io

import numpy as np
from PIL import Image

from scripts.reporting.markup import data_uri
from scripts.reporting.runs import Run
from src.batch import Utterance
from src.build import build_transcriber, load_recognizer
from src.datasets import collate
from src.pipeline import Transcriber
from src.trainer import draw_prediction
from src.utils.errors import UserError

FILES = ("best.pt", "last.pt", "previous.pt")
GREEDY = {"_target_": "src.decoders.Greedy"}
N_COLOURS = 256  # of a picture: enough for a spectrogram, and half the bytes


def load_model(run: Run) -> Transcriber | None:
    """The run's best model on the CPU, else the newest that can be read; notes what can't.

    The run learns its number of parameters and how far it had come.
    """
    there = [path for name in FILES if (path := run.path / "checkpoints" / name).is_file()]
    if not there:
        run.missing.append("There is no checkpoint: neither parameters nor spectrograms.")
    for path in there:
        try:
            text, recognizer, state = load_recognizer(path)
            transcriber = build_transcriber(recognizer, text, GREEDY, "float32")
        except UserError as error:
            run.missing.append(str(error))
            continue
        run.n_parameters = sum(p.numel() for p in recognizer.parameters())
        progress = state.get("progress")
        run.progress = progress if isinstance(progress, dict) else {}
        return transcriber
    return None


def picture_uri(transcriber: Transcriber, utterance: Utterance) -> str:
    """Spectrogram and token posteriors of an utterance over time, under what greedy decoding
    reads, as a PNG inside the page."""
    batch = collate([utterance])
    emissions = transcriber.emissions(batch)
    prediction = transcriber.predict(emissions, batch)[0]
    rgb = draw_prediction(prediction, batch, emissions, transcriber.recognizer)
    return png_uri(rgb)


def png_uri(rgb: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a PNG inside the page."""
    buffer = io.BytesIO()
    few = Image.fromarray(rgb).quantize(N_COLOURS, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return data_uri("image/png", buffer.getvalue())
