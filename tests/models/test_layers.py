"""The layers let no padding through; without padding they are PyTorch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from src.models.parts.frames import Frames, strided_lengths
from src.models.parts.layers import BiRecurrence, ConvBlock, MaskedBatchNorm
from tests.models.zoo import side_by_side, stir, utterances

LENGTHS = (6, 1, 9, 0, 4)


def batch_of(*lengths: int, width: int, extra_frames: int = 2, filling: float = float("nan")):
    """Utterances, the same as a padded batch, and its frames."""
    spoken = utterances(*lengths, n_features=width, seed=4)
    x, n = side_by_side(spoken, extra_frames, filling)
    return spoken, x, Frames(n, x.shape[1])


@given(
    length=st.integers(0, 300),
    strides=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_strided_lengths_count_the_hops_one_by_one(length, strides):
    n, product = length, 1
    for stride in strides:
        n, product = len(range(0, n, stride)), product * stride
    assert strided_lengths(torch.tensor([length]), product).tolist() == [n]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5), extra=st.integers(0, 3))
def test_select_lays_valid_frames_end_to_end_and_restore_brings_them_back(lengths, extra):
    extra += max(lengths) == 0
    spoken, x, frames = batch_of(*lengths, width=3, extra_frames=extra)
    torch.testing.assert_close(frames.select(x), torch.cat(spoken))
    silent = side_by_side(spoken, extra, filling=0.0)[0]
    torch.testing.assert_close(frames.restore(torch.cat(spoken)), silent)
    torch.testing.assert_close(frames.silence(x), silent)
    torch.testing.assert_close(frames.silence(x.transpose(1, 2), time_axis=2).mT, silent)


def test_batch_statistics_and_running_ones_are_those_of_the_bare_frames():
    spoken, x, frames = batch_of(*LENGTHS, width=3)
    ours, theirs = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    for _ in range(2):  # twice: running statistics move from something known
        found, expected = ours(x, frames), theirs(torch.cat(spoken))
        torch.testing.assert_close(frames.select(found), expected)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))
    torch.testing.assert_close(found, frames.silence(found))


def test_masked_batch_norm_sends_back_the_gradient_of_the_bare_frames():
    spoken, x, frames = batch_of(*LENGTHS, width=3)
    bare = torch.cat(spoken).requires_grad_()
    (nn.BatchNorm1d(3)(bare) ** 3).sum().backward()
    x.requires_grad_()
    (MaskedBatchNorm(3)(x, frames) ** 3).sum().backward()
    torch.testing.assert_close(frames.select(x.grad), bare.grad)
    assert not x.grad[frames.padding].any()


@pytest.mark.parametrize("training", [True, False])
def test_without_padding_masked_batch_norm_is_batch_norm(training):
    x = torch.randn(4, 9, 3)
    ours, theirs = MaskedBatchNorm(3).train(training), nn.BatchNorm1d(3).train(training)
    expected = theirs(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(ours(x, Frames(torch.full((4,), 9), 9)), expected)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("lengths", [(0, 0), (1, 0)])
def test_too_few_frames_for_a_variance_leave_the_running_statistics_alone(lengths):
    _, x, frames = batch_of(*lengths, width=3)
    norm = stir(MaskedBatchNorm(3))
    before = {name: b.clone() for name, b in norm.named_buffers()}
    in_training = norm(x, frames)
    torch.testing.assert_close(in_training, norm.eval()(x, frames))
    torch.testing.assert_close(dict(norm.named_buffers()), before)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 11])
def test_convolution_gives_an_utterance_the_frames_it_gets_alone(kernel, stride):
    _, x, frames = batch_of(*LENGTHS, width=10, filling=0.0)
    block = stir(ConvBlock(1, 4, (kernel, 5), (stride, 2), frequency_padding=1)).eval()
    y, emitted = block(x[..., None], frames)
    assert y.shape == (5, emitted.n_frames, block.n_bins(10), 4)
    assert emitted.lengths.tolist() == [len(range(0, n, stride)) for n in LENGTHS]
    for i, n in enumerate(LENGTHS):
        m = int(emitted.lengths[i])
        assert not y[i, m:].any()
        if n:
            alone, _ = block(x[i : i + 1, :n, :, None], Frames(torch.tensor([n]), n))
            torch.testing.assert_close(y[i, :m], alone[0])


def test_the_ceiling_clips_and_without_one_nothing_does():
    x, frames = torch.full((1, 4, 5, 1), 1000.0), Frames(torch.tensor([4]), 4)
    for ceiling, largest in ((20.0, 20.0), (float("inf"), 5000.0)):
        block = ConvBlock(1, 1, (1, 5), (1, 1), ceiling=ceiling).eval()
        nn.init.ones_(block.conv.weight)
        assert block(x, frames)[0].max().item() == pytest.approx(largest, rel=1e-4)  # BatchNorm's ε


@pytest.mark.parametrize("merge", ["sum", "concat"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_each_utterance_is_read_from_both_of_its_own_ends(kind, merge):
    spoken, x, frames = batch_of(*LENGTHS, width=3, filling=0.0)
    layer = BiRecurrence(kind, 3, 4, merge)
    y = layer(x, frames)
    assert y.shape == (5, 11, 4 if merge == "sum" else 8)
    for i, utterance in enumerate(spoken):
        if len(utterance):
            alone = layer.rnn(utterance[None])[0][0]
            expected = alone if merge == "concat" else alone[:, :4] + alone[:, 4:]
            torch.testing.assert_close(y[i, : len(utterance)], expected)
            assert not y[i, len(utterance) :].any()


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("lengths", [(5, 3, 1), (4, 4), (6, 0, 2)])
def test_the_way_of_cpus_equals_the_packed_way_of_gpus_and_so_do_the_gradients(lengths, kind):
    torch.manual_seed(0)
    layer = BiRecurrence(kind, n_inputs=4, width=3, merge="concat")
    frames = Frames(torch.tensor(lengths), 7)
    x = frames.silence(torch.randn(len(lengths), 7, 4))
    gradients = []
    outputs = [frames.silence(way(x, frames)) for way in (layer.over_packed, layer._mirrored)]
    torch.testing.assert_close(outputs[0], outputs[1])
    for output in outputs:
        layer.zero_grad()
        (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
        gradients.append([p.grad.clone() for p in layer.parameters()])
    torch.testing.assert_close(*gradients)
