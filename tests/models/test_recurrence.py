"""Our GRU against that of PyTorch, values and gradients."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from src.models.parts.recurrence import gru


def ours(rnn: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What `rnn` makes of x (T, B, n_inputs), by our own loop."""
    gates = functional.linear(x, rnn.weight_ih_l0, rnn.bias_ih_l0)
    return gru(gates, rnn.weight_hh_l0.to(gates.dtype), rnn.bias_hh_l0)


def values_and_gradients(run, rnn: nn.Module, x: torch.Tensor, weights: torch.Tensor) -> list:
    """Outputs, then the gradients of their weighted sum: of x and of each parameter."""
    x = x.clone().requires_grad_()
    y = run(x)
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *rnn.parameters()])]


@settings(max_examples=25, deadline=None)
@given(
    n_frames=st.sampled_from([1, 2, 9, 31, 32, 33, 70]),
    n_rows=st.integers(1, 4),
    n_inputs=st.integers(1, 5),
    width=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_values_and_all_gradients_are_those_of_pytorch(n_frames, n_rows, n_inputs, width, seed):
    torch.manual_seed(seed)
    rnn = nn.GRU(n_inputs, width).double()
    x = 3 * torch.randn(n_frames, n_rows, n_inputs).double()
    weights = torch.randn(n_frames, n_rows, width).double()
    theirs = values_and_gradients(lambda x: rnn(x)[0], rnn, x, weights)
    found = values_and_gradients(lambda x: ours(rnn, x), rnn, x, weights)
    assert len(found) == 6
    for a, b in zip(found, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    rnn = nn.GRU(2, 3).double()
    gates = torch.randn(4, 2, rnn.weight_hh_l0.shape[0]).double().requires_grad_()
    arguments = (gates, rnn.weight_hh_l0, rnn.bias_hh_l0)
    assert torch.autograd.gradcheck(gru, arguments)


def test_in_bfloat16_it_is_as_near_to_the_exact_gradient_as_pytorch():
    torch.manual_seed(0)
    rnn, x = nn.GRU(64, 96), torch.randn(120, 3, 64)
    weights = torch.randn(120, 3, 96)
    exact = values_and_gradients(lambda x: rnn(x)[0], rnn, x, weights)

    def far(run) -> list[float]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = values_and_gradients(run, rnn, x, weights)
        errors = [
            (a.detach().float() - b.detach()).norm() / b.detach().norm()
            for a, b in zip(found, exact, strict=True)
        ]
        return [error.item() for error in errors]

    for our_error, their_error in zip(
        far(lambda x: ours(rnn, x)), far(lambda x: rnn(x)[0]), strict=True
    ):
        assert our_error < max(1.2 * their_error, 0.005)


def test_without_frames_or_rows_there_is_nothing_to_learn():
    rnn = nn.GRU(2, 3)
    for shape in ((0, 2), (4, 0)):
        y = ours(rnn, torch.zeros(*shape, 2))
        assert y.shape == (*shape, 3)
        gradients = torch.autograd.grad(y.sum(), list(rnn.parameters()))
        assert all(not gradient.any() for gradient in gradients)
