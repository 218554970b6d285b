"""How the recurrent language model learns: all of the text, to the entropy, and again the same."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.language_models import NeuralLM
from src.language_models.neural_training import Learner, Recipe, Text, rate
from src.utils.errors import UserError

PIECES = ("▁a", "▁b", "▁c")


def learner(sentences, seed: int = 0, **recipe) -> Learner:
    torch.manual_seed(7)
    model = NeuralLM(PIECES, width=32, n_layers=1, dropout=0.1)
    return Learner(model, Text(sentences), Recipe(seed=seed, **recipe), "float32")


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    n_tokens=st.integers(1, 100),
    seed=st.integers(0, 99),
)
def test_every_sentence_comes_once_a_pass_and_none_overfills_a_batch(lengths, n_tokens, seed):
    text = Text([[1] * n for n in lengths])
    assert len(text) == sum(n > 0 for n in lengths) and text.n_tokens == sum(lengths)
    if not len(text):
        return
    batches = text.batches(n_tokens, seed)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(text)))
    for batch in batches:
        padded = len(batch) * (text.lengths[batch].max() + 1)
        assert len(batch) == 1 or padded <= n_tokens


def test_the_order_is_the_seed_s_and_lengths_are_mostly_alike():
    lengths = np.random.default_rng(0).integers(1, 40, 3000)
    text = Text([[1] * n for n in lengths])
    batches = text.batches(400, seed=1)
    for a, b in zip(batches, text.batches(400, seed=1), strict=True):
        assert a.tolist() == b.tolist()
    assert [b.tolist() for b in batches] != [b.tolist() for b in text.batches(400, seed=2)]
    padded = sum(len(b) * text.lengths[b].max() for b in batches)
    assert padded < 1.1 * text.n_tokens


def test_long_sentences_are_cut_and_not_lost():
    text = Text([list(range(1, 8)), [1]], longest=3)
    assert [part.tolist() for part in text] == [[1, 2, 3], [4, 5, 6], [7], [1]]


def test_it_learns_what_can_be_foretold_and_no_more():
    # After a or b, a fair coin, comes c, then the end: ln 2 of entropy a sentence.
    sentences = [[1 + i % 2, 3] for i in range(400)]
    job = learner(sentences, n_epochs=6, batch_tokens=60, lr=1e-2)
    job.run(lambda loss, n: None)
    job.model.eval()
    a, b = job.model.score([[1, 3], [2, 3]]).tolist()
    assert a == pytest.approx(math.log(0.5), abs=0.15)
    assert b == pytest.approx(math.log(0.5), abs=0.15)
    assert float(job.model.score([[3, 1]])) < math.log(0.01)


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_what_goes_on_from_a_state_ends_as_what_never_stopped(stop):
    sentences = [[1 + i % 3] * (1 + i % 7) for i in range(60)]
    whole = learner(sentences, n_epochs=2, batch_tokens=50)
    whole.run(lambda loss, n: None)
    assert whole.step == whole.total_steps > 10 and whole.epoch() == 2

    def stops(loss: float, n: int) -> None:
        if first.step == stop:
            raise KeyboardInterrupt

    first = learner(sentences, n_epochs=2, batch_tokens=50)
    with pytest.raises(KeyboardInterrupt):
        first.run(stops)
    second = learner(sentences, n_epochs=2, batch_tokens=50)
    second.restore(first.state())
    seen = []
    second.run(lambda loss, n: seen.append(n))
    assert len(seen) == whole.total_steps - stop
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_gradient_that_is_not_finite_ends_it_before_the_weights_are_spoilt():
    job = learner([[1, 2, 3]] * 50, n_epochs=4, batch_tokens=40)

    def spoils(loss: float, n: int) -> None:
        if job.step == 5:
            job.model.bias.register_hook(lambda gradient: gradient * math.inf)

    with pytest.raises(UserError, match=r"not finite after step 5; .* a lower learning rate"):
        job.run(spoils)
    assert job.step == 5 < job.total_steps
    assert all(weights.isfinite().all() for weights in job.model.parameters())


def test_the_rate_rises_in_a_line_and_falls_to_nothing():
    rates = [rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5) and rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate(0, 1) == 1.0
