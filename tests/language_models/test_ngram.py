"""Look-ups in tensors against the definition in plain Python, and against KenLM."""

import lzma
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.language_models import BOS, EOS, UNK, Grams, NGram, contexts, estimate, write_arpa
from src.utils.errors import UserError
from src.utils.mapped import MappedArrays, write_arrays
from tests.language_models.models import as_dict, history, log_prob, models


@settings(deadline=None)
@given(models(), st.data())
def test_scores_are_those_of_the_definition_and_states_remember_enough(grams, data):
    model, known = NGram.build(grams), as_dict(grams)
    texts = data.draw(
        st.lists(
            st.lists(st.sampled_from(list(grams.words)), min_size=7, max_size=7),
            min_size=1,
            max_size=6,
        )
    )
    states = torch.full((len(texts),), 0)
    for t in range(7):
        words = torch.tensor([model.find(text[t]) for text in texts])
        scores, states = model.score(states, words)
        expected = [log_prob(known, history(grams.order, text[:t]), text[t]) for text in texts]
        torch.testing.assert_close(scores, torch.tensor(expected), rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(models(max_order=3), st.sampled_from([(), (1,), (2, 3), (3, 1, 2), (0,), (2, 0)]))
def test_states_of_any_shape_are_scored_one_by_one(grams, shape):
    model = NGram.build(grams)
    random = np.random.default_rng(0)
    states = torch.tensor(random.integers(len(model.backoffs), size=shape))
    words = torch.tensor(random.integers(-1, len(model.words), size=shape))
    scores, after = model.score(states, words)
    assert scores.shape == after.shape == shape
    assert (scores.dtype, after.dtype) == (torch.float32, torch.int64)
    for score, state, s, w in zip(
        *(x.flatten() for x in (scores, after, states, words)), strict=True
    ):
        alone = model.score(s, w)
        assert (score, state) == alone


def test_a_bigram_model_by_hand():
    grams = Grams(
        (UNK, BOS, EOS, "a", "b"),
        [np.arange(5)[:, None], np.array([[3, 4], [1, 3]])],
        [np.log(np.float32([0.1, 1e-9, 0.2, 0.4, 0.3])), np.log(np.float32([0.9, 0.8]))],
        [np.log(np.float32([1, 0.5, 1, 0.25, 1])), np.zeros(2, np.float32)],
    )
    model = NGram.build(grams)
    # "<s> a" and "a b" are listed; after b no context is left; </s> follows with its own 0.2.
    assert np.exp(model.sentence(["a", "b"])).tolist() == pytest.approx([0.8, 0.9, 0.2])
    # Not "<s> b": back off by 0.5; "zzz" is <unk>, "b zzz" backs off for nothing.
    assert np.exp(model.sentence(["b", "zzz"])).tolist() == pytest.approx([0.15, 0.1, 0.2])
    middle = model.sentence(["a", "a"], begins=False, ends=False)
    assert np.exp(middle).tolist() == pytest.approx([0.4, 0.25 * 0.4])


def test_a_word_that_is_none_is_impossible_and_leads_to_the_empty_context():
    model = NGram.build(estimate([["a", "b"], ["b"]], 2))
    score, after = model.score(torch.tensor([0, model.start()]), torch.tensor([-1, -1]))
    assert score.tolist() == [-math.inf] * 2 and after.tolist() == [0, 0]


def test_a_model_without_the_special_words_begins_in_the_empty_context():
    grams = Grams(("a",), [np.zeros((1, 1), np.int32)], *[[np.zeros(1, np.float32)]] * 2)
    model = NGram.build(grams)
    assert (model.start(), model.find("b"), model.find("a")) == (0, -1, 0)
    assert model.sentence(["b", "a"], ends=False) == [-math.inf, 0.0]


def test_what_is_no_back_off_model_is_refused():
    def grams(words, *ids):
        none = [np.zeros(len(part), np.float32) for part in ids]
        return Grams(words, [np.array(part) for part in ids], none, none)

    with pytest.raises(UserError, match=r"^The 2-gram 'b a' is listed twice\.$"):
        NGram.build(grams(("a", "b"), [[0], [1]], [[1, 0], [0, 1], [1, 0]]))
    with pytest.raises(UserError, match=r"'b a a' is listed without its first 2 words\.$"):
        NGram.build(grams(("a", "b"), [[0], [1]], [[0, 1]], [[1, 0, 0]]))
    with pytest.raises(UserError, match="2 words, but 1 1-grams"):
        NGram.build(grams(("a", "b"), [[0]]))


def test_more_than_can_be_numbered_is_refused(monkeypatch):
    grams = estimate([["a", "b", "c"]], 3)
    monkeypatch.setattr(contexts, "MOST", len(grams))
    NGram.build(grams)
    monkeypatch.setattr(contexts, "MOST", len(grams) - 1)
    with pytest.raises(UserError, match=rf"{len(grams)} or more n-grams: at most .* Prune it more"):
        NGram.build(grams)


@settings(deadline=None)
@given(models())
def test_a_stored_model_is_the_same(tmp_path_factory, grams):
    path = tmp_path_factory.mktemp("models") / "model.lm"
    model = NGram.build(grams)
    model.save(path)
    again = NGram.load(path)
    assert (again.words, again.order, again.index) == (model.words, model.order, model.index)
    for name in NGram.TENSORS:
        left, right = getattr(model, name), getattr(again, name)
        assert left.dtype == right.dtype and torch.equal(left, right)


def test_an_arpa_file_loads_as_the_same_model(tmp_path):
    grams = estimate([["a", "b", "a"], ["b", "ü"]], 3)
    model = NGram.build(grams)
    for name in ("model.arpa", "model.arpa.gz"):
        write_arpa(grams, tmp_path / name)
        again = NGram.load(tmp_path / name)
        assert again.words == model.words
        for tensor in NGram.TENSORS:
            torch.testing.assert_close(getattr(again, tensor), getattr(model, tensor))


def test_a_damaged_file_is_refused_whatever_byte_is_lost_or_altered(tmp_path):
    path = tmp_path / "model.lm"
    NGram.build(estimate([["a", "b"]], 2)).save(path)
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        for changed in (
            content[:place],
            content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :],
        ):
            path.write_bytes(changed)
            try:
                NGram.load(path)
            except UserError as error:
                refused += 1
                assert "or damaged" in str(error) and str(path) in str(error)
            else:  # only the gaps between arrays have no checksum
                assert changed[place] == 64 and content[place] == 0
    assert refused > len(content) / 7


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no such language model; python -m scripts\.train_lm"):
        NGram.load(tmp_path / "no.lm")
    write_arrays(tmp_path / "other", {"kind": "recordings"}, {"keys": np.zeros(3)})
    with pytest.raises(UserError, match="it holds something else"):
        NGram.load(tmp_path / "other")
    (tmp_path / "text").write_text("\\data\\\n")
    with pytest.raises(UserError, match=r"whose name ends in \.arpa"):
        NGram.load(tmp_path / "text")


