"""What configs/text promises: sizes of the vocabularies, and every key a constructor's argument."""

import inspect
import itertools
import sys
from pathlib import Path

import pytest
import yaml

import src.text

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs" / "text").glob("*.yaml"))
PIECES = [*"▁stop", "st"]  # a config of pieces has none of its own
SIZES = {
    "characters": 29,
    "characters_28": 28,
    "characters_spanish": 35,
    "bpe": 1 + len(PIECES),
    "frame_labels": 40,
    "phonemes": 46,
    "phonemes_cmu": 41,
    "phonemes_cmu_open": 41,
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_spells_out_its_class_and_gives_the_stated_size(path):
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    name = keys.pop("_target_").removeprefix("src.text.")
    assert name in src.text.__all__
    constructor = getattr(src.text, name)
    assert list(keys) == list(inspect.signature(constructor).parameters)
    text = constructor(**keys | ({"pieces": PIECES} if path.stem == "bpe" else {}))
    assert len(text.vocabulary) == SIZES[path.stem]
    assert text.vocabulary.blank == 0
    said = "S*3 T*2" if path.stem == "frame_labels" else "stop"
    spelt = [token for token, _ in itertools.groupby(text.encode(said))]
    assert text.vocabulary.decode(spelt) == text.target(said)


def test_every_config_is_tested():
    assert {path.stem for path in CONFIGS} == set(SIZES)


def test_text_and_metrics_import_neither_torch_nor_jiwer():
    import subprocess

    code = (
        "import sys, src.text, src.metrics; print(*{'torch', 'jiwer', 'pandas'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
