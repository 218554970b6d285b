"""Golden outputs: what a published model said of a few clips on the day it was published.

tests/test_golden.py asks again. Texts must be the same, log-probabilities nearly: whoever changes
what a model hears or computes meets it there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src import audio
from src.batch import Utterance
from src.build import build_transcriber, load_recognizer
from src.build.tuned import AUTO, with_files, with_published
from src.datasets import collate
from src.utils.errors import UserError
from src.utils.files import sha256, write_json

CLIPS = "clips"  # folder beside the golden files
# Real speech of training parts, below the folder that --data names.
DATA = (
    "speech_commands/seven/37e8db82_nohash_1.opus",
    "LibriSpeech/train-clean-100/103/1240/103-1240-0000.opus",
)
N_FRAMES = 5  # of a clip, spread evenly
N_TOKENS = 3  # the likeliest of a frame
# Natural log. Processors and versions of PyTorch differ by 1e-4 at most; a change of the front end
# or the model by far more.
TOLERANCE = 5e-3


def clips_of(folder: Path, data: Path | None) -> dict[str, dict[str, Path]]:
    """What golden outputs are of: "clips" and "data", each place → file.

    Args:
        folder: of golden files, with clips of its own.
        data: with the real clips `DATA`; None leaves them out.

    Raises:
        UserError: some are not there.
    """
    clips = {f"{CLIPS}/{path.name}": path for path in sorted((folder / CLIPS).glob("*.flac"))}
    if not clips:
        raise UserError(f"{folder / CLIPS}: no .flac files; --golden takes tests/golden.")
    real = {place: data / place for place in DATA} if data else {}
    if absent := [str(path) for path in real.values() if not path.is_file()]:
        raise UserError(f"--data {data}: lacks {', '.join(absent)}; leave --data out.")
    return {"clips": clips, "data": real}


def write_golden(
    checkpoint: Path, name: str, folder: Path, clips: Mapping[str, Mapping[str, Path]]
) -> Path:
    """Read `clips_of` a folder with a published file, and keep what it says in NAME.json there.

    Raises:
        UserError: one can't be read.
    """
    said = {kind: _hear(checkpoint, files) for kind, files in clips.items()}
    write_json(folder / f"{name}.json", {"sha256": sha256(checkpoint)} | said)
    return folder / f"{name}.json"


def read_golden(path: Path) -> dict[str, Any]:
    """What `write_golden` kept."""
    return json.loads(path.read_text(encoding="utf-8"))


def differences(checkpoint: Path, kept: Mapping[str, Mapping[str, Any]], folder: Path) -> list[str]:
    """A line for each text, number of frames or log-probability that is another today.

    Args:
        kept: "clips" or "data" of a golden file.
        folder: below which those lie.
    """
    today = _hear(checkpoint, {place: folder / place for place in kept}, kept)
    found = []
    for place, before in kept.items():
        now = today[place]
        for key in ("text", "read", "n_frames"):
            if key in before and now[key] != before[key]:
                found.append(f"{place}: {key} {now[key]!r}, was {before[key]!r}")
        if now["n_frames"] == before["n_frames"]:
            pairs = zip(before["log_probs"], now["log_probs"], strict=True)
            found += [
                f"{place}: frame {frame}, token {token}: {y}, was {x}"
                for (frame, token, x), (_, _, y) in pairs
                if not abs(x - y) <= TOLERANCE
            ]
    return found


@torch.no_grad()
def _hear(
    checkpoint: Path,
    clips: Mapping[str, Path],
    as_before: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Greedy text, what is read of it, frames and some log-probabilities of each clip: of the
    likeliest tokens of a few frames, or of the frames and tokens that were kept before."""
    text, recognizer, state = load_recognizer(checkpoint)
    decoder = with_published(with_files({"_target_": AUTO}, checkpoint), state)
    reader = build_transcriber(recognizer, text, decoder, "float32")
    said = {}
    for place, path in clips.items():
        waveform = audio.read(path, recognizer.sample_rate)
        batch = collate([Utterance(place, waveform)])
        emissions = reader.emissions(batch)
        log_probs = emissions.log_probs[0]
        asked = [row[:2] for row in as_before[place]["log_probs"]] if as_before else None
        [prediction] = reader.predict(emissions, batch)
        said[place] = {
            "text": prediction.readings["greedy"][0].text,
            "read": prediction.read_word or prediction.best.text,
            "n_frames": len(log_probs),
            "log_probs": _some(log_probs, asked),
        }
    return said


def _some(log_probs: torch.Tensor, asked: list[list[int]] | None) -> list[list[float]]:
    """[frame, token, log-probability] rows of (T_out, V); none of frames that are not there."""
    if asked is None:
        frames = np.unique(np.linspace(0, len(log_probs) - 1, N_FRAMES).round().astype(int))
        top = log_probs.topk(min(N_TOKENS, log_probs.shape[1]), dim=1).indices.tolist()
        asked = [[int(frame), token] for frame in frames for token in top[frame]]
    there = [(frame, token) for frame, token in asked if frame < len(log_probs)]
    return [[f, token, round(float(log_probs[f, token]), 4)] for f, token in there]
