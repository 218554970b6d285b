"""What a checkpoint hears in its own training speech, made harder: the errors to learn from."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from tqdm import tqdm

from scripts.learning.kept import DAMAGE
from src.build import build_inference, plain
from src.build.inference import Inference
from src.cli import CONFIGS
from src.models.parts.segments import segments
from src.spelling import Confusions
from src.transforms import SpecAugment
from src.utils.command_line import for_hydra
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.files import sha256
from src.utils.tensor_files import save_tensors

# What makes the speech harder, beside dropout: on its own training speech a model errs too rarely.
HEARINGS = (
    None,
    {"max_frequency_bins": 10, "max_time_frames": 10, "max_time_fraction": 0.1},
    {"max_frequency_bins": 27, "max_time_frames": 100, "max_time_fraction": 0.2},
)
told = logging.getLogger(__name__)


def training_speech(
    path: Path, keys: Sequence[str], device: torch.device, precision: str
) -> Inference:
    """A checkpoint and the training part of what `keys` name, as inference.py would take them.

    Raises:
        UserError: they name the test part, or something can't be built.
    """
    ours = [for_hydra("checkpoint", str(path)), "part=train", f"device={device}", "decoder=greedy"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        keys = [*ours, f"precision={precision}", *keys]
        resolved = plain(compose("inference", keys))
        corpus = compose("inference", keys, return_hydra_config=True).hydra.runtime.choices
    if resolved["part"] == "test":
        raise UserError(
            "--speech part=test: what is learnt from test speech flatters its error rate."
        )
    return build_inference(resolved, corpus["dataset"])


def what_is_heard(job: Inference, path: Path, seed: int, threshold: float) -> dict[str, Any]:
    """Tells one hearing from another before it is done: plain values."""
    said, dataset = hashlib.sha256(), job.dataset
    for i, (name, seconds) in enumerate(zip(dataset.ids, dataset.durations_s, strict=True)):
        # Corpora of single words can't tell without the sound; their ids hold the word.
        transcript = dataset.describe(i).transcript if hasattr(dataset, "describe") else ""
        said.update(repr((name, float(seconds), transcript)).encode())
    return {
        "reader": sha256(path),
        "speech": said.hexdigest(),
        "threshold": threshold,
        "seed": seed,
        "precision": job.transcriber.precision,
    }


def hear_once(job: Inference, of: dict[str, Any], path: Path) -> Confusions:
    """What is heard in the speech, from the file where that lies already, or else put there.

    Args:
        of: of `what_is_heard`; what is kept of another hearing is replaced.
    """
    if (confusions := _kept(path, of)) is None:
        confusions = Confusions.of(hear(job, of["seed"], of["threshold"]))
        save_tensors(path, confusions.state() | {"of": of})
    return confusions


def _kept(path: Path, of: dict[str, Any]) -> Confusions | None:
    if not path.is_file():
        return None
    try:
        state = torch.load(path, weights_only=True)
        if state.pop("of") != of:
            return None
        confusions = Confusions(**state)
    except (*DAMAGE, OSError) as error:
        told.warning("%s: could not be read (%s); the speech is heard again.", path, error)
        return None
    print(f"{path}: what was heard, from an earlier run")
    return confusions


def hear(job: Inference, seed: int, threshold: float) -> Iterator[tuple[Tensor, Sequence[int]]]:
    """The segments and tokens of every utterance, as often as there are `HEARINGS`."""
    torch.manual_seed(seed)
    recognizer, precision = job.transcriber.recognizer.eval(), job.transcriber.precision
    recognizer.apply(lambda part: part.train() if isinstance(part, nn.Dropout) else None)
    device = next(recognizer.parameters()).device
    for n, harder in enumerate(HEARINGS, 1):
        augment = None if harder is None else SpecAugment(**harder)
        for batch in tqdm(job.loader, desc=f"hearing {n} of {len(HEARINGS)}", disable=None):
            batch = batch.to(device)
            # Not inference_mode, in which autocast casts weights anew at each frame of a GRU.
            with torch.no_grad(), autocast(device, precision):
                x, lengths = recognizer.features(batch.waveforms, batch.waveform_lengths)
                x = x if augment is None else augment(x, lengths)
                heard = recognizer.model(x, lengths)
                found = segments(heard.log_probs, heard.lengths, threshold)
            for i, n_segments in enumerate(found.lengths.tolist()):
                tokens = batch.tokens[i, : batch.token_lengths[i]].tolist()
                yield found.posteriors[i, :n_segments].cpu(), tokens
