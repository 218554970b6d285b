"""python -m scripts.write_lexicon: words of a language model, spelt as a dictionary does."""

import gzip
import json

import pytest

from scripts.write_lexicon import main
from src.language_models import estimate, write_arpa
from tests.cli.in_process import call, inference_arguments, untrained
from tests.recordings import TONE, write

TEXTS = ["down right", "read right now", "write xqzt"]


@pytest.fixture
def model(tmp_path):
    write_arpa(estimate([text.split() for text in TEXTS], order=2), tmp_path / "words.arpa")
    return tmp_path / "words.arpa"


def test_each_pronunciation_is_a_line_and_unknown_words_are_guessed(model, tmp_path, capsys):
    main([str(model), "--out", str(tmp_path / "words.lexicon")])
    lines = (tmp_path / "words.lexicon").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "down D AW N",
        "now N AW",
        "read R EH D",
        "read R IY D",
        "right R AY T",
        "write R AY T",
        "xqzt EH K S K Y UW Z IY T IY",
    ]
    told = capsys.readouterr().out
    assert "7 spellings of 6 words" in told and "1 of them are guesses, such as xqzt" in told


def test_a_packed_lexicon_holds_the_same_lines(model, tmp_path):
    for name in ("plain", "packed.gz"):
        main([str(model), "--out", str(tmp_path / name)])
    packed = (tmp_path / "packed.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "plain").read_bytes()
    main([str(model), "--out", str(tmp_path / "packed.gz")])
    assert (tmp_path / "packed.gz").read_bytes() == packed


def test_csr_knows_its_35_words_only_and_names_the_others(model, tmp_path, capsys):
    main([str(model), "--dictionary", "csr", "--out", str(tmp_path / "csr")])
    assert (tmp_path / "csr").read_text().splitlines() == ["down D AW N", "right R AY T"]
    told = capsys.readouterr().out
    assert "4 words are not in the csr dictionary: now, read, write, xqzt" in told


def test_words_that_only_the_dictionary_knows_can_be_listed_too(model, tmp_path, capsys):
    main([str(model), "--all-words", "--out", str(tmp_path / "all")])
    lines = (tmp_path / "all").read_text(encoding="utf-8").splitlines()
    assert {"down D AW N", "wendy W EH N D IY", "xqzt EH K S K Y UW Z IY T IY"} <= {*lines}
    n = len({line.split()[0] for line in lines})
    assert n > 100_000
    told = capsys.readouterr().out
    assert f"{n - 6:,} of them are the dictionary's" in told and "1 of them are guesses" in told


@pytest.mark.parametrize("more", [[], ["--all-words"]])
@pytest.mark.parametrize("text", ["XQZT", "d aw n"])
def test_where_no_word_is_known_nothing_is_written(tmp_path, text, more):
    write_arpa(estimate([text.split()[:1]], order=1), tmp_path / "other.arpa")
    arguments = [
        str(tmp_path / "other.arpa"),
        "--dictionary",
        "csr",
        "--out",
        str(tmp_path / "out"),
        *more,
    ]
    with pytest.raises(SystemExit, match="none of its 1 word is in the csr dictionary"):
        main(arguments)
    assert not (tmp_path / "out").exists()


def test_a_model_of_phonemes_writes_words_through_it(model, tmp_path):
    main([str(model), "--out", str(tmp_path / "words.lexicon")])
    checkpoint = untrained(tmp_path / "phonemes.pt", "text=phonemes_cmu_open")
    write(tmp_path / "talk.wav", TONE)
    keys = ["decoder=beam_lm", f"decoder.language_model={model}", "decoder.bonus=6.0"]
    keys += [f"decoder.lexicon={tmp_path / 'words.lexicon'}", "decoder.n_tokens=null"]
    arguments = inference_arguments(checkpoint, tmp_path, *keys)
    assert call("inference", *arguments, f"input={tmp_path}").status == 0
    [path] = tmp_path.rglob("*talk.json")
    record = json.loads(path.read_text("utf-8"))
    known = {word for text in TEXTS for word in text.split()}
    assert record["pred_word"].split() and set(record["pred_word"].split()) <= known
    assert [word["word"] for word in record["words"]] == record["pred_word"].split()
    assert len(record["words"]) == len(record["beam_text"].split("|"))
    times = [(word["start_s"], word["end_s"]) for word in record["words"]]
    assert all(start < end for start, end in times) and times == sorted(times)
    assert all(0 <= word["confidence"] <= 1 for word in record["words"])
