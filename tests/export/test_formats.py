"""Every model of configs/model in every format says what it says in PyTorch."""

import os
import re

import pytest
import torch

from src.export import FORMATS, compare, load, to_bytes
from src.models import Recurrent
from src.recognizer import Recognizer
from src.transforms import (
    MFCC,
    FrontEnd,
    LogMel,
    NoNormalisation,
    RawFrames,
    Spectrogram,
    Stacked,
    UtteranceNormalisation,
    WhisperLogMel,
    WhisperScaling,
)
from tests.models.test_spelled import two_stages
from tests.models.zoo import CONFIGS, N_FEATURES, every_config, narrow

SHALLOW = {"n_rnn_layers": 2, "n_cnn_layers": 1, "n_stages": 2, "n_blocks": 1}
NEEDS = {"onnx": ("onnx", "onnxruntime")}
RATE = 16_000


def front_end(config):
    if config.stem.startswith("whisper"):
        return FrontEnd(features=WhisperLogMel(n_mels=N_FEATURES), normalise=WhisperScaling())
    return FrontEnd(
        features=LogMel(n_mels=N_FEATURES), normalise=UtteranceNormalisation(), pre_emphasis=0.97
    )


def recognizer_of(config):
    model = narrow(config, **SHALLOW)
    with torch.no_grad():
        [*model.head.parameters()][-1][0] -= 2.0  # or some would hear nothing but blanks
    return Recognizer(front_end(config), model).eval()


def clips(*seconds: float):
    generator = torch.Generator().manual_seed(3)
    return [(0.1 * torch.randn(int(s * RATE), generator=generator)).numpy() for s in seconds]


def target_of(config) -> str:
    return re.search(r"^_target_: (\S+)", config.read_text(encoding="utf-8"), re.M)[1]


def exported(recognizer, form: str, path):
    for package in NEEDS.get(form, ()):
        pytest.importorskip(package, reason="pip install -r requirements-extra.txt")
    path.write_bytes(to_bytes(recognizer, form, {"sample_rate": RATE, "symbols": ["_", "é"]}))
    return load(path, form)


FORMS = [form for form in FORMATS if form != "int8"]
# Each architecture once in ONNX; torch.export takes ten times as long, and is tried on recurrence.
FIRST = {target_of(config): config.stem for config in reversed(CONFIGS)}
QUICK = {"onnx": set(FIRST.values()), "torch_export": {"recurrent", "causal"}}


@pytest.mark.parametrize("form", FORMS)
def test_a_model_in_two_stages_is_the_same_however_much_it_hears(form, tmp_path):
    model = two_stages()
    recognizer = Recognizer(front_end(CONFIGS[0]), model).eval()
    run, _ = exported(recognizer, form, tmp_path / "file")
    with torch.no_grad():
        found = compare(run, recognizer, clips(0.15, 1.4, 0.011, 0.6), RATE)
        heard = recognizer(torch.from_numpy(clips(1.4)[0])[None], torch.tensor([int(1.4 * RATE)]))
    assert found.worst < 1e-4 and found.errors == 0
    assert 5 < (heard.log_probs[0].argmax(1) > 0).sum() < heard.lengths[0]


@pytest.mark.parametrize("form", FORMS)
@every_config
def test_every_model_is_the_same_in_every_format_at_every_size(config, form, tmp_path):
    if config.stem not in QUICK.get(form, {config.stem}) and "EVERY_EXPORT" not in os.environ:
        pytest.skip("takes long and has the layers of others; EVERY_EXPORT=1 tests it too")
    recognizer = recognizer_of(config)
    run, facts = exported(recognizer, form, tmp_path / "file")
    assert facts == {"sample_rate": RATE, "symbols": ["_", "é"]}
    with torch.no_grad():
        found = compare(run, recognizer, clips(0.15, 0.4, 0.011), RATE)
    assert found.worst < 1e-4 and found.errors == 0
    assert (found.n_batches, found.most) == (7, 4)


FRONT_ENDS = {
    "spectrogram": {"features": Spectrogram(), "normalise": UtteranceNormalisation()},
    "mfcc": {"features": MFCC(), "normalise": UtteranceNormalisation(per_bin=False), "deltas": 2},
    "raw": {"features": RawFrames(), "normalise": NoNormalisation(), "pre_emphasis": 0.9},
    "stacked": {
        "features": Stacked(features=Spectrogram(window_ms=20, n_fft=320), n_frames=24, stride=5),
        "normalise": UtteranceNormalisation(),
    },
}


PAIRS = [(name, form) for name in FRONT_ENDS for form in ("torchscript", "onnx")]
PAIRS += [("raw", "torch_export"), ("stacked", "torch_export")]  # which once failed


@pytest.mark.parametrize(("name", "form"), PAIRS)
def test_every_front_end_is_the_same_in_every_format(name, form, tmp_path):
    ears = FrontEnd(**FRONT_ENDS[name])
    torch.manual_seed(0)
    model = Recurrent(ears.n_features, 7, n_rnn_layers=1, width=8).eval()
    recognizer = Recognizer(ears, model).eval()
    run, _ = exported(recognizer, form, tmp_path / "file")
    with torch.no_grad():
        found = compare(run, recognizer, clips(0.2, 0.5, 0.011), RATE)
    assert found.worst < 1e-3


def test_int8_differs_a_little_and_only_a_little(tmp_path):
    [config] = [path for path in CONFIGS if path.stem == "deepspeech2"]
    recognizer = recognizer_of(config)
    run, facts = exported(recognizer, "int8", tmp_path / "file")
    assert facts["symbols"] == ["_", "é"]
    with torch.no_grad():
        found = compare(run, recognizer, clips(0.31, 0.9, 0.6), RATE)
    assert 1e-5 < found.worst < 0.5
