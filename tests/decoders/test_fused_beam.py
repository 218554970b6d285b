"""Shallow fusion against the definition: every text, every path, every n-gram."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import FusedBeam, PrefixBeam
from src.language_models import NGram, estimate, write_arpa
from src.language_models.grams import SPACE
from src.text import Vocabulary
from src.utils.errors import UserError
from tests.decoders.brute_force import WIDE, random_emissions, sequence_scores

VOCABULARY = Vocabulary(("_", *" ab"))
TEXTS = ["a ab", "ab ba a", "ba", "a a bb", "ab a bb ba"]


def write_model(folder, unit: str):
    spelt = [SPACE if c == " " else c for c in "".join(TEXTS)]
    sentences = [text.split() for text in TEXTS] if unit == "word" else [spelt]
    path = folder / f"{unit}.arpa"
    write_arpa(estimate(sentences, order=3), path)
    return path


def of_words(model: NGram, text: str, hotwords: dict, closed: bool) -> tuple[float, int] | None:
    """Log-probability of a text and its words; None where it holds others and may not."""
    if (text and text != " ".join(text.split()) + " " * text.endswith(" ")) or text == " ":
        return None  # a space stands behind a word
    words = text.split()
    if closed and n_unknown(model, words, hotwords):
        return None
    return sum(model.sentence(words)), len(words)


def n_unknown(model: NGram, words: list[str], hotwords: dict) -> int:
    return sum(word not in model.index and word not in hotwords for word in words)


def of_characters(model: NGram, text: str, hotwords: dict, closed: bool) -> tuple[float, int]:
    return sum(model.sentence([SPACE if c == " " else c for c in text])), len(text)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_frames=st.integers(1, 6),
    weight=st.sampled_from([0.0, 0.6, 2.0]),
    bonus=st.sampled_from([-1.0, 0.0, 1.5]),
    unit=st.sampled_from(["word", "character"]),
    hotwords=st.sampled_from([{}, {"ba": 2.0}, {"ab": -3.0, "aa": 4.0}]),
    unknown=st.sampled_from([None, -2.0, 1.0]),
)
def test_a_wide_beam_ranks_every_text_as_the_definition_does(
    tmp_path_factory, seed, n_frames, weight, bonus, unit, hotwords, unknown
):
    hotwords, unknown = (hotwords, unknown) if unit == "word" else ({}, None)
    path = write_model(tmp_path_factory.mktemp("lm"), unit)
    score = of_words if unit == "word" else of_characters
    model = NGram.load(path)
    emissions = random_emissions(seed, [n_frames, 0], n_tokens=4)
    truth = {}
    for tokens, acoustic in sequence_scores(emissions.log_probs[0].double().numpy()).items():
        text = VOCABULARY.decode(tokens)
        if (found := score(model, text, hotwords, unknown is None)) is not None:
            boost = sum(hotwords.get(word, 0.0) for word in text.split())
            if unit == "word":
                boost += (unknown or 0.0) * n_unknown(model, text.split(), hotwords)
            total = acoustic + weight * found[0] + bonus * found[1] + boost
            if unit == "word":  # a space behind the last word is no other text
                text = text.rstrip(" ")
            truth[text] = np.logaddexp(truth.get(text, -np.inf), total)

    keys = {"lm_weight": weight, "bonus": bonus, "hotwords": hotwords, "unknown": unknown}
    decoder = FusedBeam(VOCABULARY, path, **keys, **WIDE)
    n_best, nothing = decoder(emissions)
    assert {h.text: h.score for h in n_best} == pytest.approx(truth, abs=1e-3)
    assert [h.score for h in n_best] == sorted((h.score for h in n_best), reverse=True)
    assert len({h.text for h in n_best}) == len(n_best)
    for h in n_best:
        assert VOCABULARY.decode(h.tokens) == h.text
        assert h.acoustic + h.language == pytest.approx(h.score)
    assert nothing[0].text == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("unit", ["word", "character", None])
def test_a_gpu_finds_what_a_cpu_finds(tmp_path, unit):
    emissions = random_emissions(3, [0, 40, 9, 33], n_tokens=4)
    decoder = FusedBeam(VOCABULARY, write_model(tmp_path, unit)) if unit else PrefixBeam(VOCABULARY)
    expected = decoder(emissions)
    found = decoder(Emissions(emissions.log_probs.cuda(), emissions.lengths))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[0].tokens == theirs[0].tokens and ours[0].frames == theirs[0].frames
        scores = [h.score for h in theirs]
        assert [h.score for h in ours] == pytest.approx(scores, abs=1e-3)


def test_a_text_that_ends_within_a_word_counts_only_where_no_other_may(tmp_path):
    path = write_model(tmp_path, "word")
    log_probs = torch.full((1, 1, 4), -20.0)
    log_probs[0, 0, 3] = 0.0  # "b": the beginning of words, and none itself
    decoder = FusedBeam(VOCABULARY, path, beam_width=1, n_best=1, blank_threshold=None)
    [[best]] = decoder(Emissions(log_probs.log_softmax(-1), torch.tensor([1])))
    assert best.text == "b" and best.score > -torch.inf


def test_where_every_text_is_forbidden_nothing_is_read(tmp_path):
    log_probs = torch.full((2, 2, 4), -torch.inf)
    log_probs[0, :, 1] = 0.0  # spaces and nothing else
    log_probs[1, :, 2] = 0.0  # "a"
    decoder = FusedBeam(VOCABULARY, write_model(tmp_path, "word"))
    [[nothing, *others], [best, *_]] = decoder(Emissions(log_probs, torch.tensor([2, 2])))
    assert (nothing.text, nothing.score, others) == ("", -torch.inf, [])
    assert best.text == "a" and best.acoustic == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"language_model": None}, "decoder.language_model is null; name a file"),
        ({"language_model": "missing.arpa"}, "no such language model"),
        ({"lm_weight": -1.0}, "lm_weight is -1.0; expected a number from 0"),
        ({"lm_weight": float("nan")}, "lm_weight is nan"),
        ({"lm_weight": "much"}, "lm_weight is much; expected a number from 0"),
        ({"bonus": float("nan")}, "decoder.bonus is nan; expected a number"),
        ({"bonus": "much"}, "decoder.bonus is much; expected a number"),
        ({"hotwords": "ab"}, "decoder.hotwords is ab; expected words and numbers"),
        ({"hotwords": {"ab": "much"}}, r"decoder.hotwords\.ab is much; expected a number"),
        ({"hotwords": {"ab": float("inf")}}, r"decoder.hotwords\.ab is inf; expected a number"),
        (
            {"hotwords": {1: 4.0}},
            r"hotwords: 1 is no text; .* quotes .* \+\+decoder.hotwords.WORD=4",
        ),
        ({"hotwords": {"ab": 1.0, True: 4.0}}, "decoder.hotwords: True is no text"),
        ({"unknown": "cheap"}, "decoder.unknown is cheap; expected a number"),
        ({"hotwords": {"zebra": 1.0}}, "'zebra' can't be spelt"),
    ],
)
def test_what_can_not_be_is_refused_in_a_sentence(tmp_path, keys, message):
    keys = {"language_model": write_model(tmp_path, "word"), **keys}
    with pytest.raises(UserError, match=message):
        FusedBeam(VOCABULARY, **keys)


def test_a_word_that_is_not_listed_comes_out_only_where_it_may(tmp_path):
    path = write_model(tmp_path, "word")
    spoken = torch.full((1, 6, 4), -9.0)
    spoken[0, range(6), [3, 0, 3, 0, 3, 2]] = 0.0  # "bbba", which begins like a listed word
    emissions = Emissions(spoken.log_softmax(-1), torch.tensor([6]))
    texts = [FusedBeam(VOCABULARY, path, unknown=u)(emissions)[0][0].text for u in (None, -1.0)]
    assert texts[0] != "bbba" == texts[1]


def test_a_model_without_unk_allows_no_other_words(tmp_path):
    grams = "ngram 1=3\n\n\\1-grams:\n-99\t<s>\n-0.5\t</s>\n-0.3\tba\n\n\\end\\\n"
    (tmp_path / "closed.arpa").write_text("\\data\\\n" + grams)
    FusedBeam(VOCABULARY, tmp_path / "closed.arpa")
    with pytest.raises(UserError, match=r"decoder.unknown is -1.0.* no <unk>"):
        FusedBeam(VOCABULARY, tmp_path / "closed.arpa", unknown=-1.0)
    with pytest.raises(UserError, match=r"decoder.hotwords: .* lists no 'ab', .* no <unk>"):
        FusedBeam(VOCABULARY, tmp_path / "closed.arpa", hotwords={"ba": 1.0, "ab": 1.0})


def test_words_in_another_case_are_told(tmp_path):
    path = tmp_path / "upper.arpa"
    write_arpa(estimate([["AB", "BA"]], order=2), path)
    with pytest.raises(UserError, match=r"no word that can be spelt .* upper case"):
        FusedBeam(VOCABULARY, path)


OTHER_UNITS = {
    "letters": [[*"ab", SPACE, *"bac"]],  # of which "c" is not in the vocabulary
    "letters of single words": [[*"ab"], [*"bac"]],
    "pieces": [["▁a", "b", "▁ba"], ["▁b", "a", "a"]],
}


@pytest.mark.parametrize("units", OTHER_UNITS)
def test_letters_or_pieces_that_are_not_the_model_s_are_not_taken_for_words(tmp_path, units):
    path = tmp_path / "other.arpa"
    write_arpa(estimate(OTHER_UNITS[units], order=2), path)
    with pytest.raises(UserError, match=f"one of {units.split()[0]}, not all of which this model"):
        FusedBeam(VOCABULARY, path)


def test_letters_are_not_taken_for_words_of_a_lexicon_unless_it_lists_letters(tmp_path):
    path, lexicon = tmp_path / "letters.arpa", tmp_path / "words.lexicon"
    write_arpa(estimate([[*"abc"], [*"ba"]], order=2), path)
    lexicon.write_text("a a\nabba a b b a\nbaba b a b a\n", encoding="utf-8")
    with pytest.raises(UserError, match="one of letters"):
        FusedBeam(VOCABULARY, path, lexicon=lexicon)
    lexicon.write_text("a a\nb b\nc a b\n", encoding="utf-8")
    FusedBeam(VOCABULARY, path, lexicon=lexicon)


@pytest.mark.parametrize("keys", [{"hotwords": {"ab": 1.0}}, {"unknown": -3.0}])
def test_a_model_of_symbols_knows_no_words(tmp_path, keys):
    with pytest.raises(UserError, match=rf"{next(iter(keys))}: .* single symbols"):
        FusedBeam(VOCABULARY, write_model(tmp_path, "character"), **keys)
