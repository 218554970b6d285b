"""Who is measured: our trainer, its limit, and the plain loop of older systems."""

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, Dataset

from scripts.benchmarks.recipe import Recipe
from scripts.benchmarks.recurrences import run_theirs
from scripts.benchmarks.stopwatch import Stopwatch
from src.batch import Batch, to_float
from src.trainer import Stepper
from src.utils.devices import autocast

MAX_GRAD_NORM = 5.0  # as configs/trainer/default.yaml


@dataclass
class Pass:
    """What one pass over the data came to."""

    n_steps: int = 0
    n_samples: int = 0  # of the utterances
    n_padded: int = 0  # of the batches, padding included

    def count(self, lengths: Tensor, padded: int) -> None:
        """Add a batch of utterances of `lengths` samples (B,), padded to `padded` samples each."""
        self.n_steps += 1
        self.n_samples += sum(lengths.tolist())
        self.n_padded += len(lengths) * padded


class Contestant(Protocol):
    """Trains on the same utterances again and again, a pass at a time."""

    watch: Stopwatch

    def watched(self) -> tuple:
        """Front end, model, loss and optimizer, for the stopwatch."""

    def run(self) -> Pass:
        """One pass over all utterances, from the first read to the last step queued."""


class Ours:
    """`src.trainer.Trainer` as train.py builds it."""

    def __init__(self, recipe: Recipe) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.trainer = recipe.trainer(Path(self._folder.name))
        self.watch = Stopwatch(self.trainer.stepper.device)

    def watched(self) -> tuple:
        return parts_of(self.trainer.stepper)

    def run(self) -> Pass:
        done = Pass()
        for batch in self.batches():
            self.watch.mark("data wait")
            done.count(batch.waveform_lengths, batch.waveforms.shape[1])
            self.trainer.train_step([batch])
            self.watch.mark("rest")
        return done

    def batches(self) -> Iterator[Batch]:
        """Always those of the first epoch, in its order."""
        self.trainer.train_loader.batch_sampler.set_position(0, 0)
        return self.trainer.meter.waiting_for(self.trainer.train_loader)


