"""A model in two stages keeps what every model keeps: exact lengths, silent padding, gradients."""

import pytest
import torch
from torch import nn

from src.batch import Emissions
from src.decoders import Greedy
from src.loss import CTC
from src.models import Spelled
from src.models.parts.frames import enter
from src.models.parts.segments import segments
from src.text import Vocabulary
from src.utils.errors import UserError
from tests.models.zoo import N_FEATURES, N_TOKENS, side_by_side, stir, utterances

N_HEARD = 5
VOCABULARY = Vocabulary(("_", "a", "b", "c", "d", "e", "f"))
NAN = float("nan")


class Ear(nn.Module):
    """The least that can hear: each frame by itself."""

    time_stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(N_FEATURES, N_HEARD)

    def output_lengths(self, lengths):
        return lengths

    def forward(self, features, lengths):
        features, _ = enter(features, lengths)
        log_probs = self.head(features).log_softmax(-1)
        return Emissions(log_probs, self.output_lengths(lengths))


@pytest.fixture
def model() -> Spelled:
    return two_stages()


def two_stages() -> Spelled:
    """A model that hears something in every third frame or so."""
    torch.manual_seed(3)
    model = Spelled(N_FEATURES, N_TOKENS, Ear(), N_HEARD, threshold=0.5, width=16, n_layers=2)
    stir(model)
    with torch.no_grad():
        model.reader.head.weight *= 6
        model.reader.head.bias[0] += 3
        model.speller.head.weight *= 6
        model.speller.head.bias[0] -= 1
    return model.eval()


@pytest.mark.parametrize("filling", [0.0, 1e4, NAN])
def test_an_utterance_gets_in_a_batch_what_it_gets_alone(model, filling):
    spoken = utterances(90, 1, 150, 0, 33)
    together = model(*side_by_side(spoken, extra_frames=9, filling=filling))
    n_heard = 0
    for i, x in enumerate(spoken):
        alone = model(x[None], torch.tensor([len(x)]))
        n = int(alone.lengths[0])
        assert n == together.lengths[i] == len(x)
        torch.testing.assert_close(
            together.log_probs[i, :n], alone.log_probs[0, :n], rtol=1e-4, atol=1e-4
        )
        n_heard += int((alone.log_probs[0, :n, 0] < -1e-3).sum())
    assert n_heard > 10


def test_frames_hold_what_the_speller_says_of_their_segment_and_blanks_elsewhere(model):
    batch = side_by_side(utterances(120, 61))
    emissions = model(*batch)
    heard = model.reader(*batch)
    found = segments(heard.log_probs, heard.lengths, model.threshold)
    written = model.speller(found.posteriors, found.lengths)
    assert 5 < found.lengths.min() < heard.lengths.min()
    for i, n in enumerate(found.lengths.tolist()):
        frames = found.frames[i, :n]
        torch.testing.assert_close(emissions.log_probs[i, frames], written[i, :n])
        silent = torch.ones(emissions.log_probs.shape[1], dtype=torch.bool)
        silent[frames] = False
        assert (emissions.log_probs[i, silent, 0] > -1e-6).all()
    torch.testing.assert_close(emissions.log_probs.exp().sum(-1), torch.ones(2, 120))
    said = Greedy(VOCABULARY)(Emissions(emissions.log_probs, emissions.lengths))
    for i, [hypothesis] in enumerate(said):
        places = set(found.frames[i, : found.lengths[i]].tolist())
        assert places.issuperset(hypothesis.frames) and hypothesis.tokens


def test_where_nothing_is_heard_nothing_is_written(model):
    with torch.no_grad():
        model.reader.head.bias[0] += 100
    emissions = model(*side_by_side(utterances(40, 0, 8)))
    assert emissions.lengths.tolist() == [40, 0, 8]
    assert (emissions.log_probs[..., 0] > -1e-6).all()


def test_both_stages_learn_from_what_is_written(model):
    model.train()
    batch = side_by_side(utterances(120, 150))
    tokens = torch.tensor([[1, 2, 3], [4, 4, 0]])
    emissions = model(*batch)
    CTC()(emissions, tokens, torch.tensor([3, 2])).total.backward()
    unmoved = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not unmoved and all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"threshold": 0}, "model.threshold=0: no frame would be silent"),
        ({"threshold": 1.0}, "model.threshold=1.0: expected"),
        ({"width": 24}, "multiple of 16"),
        ({"kernel_size": 4}, "an odd number"),
        ({"n_heard": 1}, "model.n_heard=1"),
    ],
)
def test_what_can_t_be_is_told(keys, told):
    reader = torch.nn.Identity()
    with pytest.raises(UserError, match=told):
        Spelled(N_FEATURES, N_TOKENS, **({"reader": reader, "n_heard": 5} | keys))
