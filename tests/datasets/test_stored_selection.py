"""A stored selection is the one that would be made, and goes when what it depends on changes."""

import importlib.metadata
import os
import subprocess
import sys

import numpy as np
import pytest

from src.datasets import LibriSpeech
from src.datasets.selection import Selection
from src.datasets.stored_selection import N_KEPT, key_of, remembered
from src.text import Characters, Phonemes
from src.utils.errors import UserError
from tests.conftest import REPOSITORY
from tests.datasets.tiny_corpus import write_chapter
from tests.text.without_espeak import without_espeak

FACTS = ["corpus", ["digest"], {"limit": None, "min_duration_s": 0.5}]
DURATIONS = np.array([1.5, 0.5], np.float32)


class Maker:
    """Makes a selection and counts how often it is asked to."""

    def __init__(self, summary: str = "corpus: kept 2 of 3 utterances", complete: bool = False):
        self.selection = Selection(np.array([4, 2]), summary, complete)
        self.n_calls = 0

    def __call__(self) -> tuple[Selection, np.ndarray]:
        self.n_calls += 1
        return self.selection, DURATIONS


@pytest.mark.parametrize(("complete", "level"), [(False, "WARNING"), (True, "INFO")])
def test_a_selection_is_made_once_and_told_each_time(tmp_path, caplog, complete, level):
    caplog.set_level("INFO")
    make = Maker(complete=complete)
    for _ in range(3):
        caplog.clear()
        found = remembered(tmp_path, "key", make)
        assert (found["rows"].tolist(), found["durations_s"].tolist()) == ([4, 2], [1.5, 0.5])
        assert [(r.levelname, r.message) for r in caplog.records] == [
            (level, "corpus: kept 2 of 3 utterances")
        ]
    assert make.n_calls == 1


@pytest.mark.parametrize("place", ["no folder", "no key"])
def test_without_a_place_or_a_key_it_is_made_each_time(tmp_path, place):
    make = Maker()
    for _ in range(2):
        found = remembered(*((None, "key") if place == "no folder" else (tmp_path, None)), make)
        assert found["rows"].tolist() == [4, 2]
    assert make.n_calls == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"not ours", b"arrays1\n and half a header"])
def test_a_damaged_answer_is_made_again_with_a_warning(tmp_path, caplog, damage):
    make = Maker()
    remembered(tmp_path, "key", make)
    (tmp_path / "key.selection").write_bytes(damage)
    for n_calls in (2, 2):
        assert remembered(tmp_path, "key", make)["rows"].tolist() == [4, 2]
        assert make.n_calls == n_calls
    assert "key.selection: is damaged" in caplog.text
    assert caplog.text.count("looking at all transcripts again") == 1


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert remembered(tmp_path / "file", "key", Maker())["rows"].tolist() == [4, 2]
    assert "Each start will look at all transcripts again" in caplog.text


def test_the_oldest_answers_are_forgotten(tmp_path):
    for i in range(N_KEPT + 3):
        remembered(tmp_path, f"{i:03}", Maker())
        os.utime(tmp_path / f"{i:03}.selection", (1000 + i, 1000 + i))
    names = sorted(path.stem for path in tmp_path.iterdir())
    assert names == [f"{i:03}" for i in range(3, N_KEPT + 3)]


TEXTS = {
    "none": None,
    "letters": Characters(),
    "more letters": Characters(symbols="' abcdefghijklmnopqrstuvwxyzñ"),
    "upper case kept": Characters(lower=False),
    "apostrophes dropped": Characters(keep_apostrophes=False),
    "punctuation kept": Characters(drop_punctuation=False),
    "commands as phonemes": Phonemes(),
    "commands in British": Phonemes(dictionary="csr"),
    "two words": Phonemes(words=["up", "down"]),
    "any words": Phonemes(words=None),
}


def test_each_text_has_a_key_of_its_own():
    keys = {name: key_of(text, FACTS) for name, text in TEXTS.items()}
    assert None not in keys.values()
    assert len(set(keys.values())) == len(TEXTS)


@pytest.mark.parametrize(
    "facts",
    [
        ["other", ["digest"], {"limit": None, "min_duration_s": 0.5}],
        ["corpus", ["another"], {"limit": None, "min_duration_s": 0.5}],
        ["corpus", ["digest"], {"limit": 1, "min_duration_s": 0.5}],
        ["corpus", ["digest"], {"limit": None, "min_duration_s": 0.25}],
    ],
)
def test_each_fact_counts(facts):
    assert key_of(TEXTS["letters"], facts) != key_of(TEXTS["letters"], FACTS)


def test_a_text_has_the_same_key_in_another_process():
    program = (
        "from tests.datasets.test_stored_selection import *\n"
        "for text in TEXTS.values(): print(key_of(text, FACTS))"
    )
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    result = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [key_of(text, FACTS) for text in TEXTS.values()]


def test_another_release_of_espeak_may_guess_otherwise(monkeypatch):
    key = key_of(TEXTS["any words"], FACTS)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: version(name) + "x" * ("espeak" in name)
    )
    assert key_of(TEXTS["any words"], FACTS) != key


def test_what_espeak_could_not_guess_is_no_fault_of_a_row_and_not_remembered(tmp_path, monkeypatch):
    write_chapter(tmp_path / "part", "7", {"HELLO WORLD": 0.1, "HELLO OBOKIAK": 0.1})
    guessing = Phonemes(words=None, guess=True)
    with monkeypatch.context() as without:
        without_espeak(without)
        with pytest.raises(UserError, match="pip install espeakng-loader"):
            LibriSpeech(tmp_path, "part", guessing, index_dir=tmp_path / "index")
    assert len(LibriSpeech(tmp_path, "part", guessing, index_dir=tmp_path / "index")) == 2


class Shouting(Characters):
    """A text object that is none of `src.text`: what it depends on is anybody's guess."""


def test_what_is_not_plain_has_no_key():
    assert key_of(Shouting(), FACTS) is None
    assert key_of(None, [np.float32(17.0)]) is None
    text = Characters()
    text.something = object()
    assert key_of(text, FACTS) is None
