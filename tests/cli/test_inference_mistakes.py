"""Mistakes on the command line of inference.py are told in one line."""

from pathlib import Path

import pytest

from src.build.inference import STORED
from tests.cli.in_process import call, inference_arguments, untrained
from tests.recordings import TONE, write


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """Checkpoint of an untrained model that writes letters."""
    return untrained(tmp_path_factory.mktemp("letters") / "model.pt", "text=characters")


MISTAKES = {
    "checkpoint=nowhere": "nowhere: no checkpoint there",
    "input=nowhere": "nowhere: no such file or folder",
    "part=dev": "part=dev: dataset=librispeech has no such part; there are test, train, validation",
    "part=root": "part=root: dataset=librispeech has no such part",
    "precision=half": "precision=half: expected auto, float32, bf16, fp16",
    "n_pictures=-1": "n_pictures=-1: expected a whole number from 0 up",
    "n_pictures=few": "n_pictures=few: expected a whole number from 0 up",
    "n_decoders=-1": "n_decoders=-1: expected a whole number from 0 up, or null",
    "n_decoders=many": "n_decoders=many: expected a whole number from 0 up, or null",
    "device=gpu": "device=gpu: unknown",
    "decoder=beem": "decoder=beem: no such choice; did you mean beam?",
    "decoder.beam_width=0": "beam_width",
    "dataset=libri": "dataset=libri: no such choice; did you mean librispeech?",
    "loader.batch_size=some": "loader.batch_size=some: expected a whole number",
    "loader.batch_size=0": "batch_size=0; expected a number from 1 up",
    "loader.max_batch_s=long": "loader.max_batch_s=long: expected a number",
    "loader.n_workers=-1": "n_workers=-1; expected a number from 0 up",
    "+loader.worker=1": "loader.worker: make_loader has no such key; did you mean loader.n_work",
    "input=naïve talk.wav": """stands in quotes of its own: 'input="naïve talk.wav"'""",
    "optimizer=adamw": "optimizer: this config has no such group. `--cfg job` shows",
    "inputs=talks": "inputs: the config has no such key; did you mean input?",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_on_the_command_line_gives_one_clear_line(override, letters, tmp_path):
    write(tmp_path / "talk.wav", TONE)
    source = [] if override.startswith(("input=", "part=", "dataset=")) else [f"input={tmp_path}"]
    arguments = inference_arguments(letters, tmp_path / "out", *source, override)
    refusal = call("inference", *arguments).refusal
    assert MISTAKES[override] in refusal
    assert not list((tmp_path / "out").rglob("*.json"))


@pytest.mark.parametrize("group", STORED)
@pytest.mark.parametrize("override", ["{}=any", "{}.key=3"])
def test_what_the_checkpoint_brings_can_not_be_chosen(group, override, letters, tmp_path):
    arguments = inference_arguments(letters, tmp_path / "out", override.format(group))
    refusal = call("inference", *arguments).refusal
    assert f"error: {group}: the checkpoint brings its own model, text, transform; le" in refusal
