"""Parts that break what "Adding a part" asks of them are told before a training begins."""

import pytest
import torch
from torch import Tensor, nn

import src.models.convnet
from src.batch import Emissions
from src.build import build_recognizer, build_text
from src.build.rehearsal import rehearse
from src.recognizer import Recognizer
from src.transforms import FrontEnd, NoNormalisation
from src.utils.errors import UserError
from tests.build.configs import TINY, tiny
from tests.cli.in_process import call
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.export.test_formats import front_end as front_end_of
from tests.models import zoo
from tests.models.zoo import every_config, narrow
from tests.transforms import chosen

N_TOKENS = 7


class Feature(nn.Module):
    """Ten samples a frame, as they are."""

    n_features, hop_s, sample_rate = 10, 0.01, 1000

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths // 10

    def forward(self, waveforms: Tensor) -> Tensor:
        return waveforms[:, : waveforms.shape[1] // 10 * 10].unflatten(1, (-1, 10))


class Model(nn.Module):
    """Every second frame through one layer."""

    time_stride = 2

    def __init__(self, n_features: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(n_features, N_TOKENS)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return (lengths + 1) // 2

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        log_probs = self.head(features[:, ::2]).log_softmax(-1)
        return Emissions(log_probs, self.output_lengths(lengths))


class Logits(Model):
    def forward(self, features, lengths):
        return Emissions(self.head(features[:, ::2]), self.output_lengths(lengths))


class NotANumber(Model):
    def forward(self, features, lengths):
        log_probs, lengths = super().forward(features, lengths)
        return Emissions(log_probs * torch.nan, lengths)


class Pair(Model):
    def forward(self, features, lengths):
        return tuple(super().forward(features, lengths))


class TimeFirst(Model):
    def forward(self, features, lengths):
        log_probs, lengths = super().forward(features, lengths)
        return Emissions(log_probs.transpose(0, 1), lengths)


class OtherLengths(Model):
    def forward(self, features, lengths):
        return Emissions(super().forward(features, lengths).log_probs, lengths // 2 - 1)


class TooLong(Model):
    def output_lengths(self, lengths):
        return lengths


class Narrow(Model):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, N_TOKENS - 1)


class NoStride(Model):
    time_stride = property()


class OtherWidth(Feature):
    n_features = 9


class Flat(Feature):
    def forward(self, waveforms):
        return waveforms


class ThreeTooMany(Feature):
    def output_lengths(self, lengths):
        return lengths // 10 + 3


def heard(feature: nn.Module, model: nn.Module) -> None:
    rehearsed(FrontEnd(features=feature, normalise=NoNormalisation()), model)


def rehearsed(front_end: FrontEnd, model: nn.Module) -> None:
    config = {"model": {"_target_": "src.models.Mine"},
              "transform": {"features": {"_target_": "src.transforms.Mine"}}}  # fmt: skip
    rehearse(Recognizer(front_end, model), config, N_TOKENS)


BREACHES = {
    Logits: r"model=src.models.Mine: the probabilities of a frame sum to .*; expected 1\.",
    NotANumber: "sum to nan; expected 1",
    Pair: "returns tuple; expected src.batch.Emissions",
    TimeFirst: r"emits \(50, 2, 7\) \(utterances, frames, tokens\); expected \(2, 50, 7\)",
    OtherLengths: r"emits lengths \[49, 29\], but its output_lengths tells \[50, 30\]",
    TooLong: r"emits \(2, 50, 7\).*expected \(2, 100, 7\)",
    Narrow: r"emits \(2, 50, 6\).*expected \(2, 50, 7\): 7 tokens with the blank",
    NoStride: "has no time_stride",
    OtherWidth: r"transform.features=src.transforms.Mine: makes \(2, 100, 10\).*frames, 9\)",
    Flat: r"makes \(2, 1000\) of \(2, 1000\) samples; expected \(2, frames, 10\)",
    ThreeTooMany: "output_lengths tells 103 frames of 1000 samples, but there are 100",
}


@pytest.mark.parametrize("part", BREACHES, ids=lambda part: part.__name__)
def test_a_part_that_breaks_a_promise_is_told_which(part):
    parts = (part(), Model()) if issubclass(part, Feature) else (Feature(), part())
    with pytest.raises(UserError, match=BREACHES[part]):
        heard(*parts)


@every_config
def test_every_model_passes(config):
    assert zoo.N_TOKENS == N_TOKENS
    rehearsed(front_end_of(config), narrow(config))


@pytest.mark.parametrize("name", chosen.TRANSFORMS)
def test_every_transform_passes(name):
    front_end = chosen.front_end(name)
    rehearsed(front_end, Model(front_end.n_features))


def test_a_sound_one_is_left_as_it_was_and_so_is_chance():
    model = Model().train()
    before = [value.clone() for value in model.state_dict().values()]
    state = torch.random.get_rng_state()
    heard(Feature(), model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training and all(map(torch.equal, model.state_dict().values(), before))


def test_a_training_with_logits_ends_before_its_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(src.models.convnet, "log_probabilities", lambda logits: logits)
    clips = pack_corpus(tmp_path, n_each=4, lengths=(4000, 9000, 16000))[1]
    words = ("-cn=convnet", *TINY, "device=cpu", f"dataset.path={clips}")
    refusal = call("train", *words, f"run_dir={tmp_path / 'run'}").refusal
    assert "model=src.models.ConvNet: the probabilities of a frame sum to" in refusal
    assert not (tmp_path / "run").exists()


def test_a_feature_in_a_front_end_s_place_is_told_where_it_belongs():
    config = tiny()
    config["transform"] = config["transform"]["features"]
    with pytest.raises(UserError, match=r"LogMel: expected src\.transforms\.FrontEnd"):
        build_recognizer(config, build_text(config))
