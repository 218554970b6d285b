"""Devices and precisions by name."""

from pathlib import Path

import pytest
import torch

from src.utils.devices import PRECISIONS, autocast, pick_device, pick_precision
from src.utils.errors import UserError

CPU = torch.device("cpu")
N_GPUS = torch.cuda.device_count()


def test_auto_takes_cuda_where_there_is_one_else_the_cpu():
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_cpu_is_always_there():
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu 0"])
def test_an_unknown_name_is_told_with_the_known_ones(name):
    with pytest.raises(UserError, match=f"device={name}: unknown; use auto, cpu, cuda"):
        pick_device(name)


@pytest.mark.parametrize("index", [N_GPUS, N_GPUS + 7])
def test_a_gpu_that_is_not_there_is_told_with_their_number(index):
    with pytest.raises(UserError, match=f"device=cuda:{index}: PyTorch sees {N_GPUS} CUDA"):
        pick_device(f"cuda:{index}")


@pytest.mark.skipif(N_GPUS > 0, reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(UserError, match="device=cuda: PyTorch sees 0 CUDA devices"):
        pick_device("cuda")


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS.items())
def test_matrix_products_run_in_the_precision_and_weights_stay_float32(precision, dtype):
    linear = torch.nn.Linear(4, 4)
    with autocast(CPU, precision):
        product = linear(torch.randn(2, 4))
    assert product.dtype == (dtype or torch.float32)
    assert linear.weight.dtype == torch.float32


def test_an_unknown_precision_is_told_with_the_known_ones():
    with pytest.raises(UserError, match="precision=int8: expected one of float32, bf16, fp16"):
        autocast(CPU, "int8")


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_named_precision_is_taken_as_it_is(name):
    assert pick_precision(name, CPU) == name


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "float32")],
)
def test_auto_takes_bf16_where_the_cpu_has_instructions_for_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert pick_precision("auto", CPU) == expected


def test_auto_agrees_with_what_linux_says_of_this_cpu():
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or not hasattr(torch.cpu, "get_capabilities"):
        pytest.skip("needs /proc/cpuinfo and torch.cpu.get_capabilities")
    native = {"avx512_bf16", "amx_bf16"} & set(flags.read_text().split())
    assert pick_precision("auto", CPU) == ("bf16" if native else "float32")


def test_an_unknown_name_of_a_precision_is_told_with_auto_among_the_others():
    with pytest.raises(UserError, match="precision=half: expected auto, float32, bf16, fp16"):
        pick_precision("half", CPU)


@pytest.mark.parametrize(
    ("name", "device", "n_told"), [("fp16", "cpu", 1), ("fp16", "cuda", 0), ("bf16", "cpu", 0)]
)
def test_fp16_on_a_cpu_is_taken_with_a_warning(name, device, n_told, caplog):
    assert pick_precision(name, torch.device(device)) == name
    assert [r.levelname for r in caplog.records] == ["WARNING"] * n_told
    assert all("precision=auto" in r.getMessage() for r in caplog.records)