class Limit:
    """A bare step on batches that lie on the device already: the same batches as ours.

    Nothing is read, checked, counted or logged, and nobody looks at the loss. Faster than this
    the same model can't learn from the same batches.
    """

    def __init__(self, recipe: Recipe) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ours = recipe.trainer(Path(folder))
        self.precision, self.stepper = ours.stepper.precision, ours.stepper
        self.device = ours.stepper.device
        self.watch = Stopwatch(self.device)
        ours.train_loader.batch_sampler.set_position(0, 0)
        self.held = [batch.to(self.device) for batch in ours.train_loader]
        self.stepper.recognizer.train()

    def watched(self) -> tuple:
        return parts_of(self.stepper)

    def run(self) -> Pass:
        done = Pass()
        for batch in self.held:
            self.watch.mark("data wait")
            done.count(batch.waveform_lengths, batch.waveforms.shape[1])
            self._step(batch)
            self.watch.mark("rest")
        return done

    def _step(self, batch: Batch) -> None:
        recognizer, optimizer = self.stepper.recognizer, self.stepper.optimizer
        features, lengths = recognizer.features(batch.waveforms, batch.waveform_lengths)
        with autocast(self.device, self.precision):
            emissions = self.stepper.model(features, lengths)
        loss = self.stepper.loss(emissions, batch.tokens, batch.token_lengths)
        (loss.total / sum(batch.token_lengths.tolist())).backward()
        clip_grad_norm_(recognizer.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


class OneBatch(Limit):
    """The limit with one batch, that of median length, over and over: all shapes are alike."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        by_size = sorted(self.held, key=lambda batch: batch.waveforms.numel())
        self.held = [by_size[len(by_size) // 2]] * len(self.held)


class PlainLoop:
    """The loop of older systems (csr-pytorch, DeepSpeech2 and its students).

    A shuffle cut into batches of a fixed size, padded as they come; features computed in the
    loader's workers, one utterance after another; recurrent layers that read the padding too;
    Adam as PyTorch builds it; the loss read after each step. The workers are kept between passes.
    """

    def __init__(self, recipe: Recipe) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ours = recipe.trainer(Path(folder))
        self.precision, self.device = ours.stepper.precision, ours.stepper.device
        self.watch = Stopwatch(self.device)
        self.recognizer = ours.stepper.recognizer.train()
        run_theirs(self.recognizer.model, packed=False)
        self.loss = nn.CTCLoss(reduction="sum", zero_infinity=True)
        learning_rate = ours.stepper.optimizer.param_groups[0]["lr"]
        self.optimizer = torch.optim.Adam(self.recognizer.parameters(), lr=learning_rate)
        dataset = ours.train_loader.dataset
        # As many steps a pass as ours: the same seconds a batch, on average.
        self.batch_size = round(len(dataset) / len(ours.train_loader.batch_sampler))
        self.shuffle = torch.Generator()
        self.loader = DataLoader(
            FeaturesInWorkers(dataset, copy.deepcopy(self.recognizer.front_end).cpu()),
            batch_size=self.batch_size,
            shuffle=True,
            generator=self.shuffle,
            num_workers=recipe.n_workers,
            collate_fn=pad,
            persistent_workers=recipe.n_workers > 0,
        )
        hop = self.recognizer.front_end.hop_s * self.recognizer.sample_rate
        self.samples_a_frame = round(hop)

    def watched(self) -> tuple:
        return self.recognizer.front_end, self.recognizer.model, self.loss, self.optimizer

    def run(self) -> Pass:
        done, total = Pass(), 0.0
        self.shuffle.manual_seed(0)
        for features, lengths, tokens, token_lengths, n_samples in self.loader:
            self.watch.mark("data wait")
            done.count(n_samples, features.shape[1] * self.samples_a_frame)
            features, tokens = features.to(self.device), tokens.to(self.device)
            with autocast(self.device, self.precision):
                emissions = self.recognizer.model(features, lengths)
            scores = emissions.log_probs.transpose(0, 1)
            loss = self.loss(scores, tokens, emissions.lengths, token_lengths) / len(lengths)
            self.optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(self.recognizer.parameters(), MAX_GRAD_NORM)
            self.optimizer.step()
            total += loss.item()
            self.watch.mark("rest")
        return done


class FeaturesInWorkers(Dataset):
    """Utterances as (features (T, F), tokens (S,), samples), computed where they are read."""

    def __init__(self, utterances: Dataset, front_end: nn.Module) -> None:
        self.utterances = utterances
        self.front_end = front_end

    def __len__(self) -> int:
        return len(self.utterances)

    @torch.no_grad()
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        utterance = self.utterances[index]
        waveform = to_float(torch.from_numpy(utterance.waveform))[None]
        features, _ = self.front_end(waveform, torch.tensor([waveform.shape[1]]))
        return features[0], torch.tensor(utterance.tokens), waveform.shape[1]


def pad(items: list[tuple[Tensor, Tensor, int]]) -> tuple[Tensor, ...]:
    """Features (B, T, F), lengths (B,), tokens (B, S), lengths (B,), samples (B,)."""
    features, tokens, n_samples = zip(*items, strict=True)
    return (
        nn.utils.rnn.pad_sequence(features, batch_first=True),
        torch.tensor([len(x) for x in features]),
        nn.utils.rnn.pad_sequence(tokens, batch_first=True),
        torch.tensor([len(x) for x in tokens]),
        torch.tensor(n_samples),
    )


def parts_of(stepper: Stepper) -> tuple:
    """What the stopwatch watches in a stepper of ours."""
    recognizer = stepper.recognizer
    return recognizer.front_end, recognizer.model, stepper.loss, stepper.optimizer
