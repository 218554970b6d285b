import json
import math
import re
from dataclasses import replace

import pytest

import calc_wer_cer
from src.batch import Hypothesis
from src.metrics import TextPair, read_predictions
from src.predictions import (
    Prediction,
    closing_table,
    corpus_rates,
    error_counts,
    readings,
    utterance_confidence,
)
from src.text import Characters, Phonemes
from src.utils.files import write_json
from src.utils.tables import percent

LETTERS = Characters().vocabulary
PHONEMES = Phonemes("csr").vocabulary


def hypothesis(vocabulary, text, score=-1.5, confidence=0.5):
    tokens = vocabulary.encode(text)
    frames = tuple(range(2, 2 + 3 * len(tokens), 3))
    return Hypothesis(text, tokens, frames, score, (confidence,) * len(tokens))


def said(greedy, beam, target, name="utterance", **keys):
    """A character prediction read by two decoders."""
    readings = {
        "greedy": [hypothesis(LETTERS, greedy)],
        "beam": [hypothesis(LETTERS, beam), hypothesis(LETTERS, greedy, score=-4.0)],
    }
    symbols = LETTERS.symbols
    return Prediction(name, "character", readings, symbols, 0.02, 1.25, target=target, **keys)


def spoken(phonemes, target, name="utterance", **keys):
    """A phoneme prediction read by one decoder."""
    readings = {"greedy": [hypothesis(PHONEMES, phonemes)]}
    symbols = PHONEMES.symbols
    return Prediction(name, "phoneme", readings, symbols, 0.04, 1.0, target=target, **keys)


def written(folder, predictions):
    """Written as inference writes them, one file an utterance."""
    for prediction in predictions:
        write_json(folder / f"{prediction.id}.json", prediction.to_dict(), sync=False)
    return folder


def test_a_prediction_file_says_what_was_read_when_and_how_surely():
    assert said("cat", "hat", "the hat").to_dict() == {
        "id": "utterance",
        "pred_text": "hat",  # the last decoder has the last word
        "text": "the hat",
        "unit": "character",
        "greedy_text": "cat",
        "beam_text": "hat",
        "score": -1.5,
        "confidence": 0.5,
        "duration_s": 1.25,
        "tokens": [
            {"token": "h", "start_s": 0.04, "end_s": 0.06, "confidence": 0.5},
            {"token": "a", "start_s": 0.1, "end_s": 0.12, "confidence": 0.5},
            {"token": "t", "start_s": 0.16, "end_s": 0.18, "confidence": 0.5},
        ],
        "words": [{"word": "hat", "start_s": 0.04, "end_s": 0.18, "confidence": 0.125}],
        "n_best": [{"text": "hat", "score": -1.5}, {"text": "cat", "score": -4.0}],
    }


def test_a_word_lasts_from_its_first_token_to_its_last_and_is_as_sure_as_all_of_them():
    read = Hypothesis(
        text=" a cat",
        tokens=LETTERS.encode(" a cat"),
        frames=(0, 2, 4, 5, 9, 60),
        score=-1.0,
        confidences=(0.1, 0.9, 0.2, 0.8, 0.7, 0.95),
        ends=(1, 4, 5, 7, 10, 70),
    )
    prediction = Prediction("x", "character", {"greedy": [read]}, LETTERS.symbols, 0.02, 1.25)
    assert prediction.word_times() == [
        {"word": "a", "start_s": 0.04, "end_s": 0.08, "confidence": 0.018},
        {
            "word": "cat",
            "start_s": 0.1,
            "end_s": 1.25,
            "confidence": 0.1064,
        },  # never past the sound
    ]
    assert "words" not in spoken("D O G", None).to_dict()


def test_a_phoneme_prediction_names_the_word_it_means():
    word = {"word": "down", "read_word": "dog", "word_posterior": 0.75}
    record = spoken("D O G", "D AW N", **word).to_dict()
    assert record["unit"] == "phoneme"
    assert (record["word"], record["pred_word"], record["word_posterior"]) == ("down", "dog", 0.75)
    assert [token["token"] for token in record["tokens"]] == ["D", "O", "G"]


def test_what_nobody_knows_is_left_out():
    record = said("cat", "cat", None).to_dict()
    assert {"text", "word", "pred_word", "word_posterior"}.isdisjoint(record)
    own_recording = spoken("D O G", None, read_word="dog", word_posterior=0.9).to_dict()
    assert own_recording["pred_word"] == "dog"
    assert {"text", "word"}.isdisjoint(own_recording)