def store_altered(path, info=None, **change) -> None:
    """A model of order 3 whose file is sound, but for what `change` makes of its arrays."""
    NGram.build(estimate([["a", "b"], ["b", "a", "a"]], 3)).save(path)
    stored = MappedArrays(path)
    arrays = {name: np.array(array) for name, array in stored.items()}
    arrays |= {name: altered(arrays[name]) for name, altered in change.items()}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    write_arrays(path, stored.info if info is None else info, arrays)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"info": [1]}, "it holds something else"),
        ({"info": {"kind": NGram.KIND}}, "its order is None"),
        *[
            ({"info": {"kind": NGram.KIND, "order": order}}, f"its order is {order!r}")
            for order in ("3", 0, 13, 10**9, True)
        ],
        ({"keys": lambda x: None}, "it has no keys"),
        ({"keys": lambda x: x.astype(np.uint64)}, "its keys are uint64 .* expected int64"),
        ({"keys": lambda x: x[:, None]}, "its keys are int64 on 2 axes"),
        ({"keys": lambda x: x[:0]}, "its keys don't begin with all words"),
        ({"keys": lambda x: x + 1}, "its keys don't begin with all words"),
        ({"keys": lambda x: x[[*range(len(x) - 2), -1, -2]]}, "its keys don't ascend"),
        ({"keys": lambda x: np.r_[x[:-1], 10**6]}, "its keys are out of range"),
        ({"log_probs": lambda x: x * np.nan}, "its log_probs are out of range"),
        ({"log_probs": lambda x: x[:-1]}, "it has 16 log_probs, expected 17"),
        ({"targets": lambda x: x + 1000}, "its targets are out of range"),
        ({"targets": lambda x: x - 1}, "its targets are out of range"),
        ({"shorter": lambda x: x + 1000}, "its shorter are out of range"),
        ({"backoffs": lambda x: x + np.inf}, "its backoffs are out of range"),
        ({"word_offsets": lambda x: x * 0}, "its word_offsets don't fit its words"),
        ({"word_offsets": lambda x: x[:1]}, "its word_offsets don't fit its words"),
        ({"words": lambda x: x[:-1]}, "its word_offsets don't fit its words"),
        ({"words": lambda x: np.where(x == ord("b"), ord("a"), x).astype(np.uint8)}, "twice"),
    ],
)
def test_a_file_with_right_checksums_and_wrong_content_is_refused(tmp_path, change, told):
    store_altered(tmp_path / "model.lm")
    NGram.load(tmp_path / "model.lm")
    store_altered(tmp_path / "model.lm", **change)
    with pytest.raises(UserError, match=rf"or damaged \(.*{told}.*\)\. Name a file from"):
        NGram.load(tmp_path / "model.lm")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_number_is_altered_the_file_is_refused_or_can_be_asked(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("models") / "model.lm"
    name = data.draw(st.sampled_from([*NGram.TENSORS, "words", "word_offsets"]))

    def altered(array):
        place = data.draw(st.integers(0, len(array) - 1))
        special = [np.nan, np.inf] if array.dtype.kind == "f" else [-1, 2**31 - 1, -(2**31)]
        with np.errstate(over="ignore"):
            value = data.draw(st.one_of(st.integers(-20, 300), st.sampled_from(special)))
            array[place] = np.array(value).astype(array.dtype)
        return array

    store_altered(path, **{name: altered})
    try:
        model = NGram.load(path)
    except UserError:
        return
    assert not np.isnan(model.sentence([*model.words, "zzz", *model.words[::-1]])).any()


def test_kenlm_gives_the_same_scores(tmp_path, shared_data):
    """Install it beside: pip install --target FOLDER kenlm, and PYTHONPATH=FOLDER."""
    kenlm = pytest.importorskip("kenlm")
    with lzma.open(shared_data / "text/train-clean-100.text.xz", "rt", encoding="utf-8") as file:
        text = [line.lower().split()[1:] for _, line in zip(range(3200), file, strict=False)]
    train, rest = text[:3000], text[3000:]
    for prune in ((), (0, 0, 1)):
        grams = estimate(train, 4, prune)
        write_arpa(grams, tmp_path / "model.arpa")
        model, peer = NGram.build(grams), kenlm.Model(str(tmp_path / "model.arpa"))
        largest = 0.0
        for words in rest:
            ours = np.array(model.sentence(words)) / math.log(10)
            theirs = [score for score, _, _ in peer.full_scores(" ".join(words))]
            largest = max(largest, np.abs(ours - theirs).max())
        assert largest < 1e-4
