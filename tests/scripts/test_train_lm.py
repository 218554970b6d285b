"""Models trained from the command line, as a person would."""

import gzip
import lzma
import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.learning.text import Units
from scripts.train_lm import main, parse
from src.language_models import BOS, EOS, SPACE, UNK, NGram, estimate, read_arpa
from tests.conftest import REPOSITORY
from tests.language_models.models import as_dict

TEXT = "It's RAINING, again!\nit's twenty-one   o’clock\n\nit's 21 o'clock\n"
WORDS = [
    ["it's", "raining", "again"],
    ["it's", "twenty", "one", "o'clock"],
    ["it's", UNK, "o'clock"],
]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def train(*words) -> None:
    main([str(word) for word in words])


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz", "model.lm"])
def test_the_model_is_that_of_the_normalised_words_in_each_format(tmp_path, text, name, capsys):
    train(text, "--order", 2, "--out", tmp_path / name)
    model, expected = NGram.load(tmp_path / name), NGram.build(estimate(WORDS, 2))
    assert model.words == expected.words
    for words in (*WORDS, ["again", "zzz"]):
        assert model.sentence(words) == pytest.approx(expected.sentence(words), rel=1e-5)
    said = capsys.readouterr().out
    assert "10 words, 1 of them (10.0 %) unspellable: <unk>" in said
    assert "    1        9\n    2       10\n" in said
    assert f"{tmp_path / name}: 0.0 MB after " in said and "MiB of memory at most" in said


def test_fewer_digits_make_a_smaller_file_of_nearly_the_same_model(tmp_path, text):
    for digits in (9, 4):
        train(text, "--order", 2, "--digits", digits, "--out", tmp_path / f"{digits}.arpa")
    exact, rounded = (NGram.load(tmp_path / f"{digits}.arpa") for digits in (9, 4))
    assert (tmp_path / "4.arpa").stat().st_size < (tmp_path / "9.arpa").stat().st_size
    for words in (*WORDS, ["again", "zzz"]):
        sure, rough = exact.sentence(words), rounded.sentence(words)
        assert rough == pytest.approx(sure, rel=1e-3) and rough != sure


def test_an_apostrophe_alone_is_no_word_but_a_letter(tmp_path):
    (tmp_path / "text").write_text("'Tis he, ' said she.\n")
    for unit, known in (("word", {"'tis"}), ("character", {"'"})):
        train(tmp_path / "text", "--unit", unit, "--order", 1, "--out", tmp_path / "model.arpa")
        words = NGram.load(tmp_path / "model.arpa").words
        assert {word for word in words if "'" in word} == known


def test_words_are_learnt_as_they_are_said(tmp_path, capsys):
    (tmp_path / "text").write_text("Mr. Hyde met Mrs. Smith.\n")
    spoken = ("--spoken", "Mr.=Mister", "mrs=missus", "hyde=mister hide")
    train(tmp_path / "text", "--order", 2, *spoken, "--out", tmp_path / "model.arpa",
        "--heldout", tmp_path / "text")  # fmt: skip
    expected = estimate([["mister", "mister", "hide", "met", "missus", "smith"]], 2)
    assert as_dict(read_arpa(tmp_path / "model.arpa")).keys() == as_dict(expected).keys()
    assert "0.0 % of 6 words are out of the vocabulary" in capsys.readouterr().out
    for wrong in ("mr", "mr=", "=mister", "a b=c"):
        with pytest.raises(SystemExit):
            train(tmp_path / "text", "--spoken", wrong, "--out", tmp_path / "a.arpa")
        assert "expected WORD=WORDS, such as mr=mister" in capsys.readouterr().err


def test_names_before_the_texts_are_dropped_when_asked(tmp_path, text):
    named = tmp_path / "named.gz"
    lines = [f"19-198-{i:04} {line}" for i, line in enumerate(TEXT.splitlines(keepends=True))]
    named.write_bytes(gzip.compress("".join([*lines, "19-198-0009\n"]).encode()))
    train(named, "--drop-first-field", "--order", 2, "--out", tmp_path / "a.arpa")
    train(text, "--order", 2, "--out", tmp_path / "b.arpa")
    assert (tmp_path / "a.arpa").read_bytes() == (tmp_path / "b.arpa").read_bytes()


