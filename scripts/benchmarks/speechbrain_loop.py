"""SpeechBrain's own pipeline and trainer on our model: DynamicItemDataset, PaddedBatch,
DynamicBatchSampler, Brain.

As its CTC recipes put them together, with the faster of their two ways to batch. The model, the
front end (called in compute_forward, where its recipes call theirs), the vocabulary and the
learning rate are ours. AdamW is as PyTorch builds it, since the recipes never ask for more, and
recurrent layers read packed utterances, as those of its nnet.RNN do.
Imported only by a Python that has SpeechBrain: see requirements-bench.txt.
"""

import tempfile
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataio import read_audio
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.nnet.losses import ctc_loss

from scripts.benchmarks.contestants import MAX_GRAD_NORM, Pass
from scripts.benchmarks.recipe import Recipe
from scripts.benchmarks.recurrences import run_theirs
from scripts.benchmarks.stopwatch import Stopwatch
from src.batch import Emissions
from src.build import build_text
from src.trainer import Trainer
from src.utils.errors import UserError

MOST_BUCKETS = 200  # as its LibriSpeech recipes with dynamic batching


class SpeechBrain:
    """One pass = one `Brain.fit` of one epoch; loader and optimizer are kept between passes."""

    def __init__(self, recipe: Recipe) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ours = recipe.trainer(Path(folder))
        self.watch = Stopwatch(ours.stepper.device)
        run_theirs(ours.stepper.recognizer.model, packed=True)
        recognizer, precision = ours.stepper.recognizer, ours.stepper.precision
        group = ours.stepper.optimizer.param_groups[0]
        keys = {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")}
        self.brain = CTCBrain(
            modules={"front_end": recognizer.front_end, "model": recognizer.model},
            opt_class=lambda parameters: torch.optim.AdamW(parameters, **keys),
            run_opts={
                "device": recipe.device,
                "precision": "fp32" if precision == "float32" else precision,
                "max_grad_norm": MAX_GRAD_NORM,
                "noprogressbar": True,
            },
        )
        self.brain.watch = self.watch
        self.loader = loader_of(recipe, ours)

    def watched(self) -> tuple:
        self.brain.init_optimizers()
        modules = self.brain.modules
        return modules["front_end"], modules["model"], None, self.brain.optimizer

    def run(self) -> Pass:
        self.brain.done = Pass()
        self.brain.fit(range(1), self.loader)
        return self.brain.done


class CTCBrain(sb.Brain):
    """The two methods that a SpeechBrain recipe writes, and marks for the stopwatch."""

    def compute_forward(self, batch: PaddedBatch, stage: sb.Stage) -> Emissions:
        lengths = torch.round(batch.sig.lengths * batch.sig.data.shape[1]).long()
        self.done.count(lengths, batch.sig.data.shape[1])
        batch = batch.to(self.device)
        with torch.no_grad():
            features, lengths = self.modules.front_end(batch.sig.data, lengths)
        return self.modules.model(features, lengths)

    def compute_objectives(
        self, emissions: Emissions, batch: PaddedBatch, stage: sb.Stage
    ) -> torch.Tensor:
        log_probs, lengths = emissions
        self.watch.mark("rest")
        tokens, token_lengths = batch.tokens
        shares = (lengths / log_probs.shape[1]).to(self.device)
        loss = ctc_loss(log_probs, tokens, shares, token_lengths, blank_index=0)
        self.watch.mark("loss")
        return loss

    def init_optimizers(self) -> None:
        """Once: each `fit` would begin with new moments."""
        if getattr(self, "optimizer", None) is None:
            super().init_optimizers()

    def fit_batch(self, batch: PaddedBatch) -> torch.Tensor:
        self.watch.mark("data wait")
        loss = super().fit_batch(batch)
        self.watch.mark("rest")
        return loss


def loader_of(recipe: Recipe, ours: Trainer) -> torch.utils.data.DataLoader:
    """The utterances of our own training set through SpeechBrain's data pipeline.

    Raises:
        UserError: recordings of another rate than the model's; its recipes do not resample.
    """
    sampler, text = ours.train_loader.batch_sampler, build_text(recipe.config())
    dataset = DynamicItemDataset(_items(recipe, ours))
    rate = ours.stepper.recognizer.sample_rate
    _check_rate(dataset, rate)

    @sb.utils.data_pipeline.takes("wav")
    @sb.utils.data_pipeline.provides("sig")
    def audio(wav: str) -> torch.Tensor:
        return read_audio(wav)

    @sb.utils.data_pipeline.takes("wrd")
    @sb.utils.data_pipeline.provides("tokens")
    def tokens(wrd: str) -> torch.Tensor:
        return torch.LongTensor(text.encode(wrd))

    dataset.add_dynamic_item(audio)
    dataset.add_dynamic_item(tokens)
    dataset.set_output_keys(["id", "sig", "tokens"])
    batches = DynamicBatchSampler(
        dataset,
        max_batch_length=recipe.max_batch_s,
        # Of a small corpus many buckets would leave most batches half empty.
        num_buckets=min(MOST_BUCKETS, 4 * len(sampler)),
        length_func=lambda item: item["duration"],
        shuffle=True,
        batch_ordering="random",
    )
    return make_dataloader(
        dataset,
        batch_sampler=batches,
        num_workers=recipe.n_workers,
        persistent_workers=recipe.n_workers > 0,
        pin_memory=recipe.device.startswith("cuda"),
    )


def _items(recipe: Recipe, ours: Trainer) -> dict[str, dict]:
    """Id → recording, seconds and words, as its prepare scripts write them into a CSV."""
    part = Path(recipe.root) / recipe.part
    words = {}
    for listing in part.rglob("*.trans.txt"):
        for line in listing.read_text("utf-8").splitlines():
            name, _, said = line.partition(" ")
            words[name] = said
    files = {path.stem: str(path) for path in part.rglob("*") if path.suffix != ".txt"}
    seconds = ours.train_loader.batch_sampler.durations_s.tolist()
    ids = ours.train_loader.dataset.ids
    return {
        name: {"wav": files[name], "duration": duration, "wrd": words[name]}
        for name, duration in zip(ids, seconds, strict=True)
    }


def _check_rate(dataset: DynamicItemDataset, wanted: int) -> None:
    path = next(iter(dataset.data.values()))["wav"]
    found = sb.dataio.audio_io.info(path).sample_rate
    if found != wanted:
        raise UserError(
            f"{path}: recorded at {found} Hz, and SpeechBrain's CTC recipe reads only {wanted} Hz. "
            "Convert the recordings, or leave speechbrain out of --contestants."
        )
