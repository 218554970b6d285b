"""LJSpeech in its own layout: one list, bars between its fields."""

import pytest
from omegaconf import OmegaConf

from src.cli import CONFIGS
from src.datasets import LJSpeech
from src.datasets.corpora.ljspeech import ADVICE
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.tiny_corpora import append, sound, write_ljspeech

ROWS = [
    ("LJ001-0001", 'He said "ten" in 1465,', "He said ten in fourteen sixty-five,"),
    ("LJ001-0002", "Mr. Hall", "Mister Hall"),
    *((f"LJ001-{i:04}", "word", "word") for i in range(3, 9)),
]


@pytest.fixture
def root(tmp_path):
    return write_ljspeech(tmp_path / "LJSpeech-1.1", ROWS)


def read(root, split: str = "train", **keys) -> LJSpeech:
    return LJSpeech(root, split, Characters(), **({"validation_share": 0, "test_share": 0} | keys))


@pytest.mark.parametrize("place", [".", ".."])
def test_transcripts_are_the_normalised_ones_and_sound_comes_at_our_rate(root, place):
    corpus = read(root / place)
    assert len(corpus) == 8
    assert corpus[0].target == "he said ten in fourteen sixty five"
    assert (len(corpus[0].waveform), corpus.durations_s[0]) == (8000, 0.5)


def test_utterances_are_held_out_for_validation_and_testing(root):
    parts = [
        set(read(root, split, validation_share=0.2, test_share=0.2).ids)
        for split in ("train", "validation", "test")
    ]
    assert all(parts)
    assert set.union(*parts) == {name for name, _, _ in ROWS}
    assert sum(map(len, parts)) == 8


def test_flaws_of_the_list_are_named(root, caplog):
    list_ = root / "metadata.csv"
    append(list_, "\r\nLJ9|only two\n\nLJ001-0001|again|again\n|x|x\nLJ8|café|café\nLJ7|a|\n")
    append(list_, "LJ6||\n")
    for name in ("LJ6", "LJ7", "LJ8"):
        sound(root / "wavs" / f"{name}.wav")
    (root / "wavs" / "LJ001-0002.wav").unlink()
    corpus = read(root)
    assert set(corpus.ids) == {name for name, _, _ in ROWS} - {"LJ001-0002"} | {"LJ7"}
    for told in (
        "kept 8 of 14 utterances",
        "2 malformed (LJ9, metadata.csv line 12; first: 2 fields between | instead of 3)",
        "1 listed more than once, first line used (LJ001-0001)",
        "1 with a transcript but no audio (LJ001-0002",
        "1 whose transcript the vocabulary can't write (LJ8",
        "1 with an empty transcript (LJ6)",
    ):
        assert told in caplog.text


def test_a_missing_corpus_tells_the_command_that_fetches_it(tmp_path):
    with pytest.raises(UserError, match=r"is no LJSpeech.* scripts\.prepare_data ljspeech .*downl"):
        read(tmp_path)


def test_it_is_fetched_to_where_the_config_reads_it():
    # Into a folder that has something else in it, such as data, nothing is fetched.
    root = OmegaConf.load(CONFIGS / "dataset" / "ljspeech.yaml").root
    assert f"--root {root} --download" in ADVICE