def test_books_are_cut_into_sentences_and_added_to_the_lines(tmp_path, text):
    book = tmp_path / "book.xz"
    book.write_bytes(lzma.compress(b"I\nIt rained. We left; all\nof us.\n"))
    train(text, "--books", book, "--order", 2, "--out", tmp_path / "model.arpa")
    book_words = [["i"], ["it", "rained"], ["we", "left"], ["all"], ["of", "us"]]
    grams = as_dict(read_arpa(tmp_path / "model.arpa"))
    expected = as_dict(estimate([*WORDS, *book_words], 2))
    assert grams == expected


def test_characters_are_units_with_a_name_for_the_space(tmp_path, text):
    train(text, "--unit", "character", "--order", 3, "--out", tmp_path / "model.arpa")
    grams = as_dict(read_arpa(tmp_path / "model.arpa"))
    assert (BOS, "i", "t") in grams and ("t", "'", "s") in grams
    assert ("s", SPACE, UNK) in grams and ("k", EOS) in grams
    assert all(len(word) == 1 or word in (SPACE, UNK, BOS, EOS) for word, *_ in grams)


def test_pruning_and_a_limited_vocabulary(tmp_path, text):
    train(text, "--prune", 0, 0, 1, "--vocabulary-size", 2, "--out", tmp_path / "model.arpa")
    grams = read_arpa(tmp_path / "model.arpa")
    assert grams.words == (UNK, BOS, EOS, "it's", "o'clock")
    expected = as_dict(estimate(WORDS, 4, (0, 0, 1), 2))
    assert as_dict(grams) == expected and grams.order == 4


def test_the_perplexity_of_a_held_out_text_is_told(tmp_path, text, capsys):
    (tmp_path / "heldout").write_text("It's o'clock.\nRaining zzz\n")
    train(text, "--order", 2, "--out", tmp_path / "m.lm", "--heldout", tmp_path / "heldout")
    said = capsys.readouterr().out
    assert f"{tmp_path}/heldout: perplexity " in said
    assert "25.0 % of 4 words are out of the vocabulary" in said
    (tmp_path / "heldout").write_text("...\n")
    with pytest.raises(SystemExit, match=r"train_lm: .*heldout: has no words"):
        train(text, "--order", 2, "--out", tmp_path / "m.lm", "--heldout", tmp_path / "heldout")


def test_units_are_counted():
    units = Units("word")
    assert list(units(["Ça va 21", "", "ok"])) == [[UNK, "va", UNK], ["ok"]]
    assert (units.n, units.n_unknown) == (4, 2)


def test_mistakes_end_in_one_line(tmp_path, text):
    mistakes = {
        "no: could not be read": ["no", "--out", tmp_path / "a.lm"],
        "is a folder; name a file": [text, "--out", tmp_path],
        "such as 0 0 1": [text, "--prune", 2, "--out", tmp_path / "a.lm"],
        "The text has no words": [os.devnull, "--out", tmp_path / "a.lm"],
        "could not be written": [text, "--out", text / "a.lm"],
    }
    for message, words in mistakes.items():
        with pytest.raises(SystemExit) as caught:
            train(*words)
        said = str(caught.value)
        assert said.startswith("train_lm: ") and message in said and "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_the_command_line_teaches_and_refuses(capsys):
    for words, message in (
        (["--help"], "--prune 0 0 1"),
        (["--out", "a"], "name at least one TEXT, or --books"),
        (["text"], "the following arguments are required: --out"),
        (["text", "--out", "a", "--order", "0"], "0 is not a whole number from 1 to 12"),
    ):
        with pytest.raises(SystemExit):
            parse(words)
        captured = capsys.readouterr()
        assert message in captured.out + captured.err


def test_ctrl_c_ends_in_one_line_and_leaves_nothing(tmp_path):
    os.mkfifo(tmp_path / "slow")
    command = [sys.executable, "-m", "scripts.train_lm", "slow", "--out", "model.lm"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with (tmp_path / "slow").open("wb", buffering=0) as pipe:  # opens when the other end is read
        pipe.write(b"a b\n")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.strip() == "train_lm: interrupted; nothing is written; run it again to start over"
    assert [path.name for path in tmp_path.iterdir()] == ["slow"]
