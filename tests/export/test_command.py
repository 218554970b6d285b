"""python -m scripts.export: what it writes, tells and refuses; the example of docs/export.md."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from scripts.export import INT8_TOKEN_ERROR, TOLERANCE, check, generated, main
from src.build import load_recognizer
from src.export import Comparison, load
from src.export.check import greedy
from src.trainer import load_checkpoint, save_checkpoint
from src.utils.errors import UserError
from tests.cli.in_process import untrained
from tests.pages import ROOT, blocks


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run") / "best.pt")


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(path, generated(16_000)[2], 16_000)
    return path


@pytest.mark.parametrize("form", ["torchscript", "int8"])
def test_a_file_is_written_compared_and_described(checkpoint, wav, form, tmp_path, capsys):
    out = tmp_path / "new" / "model.pt"
    options = ["--format", form, "--out", str(out), "--input", str(wav), "--n_timed", "2"]
    main([str(checkpoint), *options])
    printed = capsys.readouterr().out
    assert f"{out}: {form}, " in printed and f"compared on 1 clip of {wav}, 1.2 s" in printed
    assert "largest difference" in printed and "times as fast" in printed
    assert [path.name for path in out.parent.iterdir()] == ["model.pt"]
    _, facts = load(out, form)
    text, recognizer, _ = load_recognizer(checkpoint)
    assert facts["symbols"] == list(text.vocabulary.symbols) and facts["unit"] == "phoneme"
    assert (facts["sample_rate"], facts["blank"], facts["format"]) == (16_000, 0, form)
    assert facts["frame_s"] == recognizer.frame_s == pytest.approx(0.04)


@pytest.mark.parametrize("form", ["torchscript", "int8"])
def test_a_model_of_blanks_only_was_compared_on_nothing(checkpoint, form, tmp_path, capsys):
    state = load_checkpoint(checkpoint)
    state["recognizer"]["model.head.bias"][0] = 1e6
    silent = tmp_path / "silent.pt"
    save_checkpoint(silent, state)
    main([str(silent), "--format", form, "--out", str(tmp_path / "a.pt"), "--n_timed", "1"])
    printed = capsys.readouterr().out
    assert "warning: only blanks were emitted, so no greedy token was compared" in printed
    assert "alike" not in printed and ("judged by them alone" in printed) == (form == "int8")


def test_int8_that_reads_otherwise_is_refused_and_leaves_no_file(checkpoint, tmp_path):
    state = load_checkpoint(checkpoint)
    # One weight so large that all others round to nothing; its input is nearly nothing.
    weight = state["recognizer"]["model.head.weight"]
    weight[-1, 0] = 3e4
    state["recognizer"]["model.head.bias"][-1] = -1e6
    spoilt = tmp_path / "spoilt.pt"
    save_checkpoint(spoilt, state)
    with pytest.raises(SystemExit) as refused:
        main([str(spoilt), "--format", "int8", "--out", str(tmp_path / "out" / "a.pt")])
    assert "of the greedy tokens, more than 5 %; nothing was written" in refused.value.code
    assert not list((tmp_path / "out").iterdir())


def test_the_bounds_are_those_that_are_told():
    def differing(worst: float, errors: int) -> Comparison:
        return Comparison(n_batches=1, most=1, worst=worst, errors=errors, tokens=1000)

    check(differing(TOLERANCE, 9), "onnx")
    check(differing(5.0, int(1000 * INT8_TOKEN_ERROR)), "int8")
    for form, found in (("onnx", differing(1.01 * TOLERANCE, 0)), ("int8", differing(0.0, 51))):
        with pytest.raises(UserError, match=f"format {form}: differs from the checkpoint"):
            check(found, form)
    with pytest.raises(UserError):
        check(differing(float("inf"), 0), "torchscript")


def test_the_example_of_the_guide_reads_a_wav_as_the_checkpoint_does(checkpoint, wav, tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason="pip install -r requirements-extra.txt")
    out = tmp_path / "model.onnx"
    main([str(checkpoint), "--format", "onnx", "--out", str(out), "--n_timed", "1"])
    [example] = blocks(ROOT / "docs" / "export.md", {"python"})
    done = subprocess.run(
        [sys.executable, "-c", example, str(out), str(wav)], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    text, recognizer, _ = load_recognizer(checkpoint)
    waveform = torch.from_numpy(soundfile.read(wav, dtype="float32")[0])
    with torch.no_grad():
        log_probs, _ = recognizer(waveform[None], torch.tensor([len(waveform)]))
    expected = [text.vocabulary.symbols[token] for token in greedy(log_probs[0])]
    assert expected and done.stdout.split() == expected
    facts = load(out, "onnx")[1]
    assert json.dumps(facts["symbols"]) and facts["step"] == 0 and facts["name"] == "untrained"


def test_generated_sounds_are_finite_and_not_clipped():
    sounds = generated(16_000)
    assert [len(sound) / 16_000 for sound in sounds] == [0.4, 0.85, 1.2, 1.7, 2.3, 3.0]
    assert all(0.05 < np.abs(sound).max() < 1 for sound in sounds)
