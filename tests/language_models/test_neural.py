"""The recurrent language model: its probabilities one by one, and its files."""

import itertools
import json
import math
import re

import pytest
import torch
from safetensors.torch import save_file

from src.language_models import NeuralLM
from src.language_models.neural import EDGE, NO_TARGET, side_by_side
from src.utils.errors import UserError

PIECES = ("▁a", "b", "▁")
SENTENCES = [[1, 2, 3], [], [2, 2, 2, 2, 1, 3, 3], [3]]


def random_model(seed: int = 0, **settings) -> NeuralLM:
    torch.manual_seed(seed)
    model = NeuralLM(PIECES, **{"width": 16, "n_layers": 2} | settings)
    torch.nn.init.normal_(model.embedding.weight, std=0.5)
    torch.nn.init.normal_(model.bias)
    return model.eval()


def one_by_one(model: NeuralLM, sentence: list[int]) -> float:
    """The same probability, each token foretold from a state that is carried along."""
    total, state = 0.0, None
    with torch.no_grad():
        for before, token in itertools.pairwise([EDGE, *sentence, EDGE]):
            row = model.embedding.weight[before] * 4  # the root of the width, 16
            read, state = model.layers(row[None, None], state)
            logits = read[0, 0] @ model.embedding.weight.T + model.bias
            total += float(logits.log_softmax(0)[token])
    return total


def test_a_sentence_scores_what_its_tokens_do_one_by_one():
    model = random_model()
    expected = [one_by_one(model, sentence) for sentence in SENTENCES]
    assert model.score(SENTENCES).tolist() == pytest.approx(expected, abs=1e-5)
    assert model.score([]).shape == (0,)


def test_all_sentences_together_have_probability_one():
    model = random_model(1)
    model.bias.data[EDGE] += 3.0  # so that long ones are rare
    every = [list(s) for n in range(7) for s in itertools.product((1, 2, 3), repeat=n)]
    total = float(model.score(every).exp().sum())
    assert 0.97 < total < 1.0 + 1e-6


def test_what_is_scored_beside_a_sentence_changes_nothing(monkeypatch):
    model = random_model()
    together = model.score(SENTENCES)
    monkeypatch.setattr("src.language_models.neural.TOGETHER", 3)
    assert torch.allclose(model.score(SENTENCES), together, atol=1e-5)
    alone = torch.cat([model.score([sentence]) for sentence in SENTENCES])
    assert torch.allclose(alone, together, atol=1e-5)


def test_dropout_works_in_training_and_never_in_scoring():
    model = random_model(dropout=0.5).train()
    inputs, _ = side_by_side(SENTENCES)
    assert not torch.equal(model(inputs), model(inputs))
    assert torch.equal(model.score(SENTENCES), model.score(SENTENCES))


def test_what_is_read_and_what_is_foretold_are_one_token_apart():
    inputs, targets = side_by_side([[5, 6], []])
    assert inputs.tolist() == [[EDGE, 5, 6], [EDGE, EDGE, EDGE]]
    assert targets.tolist() == [[5, 6, EDGE], [EDGE, NO_TARGET, NO_TARGET]]


def test_a_file_holds_all_of_it(tmp_path):
    model = random_model(n_layers=1, width=24)
    model.save(tmp_path / "deep" / "neural.safetensors")
    again = NeuralLM.load(tmp_path / "deep" / "neural.safetensors")
    assert again.pieces == PIECES and again.settings == model.settings and not again.training
    assert torch.equal(again.score(SENTENCES), model.score(SENTENCES))


def facts(**changes) -> dict:
    settings = {"width": 16, "n_layers": 2, "dropout": 0.2}
    return {"kind": "neural language model, 1", "settings": settings, "pieces": PIECES} | changes


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "something"}, "holds something else"),
        ({"settings": {"width": 10**9, "n_layers": 2, "dropout": 0.2}}, "width is 1000000000"),
        ({"settings": {"width": 16, "n_layers": True, "dropout": 0.2}}, "n_layers is True"),
        ({"settings": {"width": 8192, "n_layers": 32, "dropout": 0.2}}, "size mismatch"),
        ({"settings": {"width": 24, "n_layers": 2, "dropout": 0.2}}, "size mismatch"),
        ({"settings": {"width": 16}}, "n_layers"),
        *[
            ({"settings": {"width": 16, "n_layers": 2, "dropout": dropout}}, f"dropout is {told}")
            for dropout, told in ((math.nan, "nan"), (1.5, "1.5"), ("0.1", "0.1"), (True, "True"))
        ],
        ({"pieces": ["a"]}, "size mismatch"),
        ({"pieces": [1, 2, 3]}, "no texts"),
    ],
)
def test_a_file_that_tells_something_else_than_it_holds_is_refused(tmp_path, changes, told):
    path = tmp_path / "neural.safetensors"
    weights = dict(random_model().state_dict())
    save_file(weights, path, {"language_model": json.dumps(facts())})
    NeuralLM.load(path)
    save_file(weights, path, {"language_model": json.dumps(facts(**changes))})
    with pytest.raises(UserError, match=f"{re.escape(str(path))}: not a neural .*{told}"):
        NeuralLM.load(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_weights_of_several_types_are_refused(tmp_path, dtype):
    path = tmp_path / "neural.safetensors"
    weights = dict(random_model().state_dict())
    weights["bias"] = weights["bias"].to(dtype)
    save_file(weights, path, {"language_model": json.dumps(facts())})
    with pytest.raises(UserError, match=f"weights of several types: .*{dtype}"):
        NeuralLM.load(path)
    random_model().to(dtype).save(path)  # of one type they can be used
    assert NeuralLM.load(path).score(SENTENCES).isfinite().all()


def test_files_that_are_none_or_damaged_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no such language model; python -m scripts\.train_neural"):
        NeuralLM.load(tmp_path / "nothing.safetensors")
    path = tmp_path / "neural.safetensors"
    model = random_model()
    model.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a neural language model, or damaged"):
        NeuralLM.load(path)
    save_file({"x": torch.zeros(2)}, path)  # any other file of safetensors
    with pytest.raises(UserError, match="not a neural language model, or damaged"):
        NeuralLM.load(path)
    model.bias.data[1] = math.nan
    model.save(path)
    with pytest.raises(UserError, match="NaN or infinite"):
        NeuralLM.load(path)
