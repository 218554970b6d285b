"""A GRU over time whose gradient costs one matrix product a frame.

PyTorch's own on a CPU gives each frame a gradient of the recurrent weights and adds these up,
which costs as much again as the recurrence. Here the frames' gradients are kept, and one product
at the end makes the weights' of them. A GPU has cuDNN, which does the same.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

PIECE = 32  # frames whose factors are computed together: few enough to stay in the cache


def gru(gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One direction of a GRU layer, from zeros, with a gradient for all three tensors.

    The equations, the order of the gates and their weights are those of `torch.nn.GRU`. Products
    are taken in the type of `weight`, all else in float32 (float64 where that is what `gates`
    are).

    Args:
        gates: what the inputs add to the gates, their bias included, (T, B, 3 · H).
        weight: (3 · H, H). bias: (3 · H,).

    Returns:
        the outputs (T, B, H), in float32 or float64.
    """
    with torch.autocast("cpu", enabled=False):
        return _GRU.apply(gates, weight, bias.to(weight.dtype))


class _GRU(Function):
    """r, z = σ(gates), n = tanh(gates + r·hidden); h ← (1 − z)·n + z·h."""

    @staticmethod
    def forward(ctx, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = weight.shape[1]
        n_frames, n_rows, _ = gates.shape
        exact = torch.promote_types(gates.dtype, torch.float32)
        outputs = gates.new_empty(n_frames, n_rows, width, dtype=exact)
        h = outputs.new_zeros(n_rows, width)
        states = weight.new_zeros(n_frames + 1, n_rows, width)  # h, from before the first frame
        opened = weight.new_empty(*gates.shape[:2], 4 * width)  # r, z, n, hidden
        for t, gate in enumerate(gates):
            hidden = torch.addmm(bias, states[t], weight.t()).to(h.dtype)
            r_z = (hidden[:, : 2 * width] + gate[:, : 2 * width]).sigmoid_()
            r, z = r_z.chunk(2, 1)
            n = torch.addcmul(gate[:, 2 * width :].to(h.dtype), r, hidden[:, 2 * width :]).tanh_()
            h = torch.lerp(n, h, z, out=outputs[t])
            states[t + 1] = h
            torch.cat((r_z, n, hidden[:, 2 * width :]), 1, out=opened[t])
        ctx.save_for_backward(weight, states, opened)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, states, opened = ctx.saved_tensors
        d_hidden = weight.new_empty(*grad.shape[:2], len(weight))
        d_n = torch.empty_like(grad, dtype=weight.dtype)
        d_h = grad.new_zeros(grad.shape[1:])
        for start, stop in _pieces_from_the_end(len(grad)):
            r, z, n, hidden = opened[start:stop].to(grad.dtype).chunk(4, 2)
            before = states[start:stop].to(grad.dtype)
            # What a gradient of the output is multiplied by on its way to the gates.
            to_n = (1 - z) * (1 - n**2)
            to_r, to_z = to_n * hidden * r * (1 - r), (before - n) * z * (1 - z)
            to_hidden = torch.stack((to_r, to_z, to_n * r), 2)
            for k in reversed(range(stop - start)):
                t = start + k
                d_h = d_h + grad[t]
                d_hidden[t] = (d_h[:, None] * to_hidden[k]).flatten(1)
                torch.mul(d_h, to_n[k], out=d_n[t])
                d_h = torch.addcmul((d_hidden[t] @ weight).to(grad.dtype), d_h, z[k])
        d_gates = torch.cat((d_hidden[:, :, : -grad.shape[2]], d_n), 2)
        d_hidden = d_hidden.flatten(0, 1)
        return d_gates, d_hidden.t() @ states[:-1].flatten(0, 1), d_hidden.sum(0)


def _pieces_from_the_end(n_frames: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive frames, the last ones first."""
    return ((max(0, stop - PIECE), stop) for stop in range(n_frames, 0, -PIECE))
