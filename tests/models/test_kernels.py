"""What oneDNN computes convolutions with on a CPU: never its reference, meant for comparisons."""

import os
import platform
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

STEP = """
import sys, torch
from scripts.compare_models import make
torch.set_num_threads(1)
for name in sys.argv[1:]:
    print("model", name, flush=True)
    model, n_features = make(name)
    model(torch.randn(1, 100, n_features), torch.tensor([100])).log_probs.sum().backward()
"""
MODELS = ["cnn_gru", "convnet", "deepspeech2", "deepspeech2_conv", "quartznet5x5", "resnet18",
          "resnet50", "wav2letter", "whisper_tiny"]  # fmt: skip


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other machines have other kernels")
def test_no_convolution_falls_back_to_the_reference_implementation():
    """deepspeech2_conv's second one did: a step took 29 s instead of 0.9."""
    done = subprocess.run(
        [sys.executable, "-c", STEP, *MODELS], cwd=REPOSITORY, capture_output=True, text=True,
        env=os.environ | {"ONEDNN_VERBOSE": "1"}, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("model ")] == MODELS
    convolutions = [line for line in lines if ",exec," in line and ",convolution," in line]
    assert len(convolutions) > 100
    assert not [line for line in convolutions if ",ref" in line]
