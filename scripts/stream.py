"""Read a recording as if it were being spoken: piece by piece, telling tokens as they come."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src import audio
from src.batch import Emissions
from src.build import load_recognizer
from src.transforms.streaming import StreamingFrontEnd
from src.utils.devices import pick_device
from src.utils.errors import UserError, nearest
from src.utils.interrupts import ctrl_c_ends

HELP = """\
  python -m scripts.stream checkpoint=saved/causal/RUN input=talk.wav
  python -m scripts.stream checkpoint=saved/causal/RUN input=talk.wav chunk_ms=80 device=cpu

  checkpoint=  run folder or .pt file of a model that streams (model=causal), trained on features
               that stream (transform=logmel80_stored)
  input=       one recording
  chunk_ms=    milliseconds of sound that the model gets at a time (default 320)
  device=      auto (default), cpu, cuda or cuda:N

Each line tells how much was heard when its tokens were read. The text is that of inference.py with
decoder=greedy, however the sound is cut. docs/models.md"""
DEFAULTS = {"checkpoint": None, "input": None, "chunk_ms": "320", "device": "auto"}


class Said(NamedTuple):
    """What one piece of sound brought."""

    until_s: float  # how much was heard by then
    text: str  # new since the piece before
    seconds: float  # that it took


class Stream:
    """One stream of sound through front end, model and greedy decoder.

    Args:
        text: vocabulary of the model.
        recognizer: front end and model, in evaluation mode and where it shall run.
        device: where that is.

    Raises:
        UserError: the model or its front end must hear what is yet to come.
    """

    def __init__(self, text, recognizer: nn.Module, device: torch.device) -> None:
        if not hasattr(recognizer.model, "stream"):
            raise UserError(
                "This model hears whole utterances, both ways; one that streams is trained with "
                "model=causal transform=logmel80_stored."
            )
        self.vocabulary = text.vocabulary
        self.model = recognizer.model
        self.front_end = StreamingFrontEnd(recognizer.front_end)
        self.device = device
        self.tokens: list[int] = []
        self.text = ""  # all that was read so far
        self._state = None
        self._last = self.vocabulary.blank  # token of the frame before

    def hear(self, waveform: Tensor) -> str:
        """What the next samples (N,) add to the text."""
        return self._read(self.front_end(waveform.to(self.device)))

    def end(self) -> str:
        """What the end of the stream adds to the text."""
        return self._read(self.front_end.end())

    def _read(self, features: Tensor) -> str:
        before, n_before = self.text, len(self.tokens)
        emissions, self._state = self.model.stream(features, self._state)
        self._collapse(emissions)
        if len(self.tokens) > n_before:  # most pieces say nothing, and the whole takes long
            self.text = self.vocabulary.decode(self.tokens)
        return self.text.removeprefix(before)

    def _collapse(self, emissions: Emissions) -> None:
        """Merge repeats, also with the piece before, then drop blanks."""
        for token in emissions.log_probs[0].argmax(-1).tolist():
            if token not in (self._last, self.vocabulary.blank):
                self.tokens.append(token)
            self._last = token


@ctrl_c_ends("stream", "what was read stands above")
def main(words: Sequence[str] | None = None) -> None:
    """Listen, tell, and tell how fast. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        device = pick_device(options.device)
        text, recognizer, _ = load_recognizer(options.checkpoint)
        stream = Stream(text, recognizer.to(device), device)
        rate = recognizer.sample_rate
        waveform = torch.from_numpy(audio.read(Path(options.input), rate))
        chunk = max(1, round(options.chunk_ms * rate / 1000))
        tell(stream, listen(stream, waveform, chunk, rate), len(waveform) / rate)
    except UserError as error:
        sys.exit(f"stream: {error}")


def listen(stream: Stream, waveform: Tensor, chunk: int, rate: int) -> Iterator[Said]:
    """What each piece of `chunk` samples brings, and after them the end."""
    for start in range(0, len(waveform), chunk):
        samples = waveform[start : start + chunk]
        started = time.perf_counter()
        new = stream.hear(samples)
        yield Said((start + len(samples)) / rate, new, time.perf_counter() - started)
    started = time.perf_counter()
    new = stream.end()
    yield Said(len(waveform) / rate, new, time.perf_counter() - started)


def tell(stream: Stream, pieces: Iterator[Said], duration_s: float) -> None:
    """Each piece's text as it comes, at the end the whole and the real-time factor."""
    seconds = []
    for piece in pieces:
        seconds.append(piece.seconds)
        if piece.text:
            print(f"{piece.until_s:7.2f} s  {piece.text}", flush=True)
    print(f"\n{stream.text}")
    if duration_s:
        print(
            f"{duration_s:.2f} s heard in {sum(seconds):.2f} s: real-time factor "
            f"{sum(seconds) / duration_s:.3f}; the slowest piece took {1000 * max(seconds):.0f} ms"
        )


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line: key=value, as for inference.py."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.stream",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("keys", nargs="+", metavar="KEY=VALUE", help="below")
    options = dict(DEFAULTS)
    for word in parser.parse_args(words).keys:
        key, equals, value = word.partition("=")
        if not equals or key not in DEFAULTS:
            parser.error(f"{word}: there is no such key{nearest(key, DEFAULTS)}")
        options[key] = value
    for key in ("checkpoint", "input"):
        if not options[key]:
            parser.error(f"{key}= is missing")
    try:
        options["chunk_ms"] = float(options["chunk_ms"])
    except ValueError:
        options["chunk_ms"] = float("nan")
    if not 1 <= options["chunk_ms"] <= 60_000:
        parser.error("chunk_ms: expected milliseconds from 1 to 60000")
    return argparse.Namespace(**options)


if __name__ == "__main__":
    main()
