"""Nothing in a training step waits for the device.

On a GPU each `.item()`, `if tensor:` or `nonzero()` stops the CPU until all queued work is done.
Here the CPU plays both parts: whatever is computed from weights or waveforms counts as the
device's, and asking for its value, or for a shape that depends on its values, is an error.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from src.batch import to_float
from src.build import build
from src.datasets import collate
from src.loss import CTC
from src.recognizer import Recognizer
from src.trainer import Stepper, parameter_groups
from src.transforms.views import TwoViews
from tests.models.zoo import CONFIGS as MODELS
from tests.models.zoo import NARROW
from tests.models.zoo import build as build_model
from tests.trainer.conftest import CONFIGS
from tests.trainer.tones import Tones

ASKING = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__"}
ANSWERING = {  # operators that give a number, or a shape that depends on values
    "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::masked_select",
    "aten::equal", "aten::_unique2", "aten::unique_consecutive",
}  # fmt: skip


class Waited(AssertionError):
    """The CPU asked for something that only the device knows."""


class DeviceTensors(TorchDispatchMode):
    """Knows which tensors the device holds: the given ones, and all that is computed from them."""

    def __init__(self, *tensors: Tensor) -> None:
        super().__init__()
        self.kept: list[Tensor] = []  # alive, so that no address is used twice
        self.addresses: set[int] = set()
        self.n_operators = 0
        for tensor in tensors:
            self.claim(tensor)

    def claim(self, tensor: Tensor) -> None:
        self.kept.append(tensor)
        if tensor.numel():
            self.addresses.add(tensor.untyped_storage().data_ptr())

    def holds(self, value: object) -> bool:
        if not isinstance(value, Tensor) or not value.numel():
            return False
        return value.untyped_storage().data_ptr() in self.addresses

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = tree_flatten((args, kwargs or {}))[0]
        on_device = any(self.holds(value) for value in given)
        self.n_operators += on_device
        if on_device and (func.name() in ANSWERING or indexes_with_a_mask(func, given)):
            raise Waited(func.name())
        result = func(*args, **(kwargs or {}))
        if func.name() == "aten::_pack_padded_sequence":
            self.claim(result[0])  # the second are the batch sizes, which are the CPU's
        elif on_device:
            for value in tree_flatten(result)[0]:
                if isinstance(value, Tensor):
                    self.claim(value)
        return result


def indexes_with_a_mask(func, given: list) -> bool:
    """Whether x[mask] was written, whose shape or places depend on the mask's values."""
    masks = [value for value in given[1:] if isinstance(value, Tensor)]
    return func.name().startswith("aten::index") and any(m.dtype == torch.bool for m in masks)


class Asked(TorchFunctionMode):
    """Catches the questions that Python asks without calling an operator."""

    def __init__(self, device: DeviceTensors) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ASKING and self.device.holds(args[0]):
            raise Waited(name)
        return func(*args, **(kwargs or {}))


def make_stepper(
    model: Path, transform: str, augment: str, consistency: float | None = None
) -> Stepper:
    front_end = build_part(f"transform/{transform}")
    keys = NARROW | {"n_rnn_layers": 1}  # each frame of each layer passes through the watchman
    n_features = front_end.n_features
    recognizer = Recognizer(
        front_end, build_model(model, n_features=n_features, n_tokens=5, **keys)
    )
    steps = build_part(f"augment/{augment}")
    return Stepper(
        recognizer,
        TwoViews(steps) if consistency else steps,
        CTC(),
        torch.optim.AdamW(parameter_groups(recognizer, 0.01, 1e-3), lr=1e-3, fused=True),
        max_grad_norm=1.0,
        precision="bf16",
        seed=1,
        consistency=consistency,
        ema_decay=0.9,
    )


def build_part(name: str) -> nn.Module:
    from omegaconf import OmegaConf

    return build(OmegaConf.load(CONFIGS / f"{name}.yaml"), name.split("/")[0])


def two_batches() -> list:
    """Of two utterances each, a quarter and a fifth of a second long."""
    speech = Tones(4)
    short = [
        replace(speech[i], waveform=speech[i].waveform[: 4000 - 800 * (i % 2)], tokens=(1, 2))
        for i in range(4)
    ]
    return [collate(short[:2]), collate(short[2:])]


CASES = [
    *((model, "logmel80", "specaugment") for model in MODELS),
    *((MODELS[0], transform, "none") for transform in ("mfcc", "raw", "spectrogram")),
]


@pytest.mark.parametrize(("model", "transform", "augment"), CASES)
def test_a_step_waits_for_nothing(model, transform, augment):
    stepper = make_stepper(model, transform, augment)
    batches = two_batches()
    tensors = [*stepper.recognizer.parameters(), *stepper.recognizer.buffers()]
    device = DeviceTensors(*tensors, *(batch.waveforms for batch in batches))
    with Asked(device), device:
        stepper.launch(batches, 0)
        assert device.n_operators > 100
        report = stepper.launch(batches, 1)
    assert report.read().loss > 0


def test_the_watchman_sees_each_way_of_asking():
    tensor = torch.ones(3)
    device = DeviceTensors(tensor)
    questions = [
        lambda: (tensor * 2).sum().item(), lambda: tensor.tolist(), lambda: bool(tensor[0] > 1),
        lambda: tensor.nonzero(), lambda: tensor[tensor > 0], lambda: int(to_float(tensor)[1]),
        lambda: tensor.cpu(),
    ]  # fmt: skip
    for ask in questions:
        with Asked(device), device, pytest.raises(Waited):
            ask()
