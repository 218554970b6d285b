"""A model of words over pieces of words: every sequence of pieces, every n-gram."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import FusedBeam
from src.language_models import UNK, NGram, estimate, write_arpa
from src.predictions import Prediction
from src.text.bpe import Pieces
from src.utils.errors import UserError
from tests.decoders.brute_force import WIDE, random_emissions, sequence_scores

PIECES = Pieces(("_", "▁", "a", "▁a", "b"))
TEXTS = ["a ab", "ab ba a", "ba", "a a bb", "ab a bb ba"]


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "words.arpa"
    write_arpa(estimate([text.split() for text in TEXTS], order=3), path)
    return path


def words_of(tokens: tuple[int, ...], listed: set[str]) -> list[str] | None:
    """Words that pieces spell as these are split in training; anything else is <unk>, but None
    where nothing follows a "▁"."""
    starts = [i for i, t in enumerate(tokens) if i == 0 or PIECES.symbols[t].startswith("▁")]
    spelt = [tokens[a:b] for a, b in pairwise([*starts, len(tokens)])]
    if (PIECES.symbols.index("▁"),) in spelt:
        return None
    words = {PIECES.encode(word): word for word in listed}
    return [words.get(pieces, UNK) for pieces in spelt]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_frames=st.integers(1, 4),
    weight=st.sampled_from([0.0, 0.6, 2.0]),
    bonus=st.sampled_from([-1.0, 0.0, 1.5]),
    hotwords=st.sampled_from([{}, {"ba": 2.0}, {"ab": -3.0, "a": 4.0}]),
    unknown=st.sampled_from([None, -2.0, 1.0]),
)
def test_a_wide_beam_ranks_all_pieces_as_the_definition_does(
    arpa, seed, n_frames, weight, bonus, hotwords, unknown
):
    model = NGram.load(arpa)
    listed = {word for text in TEXTS for word in text.split()}
    emissions = random_emissions(seed, [n_frames, 0], n_tokens=len(PIECES))
    truth = {}
    for tokens, acoustic in sequence_scores(emissions.log_probs[0].double().numpy()).items():
        words = words_of(tokens, listed)
        if words is None or (UNK in words and unknown is None):
            continue
        boosts = [unknown if word == UNK else hotwords.get(word, 0.0) for word in words]
        added = weight * sum(model.sentence(words)) + bonus * len(words) + sum(boosts)
        truth[tokens] = acoustic + added
    keys = {"lm_weight": weight, "bonus": bonus, "hotwords": hotwords, "unknown": unknown}
    n_best, nothing = FusedBeam(PIECES, arpa, **keys, **WIDE)(emissions)
    assert {h.tokens: h.score for h in n_best} == pytest.approx(truth, abs=1e-3)
    assert nothing[0].text == ""


def heard(*pieces: str) -> Emissions:
    """Each piece for one frame with a blank behind it, all but certain."""
    log_probs = torch.full((1, 2 * len(pieces), len(PIECES)), -9.0)
    for i, piece in enumerate(pieces):
        log_probs[0, 2 * i, PIECES.symbols.index(piece)] = 0.0
        log_probs[0, 2 * i + 1, 0] = 0.0
    return Emissions(log_probs.log_softmax(-1), torch.tensor([2 * len(pieces)]))


def test_words_come_out_of_pieces_whether_by_their_letters_or_a_lexicon(arpa, tmp_path):
    (tmp_path / "words.lexicon").write_text("Ab ▁a b\nbee ▁ b\n", encoding="utf-8")
    emissions = heard("▁a", "b", "▁", "b", "a", "▁a")
    [[best, *_]] = FusedBeam(PIECES, arpa)(emissions)
    assert (best.text, best.words) == ("ab ba a", None)
    arpa_of_names = tmp_path / "names.arpa"
    write_arpa(estimate([["Ab", "bee"], ["bee", "Ab"]], order=2), arpa_of_names)
    decoder = FusedBeam(PIECES, arpa_of_names, lexicon=tmp_path / "words.lexicon")
    [[best, *_]] = decoder(heard("▁a", "b", "▁", "b"))
    assert (best.text, best.words) == ("ab b", ("Ab", "bee"))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_frames=st.integers(1, 6),
    lexicon=st.sampled_from(["ab ▁ a b\na ▁ a\n", "ab ▁a b\na ▁a\n", "ab ▁ a b\na ▁a\n"]),
    unknown=st.sampled_from([None, -1.0, 3.0]),
    breaks_off=st.booleans(),
)
def test_a_prediction_names_as_many_words_as_it_times(
    arpa, tmp_path_factory, seed, n_frames, lexicon, unknown, breaks_off
):
    path = tmp_path_factory.mktemp("lexicon") / "words.lexicon"
    path.write_text(lexicon, encoding="utf-8")
    emissions = random_emissions(seed, [n_frames], n_tokens=len(PIECES))
    if breaks_off:  # no other text is possible than one that ends in "▁"
        others = [i for i, symbol in enumerate(PIECES.symbols) if symbol != "▁"]
        emissions.log_probs[:, -1, others] = -torch.inf
    [n_best] = FusedBeam(PIECES, arpa, lexicon=path, unknown=unknown)(emissions)
    told = Prediction("x", "character", {"beam": n_best}, PIECES.symbols, 0.02, 1.0).to_dict()
    assert [word["word"] for word in told["words"]] == list(n_best[0].words)
    for h in n_best:
        assert len(h.words) == len(h.text.split())


def test_a_model_of_letters_is_refused_since_no_word_could_begin(tmp_path):
    write_arpa(estimate([["a", "b"], ["b", "a"]], order=2), tmp_path / "letters.arpa")
    with pytest.raises(UserError, match="no piece that begins a word, but this model writes 4 pie"):
        FusedBeam(PIECES, tmp_path / "letters.arpa")


@pytest.mark.parametrize("spelling", ["a b", "▁a ▁a", "▁"])
def test_a_lexicon_whose_words_do_not_begin_as_words_do_is_refused(arpa, tmp_path, spelling):
    (tmp_path / "words.lexicon").write_text(f"a ▁a\nab {spelling}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: spells 'ab' with "):
        FusedBeam(PIECES, arpa, lexicon=tmp_path / "words.lexicon")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_what_a_cpu_finds(arpa):
    emissions = random_emissions(3, [0, 40, 9, 33], n_tokens=len(PIECES))
    decoder = FusedBeam(PIECES, arpa, unknown=-1.0)
    expected = decoder(emissions)
    found = decoder(Emissions(emissions.log_probs.cuda(), emissions.lengths))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[0].tokens == theirs[0].tokens
        scores = [h.score for h in theirs]
        assert [h.score for h in ours] == pytest.approx(scores, abs=1e-3)
