"""The Conformer's parts, one score at a time and beside torchaudio's."""

import math

import pytest
import torch
from torchaudio.models.conformer import _ConvolutionModule, _FeedForwardModule

from src.models.conformer import (
    ConvolutionModule,
    RelativeAttention,
    along_diagonals,
    feed_forward,
    positions,
)
from src.models.parts.frames import Frames
from tests.models.zoo import stir, utterances


@pytest.mark.parametrize("n", [1, 2, 5])
def test_diagonals_are_read_by_the_distance_of_query_and_key(n):
    x = torch.randn(2, n, 2 * n - 1)
    y = along_diagonals(x)
    for i in range(n):
        for j in range(n):
            assert torch.equal(y[:, i, j], x[:, i, n - 1 - (i - j)])


def test_positions_fall_from_the_past_to_the_future():
    table = positions(3, 4)
    for row, distance in enumerate((2, 1, 0, -1, -2)):
        angles = (distance, distance / 100)
        expected = [f(a) for a in angles for f in (math.sin, math.cos)]
        torch.testing.assert_close(table[row], torch.tensor(expected))


@torch.no_grad()
def test_attention_adds_what_fits_and_how_far_it_is():
    """The four terms of Transformer-XL, score by score, over the valid frames alone."""
    torch.manual_seed(0)
    attention, n, valid = stir(RelativeAttention(6, 2)), 5, 4
    x = torch.stack(utterances(n, n_features=6))
    found = attention(x, positions(n, 6), Frames(torch.tensor([valid]), n))
    q, k, v = (part(x[0]) for part in (attention.query, attention.key, attention.value))
    r = {n - 1 - i: attention.distance(row) for i, row in enumerate(positions(n, 6))}
    for i in range(valid):
        heads = []
        for h in range(2):
            d = slice(3 * h, 3 * h + 3)
            scores = torch.stack(
                [
                    (q[i, d] @ k[j, d] + q[i, d] @ r[i - j][d])
                    + (attention.u[h, 0] @ k[j, d] + attention.v[h, 0] @ r[i - j][d])
                    for j in range(valid)
                ]
            )
            heads.append((scores / math.sqrt(3)).softmax(0) @ v[:valid, d])
        torch.testing.assert_close(found[0, i], attention.out(torch.cat(heads)))


@torch.no_grad()
def test_the_convolution_module_is_that_of_torchaudio_but_for_its_norm():
    torch.manual_seed(0)
    ours = stir(ConvolutionModule(6, 5))
    theirs = _ConvolutionModule(6, 6, 5, bias=True).eval()
    norm, (gated, _, conv, _, _, join, _) = theirs.layer_norm, theirs.sequential
    theirs.sequential[3] = AlongTime(ours.norm_over_time)
    for mine, other in ((ours.norm, norm), (ours.gated, gated), (ours.over_time, conv)):
        other.load_state_dict({n: t.view(other.state_dict()[n].shape) for n, t in state(mine)})
    join.load_state_dict({n: t.view(join.state_dict()[n].shape) for n, t in state(ours.join)})
    norm.eps = ours.norm.eps
    x = torch.stack(utterances(9, 9, n_features=6))
    found = ours(x, Frames(torch.tensor([9, 9]), 9))
    torch.testing.assert_close(found, theirs(x))


def state(module: torch.nn.Module):
    return module.state_dict().items()


class AlongTime(torch.nn.Module):
    """A norm of (B, T, D) for (B, D, T)."""

    def __init__(self, norm: torch.nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.mT).mT


def test_the_feed_forward_module_is_that_of_torchaudio():
    ours, theirs = stir(feed_forward(6, 0.1)).eval(), _FeedForwardModule(6, 24).eval()
    theirs.sequential.load_state_dict(ours.state_dict())
    theirs.sequential[0].eps = ours[0].eps
    (x,) = utterances(9, n_features=6)
    torch.testing.assert_close(ours(x), theirs(x))
