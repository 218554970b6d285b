"""Wav2Letter and QuartzNet beside what other people made of the same papers."""

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from src.models import QuartzNet, Wav2Letter
from src.models.parts.frames import Frames
from src.models.parts.time_conv import TimeConv
from tests.models.zoo import side_by_side, stir, utterances


@settings(max_examples=40, deadline=None)
@given(
    n_frames=st.integers(1, 30),
    kernel=st.integers(1, 12),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
)
def test_convolution_over_time_emits_each_hop_and_hears_half_its_kernel_on_each_side(
    n_frames, kernel, stride, dilation
):
    conv = TimeConv(2, 3, kernel, stride, dilation=dilation)
    (x,) = utterances(n_frames, n_features=2)
    y, frames = conv(x[None], Frames(torch.tensor([n_frames]), n_frames))
    assert frames.lengths.tolist() == [y.shape[1]] == [len(range(0, n_frames, stride))]
    before = dilation * (kernel - 1) // 2
    for t in range(y.shape[1]):
        expected = conv.bias.clone()
        for k in range(kernel):
            place = t * stride - before + k * dilation
            if 0 <= place < n_frames:
                expected = expected + conv.weight[:, :, k] @ x[place]
        torch.testing.assert_close(y[0, t], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_wav2letter_says_what_that_of_torchaudio_says():
    torch.manual_seed(0)
    ours = stir(Wav2Letter(40, 7)).eval()
    theirs = torchaudio.models.Wav2Letter(7, "mfcc", 40)
    ours_in_order = [*ours.convs, ours.head]
    their_convs = [m for m in theirs.modules() if isinstance(m, torch.nn.Conv1d)]
    assert len(ours_in_order) == len(their_convs) == 11
    for mine, other in zip(ours_in_order, their_convs, strict=True):
        other.weight.copy_(mine.weight.view(other.weight.shape))
        other.bias.copy_(mine.bias)
    x, lengths = side_by_side(utterances(300))
    found = ours(x, lengths).log_probs
    # Theirs has a ReLU behind its head too, and hears one frame more before its kernel of 32.
    head = their_convs[-1]
    y = x.transpose(1, 2)
    for conv in their_convs[:-1]:
        y = functional.relu(conv(y))
    expected = head(y).transpose(1, 2).log_softmax(-1)
    far = 60  # emitted frames from the end, where zeros stand one frame earlier in theirs
    torch.testing.assert_close(found[:, : 150 - far], expected[:, 1 : 151 - far])


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
def test_quartznet_is_a_chain_of_plain_pytorch_layers(training):
    torch.manual_seed(0)
    model = stir(QuartzNet(40, 7, n_blocks=2, n_convs=2, width=4)).train(training)
    x, lengths = side_by_side(utterances(61, 61))

    def separable(conv, x, stride=1, dilation=1):
        if conv.over_time is not None:
            kernel = conv.over_time.weight
            same = dilation * (kernel.shape[2] - 1) // 2
            x = functional.conv1d(x, kernel, None, stride, same, dilation, groups=len(kernel))
        norm = conv.norm
        mean, var = norm.running_mean.clone(), norm.running_var.clone()
        x = functional.conv1d(x, conv.over_channels.weight[:, :, None])
        return functional.batch_norm(x, mean, var, norm.weight, norm.bias, training)

    y = functional.relu(separable(model.subsample, x.transpose(1, 2), stride=2))
    for block in model.blocks:
        z = functional.relu(separable(block.convs[0], y))
        y = functional.relu(separable(block.convs[1], z) + separable(block.shortcut, y))
    y = functional.relu(separable(model.wide, y, dilation=2))
    y = functional.relu(separable(model.last, y))
    expected = model.head(y.transpose(1, 2)).log_softmax(-1)
    found = model(x, lengths).log_probs
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    kernels = [b.convs[0].over_time.kernel_size[0] for b in model.blocks]
    assert kernels == [33, 33, 39, 39, 51, 51, 63, 63, 75, 75]