def test_files_are_read_back_as_they_were_meant(tmp_path):
    word = {"word": "down", "read_word": "", "word_posterior": 0.0}
    predictions = [said("cat", "hat", "the hat", "a"), spoken("D O G", "D AW N", "b", **word)]
    pairs, skipped = read_predictions(written(tmp_path, predictions))
    assert skipped == []
    phonemes = tuple((phoneme, 0.5) for phoneme in "DOG")
    assert pairs == [
        TextPair("a.json", "the hat", "hat", confidences=(("hat", 0.125),)),
        TextPair("b.json", "D AW N", "D O G", "phoneme", "down", "", 0.0, phonemes),
    ]
    assert read_predictions(tmp_path, "beam_text")[0][0].hypothesis == "hat"
    [greedy, _] = read_predictions(tmp_path, "greedy_text")[0]
    assert (greedy.hypothesis, greedy.confidences) == ("cat", None)  # they are of "hat"


@pytest.mark.parametrize(
    "name",
    ["1089-134686-0000", "down_004ae714_nohash_0", "take 2.wav", ".hidden", "ni\u00f1o", "a/b"],
)
def test_an_utterance_id_is_its_files_name(tmp_path, name):
    pairs, skipped = read_predictions(written(tmp_path, [said("a", "a", "a", name)]))
    assert [pair.file for pair in pairs] == [f"{name}.json"]
    assert skipped == []
    assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["id"] == name


@pytest.mark.parametrize("score", [-math.inf, math.nan])
def test_a_score_that_json_has_no_number_for_is_null(tmp_path, score):
    silent = Hypothesis("", (), (), score)
    empty = Prediction("u", "character", {"greedy": [silent]}, LETTERS.symbols, 0.02, 1.0, "a")
    written(tmp_path, [empty])
    record = json.loads((tmp_path / "u.json").read_text(encoding="utf-8"))
    assert (record["score"], record["confidence"], record["tokens"]) == (None, None, [])
    assert record["pred_text"] == ""


def test_tokens_of_a_decoder_without_confidences_have_none():
    plain = Hypothesis("ab", (3, 4), (0, 5), -1.0)
    reading = Prediction("u", "character", {"greedy": [plain]}, LETTERS.symbols, 0.02, 1.0)
    assert [token["confidence"] for token in reading.token_times()] == [None, None]
    assert [token["start_s"] for token in reading.token_times()] == [0.0, 0.1]


def test_tokens_and_words_of_a_decoder_without_frames_have_no_times(tmp_path):
    space = LETTERS.encode(" ")[0]
    plain = Hypothesis("a b", (3, space, 4), (), -1.0)
    reading = Prediction("u", "character", {"greedy": [plain]}, LETTERS.symbols, 0.02, 1.0, "a b")
    for told in (*reading.token_times(), *reading.word_times()):
        assert told["start_s"] is None and told["end_s"] is None
    assert len(reading.word_times()) == 2
    written(tmp_path, [reading])
    assert json.loads((tmp_path / "u.json").read_text(encoding="utf-8"))["pred_text"] == "a b"


def test_the_confidence_of_an_utterance_is_the_geometric_mean_of_its_tokens():
    def confidence(*tokens):
        return utterance_confidence(Hypothesis("", (1,) * len(tokens), (), 0.0, tokens))

    assert confidence(0.25, 1.0) == pytest.approx(0.5)
    assert confidence(0.9) == pytest.approx(0.9)
    assert confidence(0.0, 1.0) == pytest.approx(1e-5)  # one impossible token is not the end
    assert confidence() is None


def test_each_decoder_is_counted_under_its_own_name():
    predictions = [said("a cat", "the cat", "the cat"), said("on", "off", "off")]
    assert corpus_rates(predictions) == {
        "wer": 2 / 3,  # both of "a", "on" wrong, of three words
        "cer": pytest.approx((3 + 2) / (7 + 3)),
        "wer_beam": 0,
        "cer_beam": 0,
    }


def test_utterances_without_a_text_are_not_counted():
    assert error_counts([said("cat", "cat", None)]) == {}
    assert corpus_rates([]) == {}
    assert closing_table([said("cat", "cat", None)]) == "No reference texts, so no error rates."


