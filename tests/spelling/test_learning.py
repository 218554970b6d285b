"""A speller learns to spell, by cross-entropy at known places, and goes on as if never ended."""

import numpy as np
import pytest
import torch

from src.models.speller import Speller
from src.spelling import Confusions, Learner, Recipe, Written
from src.spelling.learning import mean_loss, placed
from src.spelling.written import Text
from src.utils.errors import UserError

# Heard: | a b; written: _ ▁x y z. The same sound is spelt by what stands beside it.
SPELLINGS = {"one": ((1,), (1,)), "two": ((2, 1), (2, 1)), "too": ((1, 2), (1, 3))}


def text(n: int = 400) -> Written:
    words = np.random.default_rng(0).choice([*SPELLINGS, "many"], size=n, p=[0.4, 0.3, 0.25, 0.05])
    sentences = [words[i : i + 4].tolist() for i in range(0, n, 4)]
    return Written(sentences, SPELLINGS.get, between=3)


def confusions() -> Confusions:
    """Every token is heard, with some doubt."""
    random = np.random.default_rng(1)

    def heard(tokens):
        rows = 0.8 * torch.eye(4)[tokens] + 0.2 * torch.from_numpy(random.random((len(tokens), 4)))
        return rows / rows.sum(1, keepdim=True)

    said = [random.integers(1, 4, size=8).tolist() for _ in range(100)]
    return Confusions.of((heard(tokens).float(), tokens) for tokens in said)


def learner(**recipe) -> Learner:
    torch.manual_seed(0)
    speller = Speller(4, 4, width=16, n_layers=1, n_heads=2, kernel_size=3)
    settings = {"n_steps": 150, "batch_words": 60, "lr": 0.01} | recipe
    return Learner(speller, text(), confusions(), Recipe(**settings), "float32")


def test_text_that_can_t_be_said_or_written_is_left_out():
    some = text()
    assert some.n_left_out > 5 and len(some) == 400 - 4 * some.n_left_out
    assert some.tokens() == {1, 2, 3}
    spelt = dict(SPELLINGS.values())
    batch = some.batch(100, np.random.default_rng(2))
    assert len({len(words.written) for words in batch}) == 1
    for said, words, written in batch:
        assert 6 <= len(written) <= 45 and len(said) == len(words)
        for i, pieces in enumerate(written):
            tokens = tuple(said[words == i].tolist())
            assert tokens[:1] == (3,) or i == 0
            assert spelt[tokens[i > 0 :]] == tuple(pieces.tolist())
    assert text().digest() == some.digest() != text(200).digest()
    with pytest.raises(UserError, match="Only 0 words of the text"):
        Written([["many"] * 100], SPELLINGS.get, None)


def test_rare_words_are_drawn_by_the_root_of_their_number():
    sentences = [["one"] * 99, ["two"] * 24, ["many"]]
    words = Written(sentences, SPELLINGS.get, None, more=["too", "much"], rare=1.0)
    random, found = np.random.default_rng(0), {}
    for text in [text for _ in range(100) for text in words.batch(500, random)]:
        for pieces in text.written:
            found[tuple(pieces.tolist())] = found.get(tuple(pieces.tolist()), 0) + 1
    one, two, too = (found.pop(SPELLINGS[word][1]) for word in ("one", "two", "too"))
    assert not found  # "many" and "much" can't be said
    assert words.n_more == 1
    assert one / two == pytest.approx((99.5 / 24.5) ** 0.5, rel=0.05)
    assert two / too == pytest.approx((24.5 / 0.5) ** 0.5, rel=0.1)


def test_pieces_stand_in_the_first_segments_of_their_word():
    written = [np.array(pieces) for pieces in ([5, 6], [7], [8, 9, 4])]
    words = Text(np.array([1, 1, 3, 1, 3, 1]), np.array([0, 0, 1, 1, 2, 2]), written)
    assert placed(words, np.array([1, 2, 1, 1, 1, 2])).tolist() == [5, 6, 0, 7, 0, 8, 9, 4]
    # What was not heard leaves the places to the next; at the end there is no other.
    assert placed(words, np.array([0, 1, 1, 0, 1, 1])).tolist() == [5, 6, 7, 8]
    assert placed(words, np.zeros(6, int)).tolist() == []


def test_the_loss_is_that_of_each_text_alone_whatever_the_company():
    speller = Speller(4, 4, width=16, n_layers=1, n_heads=2, kernel_size=3).eval()
    heard = [torch.rand(n, 4).softmax(-1) for n in (5, 9, 0, 1)]
    targets = [torch.arange(n) % 4 for n in (5, 9, 0, 1)]
    total = 0.0
    for one, target in zip(heard, targets, strict=True):
        if not len(one):
            continue
        log_probs = speller(one[None], torch.tensor([len(one)]))[0]
        total -= sum(float(row[i].detach()) for row, i in zip(log_probs, target, strict=True))
    loss = mean_loss(speller, heard, targets, "float32")
    assert float(loss.detach()) == pytest.approx(total / 15, rel=1e-5)
    nothing = mean_loss(speller, heard[2:3], targets[2:3], "float32")
    assert float(nothing.detach()) == 0.0


def test_it_learns_to_spell():
    one = learner(n_steps=250)
    losses = []
    one.run(losses.append)
    assert len(losses) == 250 and losses[-1] < 0.05 < 0.5 < losses[0]
    one.speller.load_state_dict(one.mean)
    texts = one.text.batch(2000, np.random.default_rng(9))
    right = 0
    for text in texts:
        heard, _ = one.confusions.say(text.said, np.random.default_rng(3))
        best = one.speller(heard[None], torch.tensor([len(heard)]))[0].argmax(1)
        right += best[best > 0].tolist() == np.concatenate(text.written).tolist()
    assert len(texts) > 40 and right > 0.8 * len(texts)


def test_a_training_that_was_ended_goes_on_as_if_it_had_not():
    whole, first, second = learner(n_steps=20), learner(n_steps=20), learner(n_steps=20)
    whole.run(lambda loss: None)

    class Enough(Exception):
        pass

    def stop(_):
        if first.step == 11:
            raise Enough

    with pytest.raises(Enough):
        first.run(stop)
    second.restore(first.state())
    second.run(lambda loss: None)
    for name, tensor in whole.mean.items():
        assert torch.equal(tensor, second.mean[name])


def test_a_loss_that_is_not_finite_ends_it_and_changes_nothing():
    one = learner(lr=1.0)
    with torch.no_grad():
        one.speller.head.weight[0, 0] = float("nan")
    before = [p.clone() for p in one.speller.parameters()]
    with pytest.raises(UserError, match="not finite after step 0; start over with a lower"):
        one.run(lambda loss: None)
    for p, q in zip(one.speller.parameters(), before, strict=True):
        assert torch.equal(p.nan_to_num(), q.nan_to_num())
