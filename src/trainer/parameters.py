"""Which weights the optimizer decays, and how fast each learns."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float, lr: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: matrices and kernels decay, biases and normalisation don't.

    A parameter may have an attribute `lr_factor`, which its module set: pretrained weights learn
    more slowly than those on top of them (discriminative fine-tuning, Howard & Ruder 2018, section
    3.2). Each factor has groups of its own.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = []
    for factor in sorted({_factor(p) for p in parameters}, reverse=True) or [1.0]:
        alike = [p for p in parameters if _factor(p) == factor]
        matrices = [p for p in alike if p.ndim >= 2]
        others = [p for p in alike if p.ndim < 2]
        groups += [
            {"params": matrices, "weight_decay": weight_decay, "lr": lr * factor},
            {"params": others, "weight_decay": 0.0, "lr": lr * factor},
        ]
    return groups


def _factor(parameter: nn.Parameter) -> float:
    return getattr(parameter, "lr_factor", 1.0)