def test_the_first_readings_are_told_and_the_rest_counted():
    two = [said("on", "off", None, name="b"), said("a cat", "the cat", None, name="a")]
    assert readings(two) == "a: the cat\nb: off"
    assert readings(two, n=1).splitlines() == ["a: the cat", "… and 1 more"]
    word = spoken("D AW N", None, word=None, read_word="down", word_posterior=0.9)
    assert readings([word]) == f"{word.id}: D AW N  (down)"


def test_no_word_found_is_a_word_lost():
    counts = error_counts([spoken("D", "D AW N", word="down", read_word="", word_posterior=0.0)])
    assert list(counts) == ["per", "word_error"]
    assert counts["word_error"][0].deletions == 1


def scored(capsys, folder, field):
    status = calc_wer_cer.main(["--dir_path", str(folder), "--field", field, "--json"])
    assert status == 0
    return json.loads(capsys.readouterr().out)["scores"]


def cells(score):
    """A row of the closing table, from what calc_wer_cer found."""
    errors = [score[key] for key in ("substitutions", "deletions", "insertions")]
    rate = percent(score["rate"], (score["low"], score["high"]))
    return " ".join(map(str, [rate, *errors, score["reference_length"]]))


def rows(table):
    """Title → the rest of each row, single-spaced."""
    lines = table.split("\n\n")[0].splitlines()[2:]
    found = (re.fullmatch(r"(.*?)  +(\S.*)", line) for line in lines)
    return {match[1]: " ".join(match[2].split()) for match in found}


def test_the_closing_table_and_calc_wer_cer_agree_on_characters(capsys, tmp_path):
    predictions = [
        said("the cat sat", "the cat sat", "the cat sat", "0"),
        said("it was dark knight", "it was a dark knight", "it was a dark night", "1"),
        said("", " don't  stop ", "don't stop", "2"),  # spaces that a young model emits
        said("one two", "one", "one", "3"),
        said("unheard", "unheard", None, "4"),
    ]
    table = rows(closing_table(predictions))
    folder = written(tmp_path, predictions[:-1])
    greedy, beam = (scored(capsys, folder, field) for field in ("greedy_text", "pred_text"))
    assert table == {
        "WER": cells(greedy["wer"]),
        "CER": cells(greedy["cer"]),
        "WER beam": cells(beam["wer"]),
        "CER beam": cells(beam["cer"]),
    }
    assert beam["cer"]["insertions"] == 1  # the k of "knight" alone


def test_the_closing_table_and_calc_wer_cer_agree_on_phonemes(capsys, tmp_path):
    down = {"word": "down", "word_posterior": 0.5}
    predictions = [
        spoken("D AW N", "D AW N", "0", read_word="down", **down),
        spoken("D O", "D AW N", "1", read_word="dog", **down),
        spoken("", "D AW N", "2", read_word="", **down),
        spoken("N AY N T UW", "N AY N | T UW", "3"),
    ]
    found = scored(capsys, written(tmp_path, predictions), "pred_text")
    assert rows(closing_table(predictions)) == {
        "PER": cells(found["per"]),
        "word error": cells(found["word_error"]),
    }
    assert found["word_error"]["rate"] == 2 / 3


def test_the_closing_table_and_calc_wer_cer_agree_on_confidence(capsys, tmp_path):
    predictions = []
    for name, text, *confidences in [
        ("c", "the cat", 0.9, 0.123456, 0.7, 0.2, 0.95, 0.8, 0.99),
        ("b", "a hat", 0.3, 0.1, 0.99, 0.6, 0.9),
        ("a", "", *()),
    ]:
        read = replace(hypothesis(LETTERS, text), confidences=tuple(confidences))
        read = {"greedy": [hypothesis(LETTERS, "so what")], "beam": [read]}
        parts = (name, "character", read, LETTERS.symbols, 0.02, 1.25)
        predictions.append(Prediction(*parts, target="the hat"))
    [line] = closing_table(predictions).splitlines()[-1:]
    assert line.startswith("Word confidence AUC ") and "(2 right, 2 wrong)" in line
    assert calc_wer_cer.main(["--dir_path", str(written(tmp_path, predictions))]) == 0
    assert line in capsys.readouterr().out.splitlines()
