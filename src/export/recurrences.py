"""Recurrent layers as single nodes of an exported graph.

torch.export unrolls `torch.gru`, `torch.lstm` and `torch.rnn_tanh` into as many steps as the
example has frames, and so would fix their number. While it looks, stand-ins are called that it
can't look into; afterwards each becomes PyTorch's own operator again, so that whoever loads the
file needs nothing of ours.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode

SETTINGS = (
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, "
    "bool bidirectional, bool batch_first"
)
SCHEMAS = {
    "gru": f"(Tensor input, Tensor hx, {SETTINGS}) -> (Tensor, Tensor)",
    "rnn_tanh": f"(Tensor input, Tensor hx, {SETTINGS}) -> (Tensor, Tensor)",
    "lstm": f"(Tensor input, Tensor[] hx, {SETTINGS}) -> (Tensor, Tensor, Tensor)",
}


class AsSingleNodes(TorchFunctionMode):
    """Within it, recurrent layers of one direction are calls of the stand-ins."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """The call itself, or that of its stand-in."""
        return _stand_ins().get(function, function)(*args, **(kwargs or {}))


def as_pytorchs_own(program: ExportedProgram) -> ExportedProgram:
    """The same program with PyTorch's operators where the stand-ins were; changed in place."""
    own = {
        getattr(torch.ops.speech_export, name).default: getattr(torch.ops.aten, name).input
        for name in SCHEMAS
        if hasattr(torch.ops.speech_export, name)
    }
    # What runs under another autocast or gradient mode is a graph within the graph.
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                node.target = own.get(node.target, node.target)
            module.recompile()
    return program


@functools.cache
def _stand_ins() -> dict[Callable, Callable]:
    """PyTorch's function → the stand-in, defined once."""
    found = {}
    for name, schema in SCHEMAS.items():
        torch.library.define(f"speech_export::{name}", schema)
        torch.library.register_fake(f"speech_export::{name}", _shapes)
        found[getattr(torch, name)] = getattr(torch.ops.speech_export, name)
    return found


def _shapes(x: Tensor, hx, *settings) -> tuple[Tensor, ...]:
    """Outputs (B, T, width) and last states, of which only the shapes matter."""
    states = list(hx) if isinstance(hx, list | tuple) else [hx]
    outputs = x.new_empty(x.shape[0], x.shape[1], states[0].shape[2])
    return outputs, *(torch.empty_like(state) for state in states)
