"""Stacked frames and one-way layers, beside PyTorch's own stacks."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from src.models import Recurrent
from src.models.parts.frames import Frames
from src.models.parts.one_way import KINDS, OneWay
from tests.models.zoo import side_by_side, stir, utterances


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_chain_of_plain_pytorch_layers(kind, bidirectional):
    torch.manual_seed(0)
    model = Recurrent(5, 7, kind, bidirectional, n_rnn_layers=2, width=4, n_stacked=3, stride=2)
    stir(model.eval())
    (x,) = utterances(8, n_features=5)
    padded = functional.pad(x, (0, 0, 0, 1))  # the step at frame 6 hears a frame of silence
    y = torch.stack([padded[t : t + 3].flatten() for t in range(0, 8, 2)])[None]
    for rnn, norm in zip(model.rnns, model.norms, strict=True):
        y = norm(rnn.rnn(y)[0])
    expected = model.head(y).log_softmax(-1)
    torch.testing.assert_close(model(x[None], torch.tensor([8])).log_probs, expected)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_utterance_and_no_gradient_of_any_kind(kind, bidirectional):
    torch.manual_seed(0)
    model = stir(Recurrent(5, 7, kind, bidirectional, 2, 4, 3, 3, dropout=0.0))
    spoken = utterances(11, 4, n_features=5)
    gradients = []
    for extra in (0, 5):
        emissions = model(*side_by_side(spoken, extra, filling=float("nan")))
        model.zero_grad()
        sum(
            emissions.log_probs[i, : int(n), 1].sum() for i, n in enumerate(emissions.lengths)
        ).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_one_way_layer_fed_piece_by_piece_says_the_same(kind):
    torch.manual_seed(0)
    layer = OneWay(kind, 3, 4)
    x = torch.stack(utterances(9, 9, n_features=3))
    whole = layer(x, Frames(torch.tensor([9, 9]), 9))
    torch.testing.assert_close(whole, layer.rnn(x)[0])
    pieces, state = [], None
    for piece in x.split([1, 4, 2, 2], dim=1):
        y, state = layer.stream(piece, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_every_kind_is_pytorchs():
    assert set(KINDS.values()) == {nn.GRU, nn.LSTM, nn.RNN}
