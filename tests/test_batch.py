"""Samples as int16 and back, and what of a batch goes to a device."""

import numpy as np
import pytest
import torch

from src.batch import Batch, to_float, to_int16
from src.utils.errors import UserError

EVERY = np.arange(-32768, 32768).astype(np.int16)
KINDS = [np.asarray, torch.as_tensor]


@pytest.mark.parametrize("kind", KINDS)
def test_every_int16_comes_back_from_float_as_it_was(kind):
    samples = to_float(kind(EVERY))
    assert samples.dtype in (np.float32, torch.float32)
    assert float(samples.min()) == -1.0 and float(samples.max()) == 32767 / 32768
    np.testing.assert_array_equal(np.asarray(to_int16(samples)), EVERY)


@pytest.mark.parametrize("kind", KINDS)
def test_floats_are_rounded_to_the_nearest_and_clipped(kind):
    samples = kind(np.array([1.4, 1.6, -1.6, 32767.4, 40_000, 1e30, -1e30], np.float32) / 32768)
    assert to_int16(samples).tolist() == [1, 2, -2, 32767, 32767, 32767, -32768]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_int16_is_not_copied_and_what_is_float_stays(kind):
    same = kind(EVERY)
    assert to_int16(same) is same
    assert to_float(kind(np.array([0.25, 3.0]))).tolist() == [0.25, 3.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(kind, bad):
    with pytest.raises(UserError, match="2 samples are NaN or infinite; export it again"):
        to_int16(kind(np.array([0.0, bad, bad], np.float32)))
    with pytest.raises(UserError, match="1 sample is NaN or infinite"):
        to_int16(kind(np.array([0.0, bad], np.float32)))


def test_only_waveforms_go_to_the_device():
    lengths = torch.tensor([2])
    batch = Batch(["a"], torch.zeros(1, 2, dtype=torch.int16), lengths, lengths[None], lengths)
    moved = batch.to("meta")
    assert moved.waveforms.device.type == "meta"
    for name in ("waveform_lengths", "tokens", "token_lengths"):
        assert getattr(moved, name) is getattr(batch, name)
