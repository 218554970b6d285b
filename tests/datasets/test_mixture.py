"""Several corpora as one: exact shares, nobody missing, the same order after a resumption."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets import Batches, Mixture, cached
from src.datasets.mixture import counts_of
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.tiny_corpora import sound

SIZES = {"small": 3, "large": 12}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Lists of 3 and 12 utterances whose durations tell who they are."""
    folder = tmp_path_factory.mktemp("lists")
    for name, size in SIZES.items():
        lines = ["id,path,text,split"]
        for i in range(size):
            path = sound(folder / name / f"{i}.wav", 0.05 + 0.001 * i + 0.1 * (name == "large"))
            lines.append(f"u{i},{path},{name},train")
        (folder / f"{name}.csv").write_text("\n".join(lines))
    return [str(folder / f"{name}.csv") for name in SIZES]


def mix(roots, **keys) -> Mixture:
    return Mixture(roots, "train", Characters(), validation_share=0.0, test_share=0.0, **keys)


def n_of(corpus: Mixture, name: str) -> int:
    return sum(told.startswith(f"{name}+") for told in corpus.ids)


def test_without_weights_each_utterance_comes_once(roots):
    corpus = mix(roots)
    assert len(set(corpus.ids)) == len(corpus) == 15
    assert (n_of(corpus, "small"), n_of(corpus, "large")) == (3, 12)


def test_an_utterance_is_that_of_its_corpus_under_a_longer_name(roots):
    corpus = mix(roots)
    utterance = corpus[4]
    assert (utterance.id, utterance.target) == ("large+u1", "large")
    assert len(utterance.waveform) == round(corpus.durations_s[4] * 16000) == 2416
    assert corpus.describe(4).tokens == utterance.tokens
    assert corpus.source(4).name == "1.wav"


def test_shares_are_exact_and_repeats_are_even(roots):
    corpus = mix(roots, weights=[1, 1])
    assert (n_of(corpus, "small"), n_of(corpus, "large")) == (12, 12)
    assert sorted(told for told in corpus.ids if told.startswith("small+u0")) == [
        "small+u0", "small+u0+2", "small+u0+3", "small+u0+4",
    ]  # fmt: skip
    assert len(set(corpus.ids)) == 24


def test_a_corpus_is_never_cut_however_little_it_weighs(roots):
    corpus = mix(roots, weights=[3, 1])
    assert (n_of(corpus, "small"), n_of(corpus, "large")) == (36, 12)
    corpus = mix(roots, weights=[1, 100])
    assert (n_of(corpus, "small"), n_of(corpus, "large")) == (3, 300)


def test_the_seed_decides_who_comes_once_more(roots):
    found = {seed: list(mix(roots, weights=[7, 12], seed=seed).ids) for seed in range(6)}
    assert found[3] == list(mix(roots, weights=[7, 12], seed=3).ids)
    assert len({tuple(ids) for ids in found.values()}) > 1
    for ids in found.values():
        assert sum(told.startswith("small+") for told in ids) == 7
        assert {"small+u0+2", "small+u1+2", "small+u2+2"} < set(ids)  # twice each, one thrice


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.01, 100)), min_size=1, max_size=6))
def test_shares_are_within_one_utterance_and_the_epoch_is_as_short_as_can_be(corpora):
    sizes, weights = zip(*corpora, strict=True)
    counts = counts_of(sizes, weights)
    total = sum(counts)
    for size, weight, count in zip(sizes, weights, counts, strict=True):
        assert count >= size
        assert abs(count - total * weight / math.fsum(weights)) <= 1 + 1e-6
    # With two utterances for each corpus less, some corpus would lack some of its own.
    shorter = total - 2 * len(sizes)
    quotas = [shorter * weight / math.fsum(weights) for weight in weights]
    assert any(quota < size for quota, size in zip(quotas, sizes, strict=True))


def test_what_is_left_goes_to_those_who_lost_most():
    assert counts_of([9, 1], [2, 1]) == [9, 5]  # quotas 14 · 2/3 = 9.33 and 14 · 1/3 = 4.67


def test_an_epoch_resumes_where_it_was(roots):
    corpus = mix(roots, weights=[1, 2])
    batches = Batches(corpus.durations_s, 4, shuffle=True, seed=5)
    batches.set_position(epoch=2)
    whole = list(batches)
    assert sorted(row for batch in whole for row in batch) == list(range(len(corpus)))
    again = mix(roots, weights=[1, 2])
    assert list(again.ids) == list(corpus.ids)
    batches = Batches(again.durations_s, 4, shuffle=True, seed=5)
    batches.set_position(epoch=2, start_batch=3)
    assert list(batches) == whole[3:]


def test_limit_and_sort_are_of_all_together(roots):
    corpus = mix(roots, limit=5, sort="duration_desc")
    assert sorted(corpus.ids) == ["large+u0", "large+u1", "small+u0", "small+u1", "small+u2"]
    assert np.all(np.diff(corpus.durations_s) <= 0)
    assert [len(u.waveform) for u in corpus] == np.round(16000 * corpus.durations_s).tolist()


def test_repeats_are_cached_as_well(roots, tmp_path):
    corpus = mix(roots, weights=[1, 1])
    packed = cached(corpus, tmp_path, n_workers=0)
    assert list(packed.ids) == list(corpus.ids)
    np.testing.assert_allclose(packed[23].waveform / 2**15, corpus[23].waveform, atol=1e-4)


def test_what_an_epoch_holds_is_told(roots, caplog):
    with caplog.at_level("INFO"):
        mix(roots, weights=[1, 3])
    assert "mixture train: an epoch of 16 utterances: small 25.0 % (4 of 3 rows, 0.0 h)" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"weights": [1]}, r"weights=\[1\]: expected a number above 0 for each of 2 roots"),
        ({"weights": [1, 0]}, "expected a number above 0"),
        ({"weights": [1, "x"]}, "expected a number above 0"),
        ({"weights": [1, math.inf]}, "expected a number above 0"),
        ({"weights": 3}, r"weights=3: expected a number above 0 for each of 2 roots"),
        ({"weights": [1, 1e9]}, "none of 15 utterances would have 3,000,000,.*expected weights"),
    ],
)
def test_senseless_weights_are_refused(roots, keys, message):
    with pytest.raises(UserError, match=message):
        mix(roots, **keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sort": "durtion"}, "mixture train: sort=durtion; expected null, duration or"),
        ({"limit": 0}, "mixture train: limit=0; expected null or a number from 1 up"),
        ({"limit": -1}, "limit=-1"),
    ],
)
def test_limits_are_refused_as_those_of_one_corpus(roots, keys, message):
    with pytest.raises(UserError, match=message):
        mix(roots, **keys)


def test_roots_are_a_list_of_different_names(roots):
    with pytest.raises(UserError, match="the same name twice"):
        mix([roots[0], roots[0]])
    for wrong in ("a.csv", []):
        with pytest.raises(UserError, match="expected a list, such as"):
            mix(wrong)
