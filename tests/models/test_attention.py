"""Attention by matrix products against PyTorch's own kernel."""

import pytest
import torch
from torch.nn import functional

from src.models.parts import tuned


@pytest.mark.parametrize("masked", [None, bool, float])
def test_by_hand_it_is_what_pytorch_s_kernel_computes(masked, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shape = (3, 2, 17, 8)
    q, k, v = (torch.randn(shape, generator=generator).bfloat16() for _ in range(3))
    mask = None
    if masked is bool:
        mask = torch.arange(17) < torch.tensor([17, 5, 1])[:, None]
        mask = mask[:, None, None, :]
    elif masked is float:
        mask = torch.randn(3, 2, 17, 17, generator=generator).bfloat16()
    found = []
    for longest in (0, 17):
        monkeypatch.setattr(tuned, "BY_HAND", longest)
        calls = count_calls(monkeypatch)
        inputs = [x.clone().requires_grad_() for x in (q, k, v)]
        y = tuned.attend(*inputs, mask)
        y.float().square().sum().backward()
        found.append([y, *(x.grad for x in inputs)])
        assert len(calls) == (1 if longest == 0 else 0)
    for kernel, by_hand in zip(*found, strict=True):
        assert kernel.dtype == by_hand.dtype == torch.bfloat16
        torch.testing.assert_close(kernel, by_hand, rtol=0.05, atol=0.05)


def count_calls(monkeypatch) -> list:
    """A list that grows with each call of the kernel."""
    calls, kernel = [], functional.scaled_dot_product_attention

    def counted(*inputs, **keys):
        calls.append(1)
        return kernel(*inputs, **keys)

    monkeypatch.setattr(tuned.functional, "scaled_dot_product_attention", counted)
    return calls


def test_float32_and_reading_go_through_the_kernel(monkeypatch):
    calls = count_calls(monkeypatch)
    q = torch.randn(1, 2, 5, 8)
    tuned.attend(q.requires_grad_(), q, q, None)
    with torch.inference_mode():
        half = torch.randn(1, 2, 5, 8).bfloat16()
        tuned.attend(half, half, half, None)
    assert len(calls) == 2
