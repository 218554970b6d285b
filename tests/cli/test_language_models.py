"""decoder=beam_lm from the command line, in inference and in training."""

import json
from pathlib import Path

import pytest
import torch

from src.language_models import NeuralLM, estimate, write_arpa
from tests.cli.conftest import run, small
from tests.cli.in_process import call, inference_arguments, untrained
from tests.recordings import TONE, write

TEXTS = ["good evening to you", "hello world", "good world"]


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """Checkpoint of an untrained model that writes letters."""
    return untrained(tmp_path_factory.mktemp("letters") / "model.pt", "text=characters")


@pytest.fixture
def words(tmp_path) -> Path:
    path = tmp_path / "words.arpa.gz"
    write_arpa(estimate([text.split() for text in TEXTS], order=2), path)
    return path


def test_only_words_of_the_language_model_are_read_and_each_share_is_told(letters, words, tmp_path):
    write(tmp_path / "talk.wav", TONE)
    keys = ("decoder=beam_lm", f"decoder.language_model={words}", "decoder.bonus=6.0")
    keys = (*keys, "decoder.hotwords={hello: 2.0}", "decoder.n_tokens=null")
    result = call("inference", *inference_arguments(letters, tmp_path, *keys), f"input={tmp_path}")
    assert result.status == 0
    [path] = tmp_path.rglob("*talk.json")
    record = json.loads(path.read_text("utf-8"))
    known = {word for text in TEXTS for word in text.split()}
    assert record["beam_text"].split() and set(record["beam_text"].split()) <= known
    for reading in record["n_best"]:
        assert reading["acoustic"] + reading["language"] == pytest.approx(
            reading["score"], abs=1e-4
        )


def test_a_neural_model_judges_what_the_beam_found(letters, words, tmp_path):
    write(tmp_path / "talk.wav", TONE)
    torch.manual_seed(0)
    pieces = ("▁", *"abcdefghijklmnopqrstuvwxyz'")
    NeuralLM(pieces, width=16, n_layers=1).save(tmp_path / "neural.safetensors")
    read = {}
    for share in (0.0, 1.0):
        keys = ("decoder=beam_lm", f"decoder.language_model={words}", "decoder.bonus=6.0")
        keys = (*keys, f"decoder.rescorer={tmp_path / 'neural.safetensors'}")
        out = tmp_path / str(share)
        arguments = inference_arguments(letters, out, *keys, f"decoder.rescorer_share={share}")
        assert call("inference", *arguments, f"input={tmp_path / 'talk.wav'}").status == 0
        [path] = out.rglob("*talk.json")
        n_best = json.loads(path.read_text("utf-8"))["n_best"]
        read[share] = {h["text"]: h["score"] for h in n_best}
        assert list(read[share].values()) == sorted(read[share].values(), reverse=True)
    same = read[0.0].keys() & read[1.0].keys()
    assert not same or all(read[0.0][text] != read[1.0][text] for text in same)
    assert read[0.0] != read[1.0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decoder.rescorer=nowhere.safetensors", "nowhere.safetensors: no such language model"),
        ("decoder.language_model=null", "decoder.language_model is null; name a file"),
        ("decoder.language_model=nowhere.lm", "nowhere.lm: no such"),
        ("decoder.lm_weight=-2", "decoder.lm_weight is -2"),
        ("decoder.hotwords={c3po: 3}", "can't be spelt"),
    ],
)
def test_a_mistake_gives_one_clear_line(letters, words, tmp_path, override, message):
    keys = ("decoder=beam_lm", f"decoder.language_model={words}", override)
    write(tmp_path / "talk.wav", TONE)
    arguments = inference_arguments(letters, tmp_path / "out", *keys)
    assert message in call("inference", *arguments, f"input={tmp_path}").refusal


def test_a_damaged_language_model_is_named_before_anything_is_read(letters, tmp_path):
    path = tmp_path / "broken.arpa"
    path.write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1.0\tone\n")
    write(tmp_path / "talk.wav", TONE)
    keys = ("decoder=beam_lm", f"decoder.language_model={path}", f"input={tmp_path}")
    refusal = call("inference", *inference_arguments(letters, tmp_path, *keys)).refusal
    assert "broken.arpa" in refusal and "\n" not in refusal.strip()


def test_the_validation_loop_reads_with_it_and_judges_by_it(commands_h5, tmp_path):
    phonemes = [["D", "AW", "N"], ["R", "AY", "T"], ["N", "OW"], ["Y", "EH", "S"]]
    write_arpa(estimate(phonemes, order=2), tmp_path / "phonemes.arpa")
    keys = ("decoder=beam_lm", f"decoder.language_model={tmp_path / 'phonemes.arpa'}")
    keys = (*keys, "trainer.monitor=per_beam")
    result = run(*small(commands_h5, tmp_path / "run", *keys))
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()
    [judged] = [line for line in map(json.loads, lines) if "validation/per_beam" in line]
    assert judged["validation/per_beam"] >= 0 and "validation/per" in judged
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").glob("top_per_beam=*.pt")]
    assert len(kept) == 1
