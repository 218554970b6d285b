"""Padding never changes an utterance: for every file in configs/model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.loss import CTC
from tests.models.zoo import CONFIGS, every_config, narrow, side_by_side, utterances

LENGTHS = (23, 1, 37, 0, 8, 30, 2)
DEAF_TO_THE_FUTURE = {"causal"}
LAYERED = [c for c in CONFIGS if "n_rnn_layers" in c.read_text(encoding="utf-8")]
NAN = float("nan")


def test_every_model_config_is_covered():
    names = {path.stem for path in CONFIGS}
    assert names >= {"convnet", "convnet_small", "lstm", "deepspeech2", "deepspeech2_conv"}
    assert names >= {"cnn_gru", "recurrent", "wav2letter", "conformer_s", "conformer_m", "causal"}
    assert names >= {"resnet18", "resnet34", "resnet50", "quartznet5x5", "quartznet10x5"}


@every_config
@pytest.mark.parametrize("filling", [0.0, 1e4, NAN])
def test_an_utterance_gets_in_a_batch_what_it_gets_alone(config, filling):
    model, spoken = narrow(config), utterances(*LENGTHS)
    together = model(*side_by_side(spoken, extra_frames=9, filling=filling))
    for i, x in enumerate(spoken):
        alone = model(x[None], torch.tensor([len(x)]))
        n = int(alone.lengths[0])
        assert n == together.lengths[i]
        torch.testing.assert_close(
            together.log_probs[i, :n], alone.log_probs[0, :n], rtol=1e-5, atol=1e-5
        )


@every_config
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_the_order_and_company_of_a_batch_change_nothing(config, data):
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=2, max_size=4))
    order = data.draw(st.permutations(range(len(lengths))))
    model, spoken = narrow(config), utterances(*lengths)
    before = model(*side_by_side(spoken))
    after = model(*side_by_side([spoken[i] for i in order[:-1]]))
    for new, old in enumerate(order[:-1]):
        n = int(before.lengths[old])
        torch.testing.assert_close(
            after.log_probs[new, :n], before.log_probs[old, :n], rtol=1e-5, atol=1e-5
        )


@every_config
def test_what_lies_in_the_padding_never_matters_to_training(config):
    """Neither to outputs, nor to running statistics, nor to the gradient of any parameter."""
    zeros = training_step(config, extra_frames=0, filling=0.0)
    garbage = training_step(config, extra_frames=11, filling=NAN)
    assert zeros.keys() == garbage.keys()
    for name, expected in zeros.items():
        # Gradients of deep narrow networks are large, and so is their rounding.
        atol = 2e-5 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(garbage[name], expected, rtol=1e-4, atol=atol, msg=name)


def training_step(config, extra_frames: int, filling: float) -> dict[str, torch.Tensor]:
    model = narrow(config, dropout=0.0).train()
    features, lengths = side_by_side(utterances(*LENGTHS), extra_frames, filling)
    emissions = model(features, lengths)
    tokens = torch.tensor([[1]] * len(LENGTHS))
    loss = CTC()(emissions, tokens, torch.ones(len(LENGTHS), dtype=torch.int64))
    loss.total.backward()
    gradients = {f"gradient of {n}": p.grad for n, p in model.named_parameters()}
    return {"loss": loss.per_utterance, **dict(model.named_buffers()), **gradients}


@every_config
def test_every_parameter_learns(config):
    # Dropout may silence narrow layers by chance, and is no parameter.
    step = training_step(config, extra_frames=3, filling=0.0)
    gradients = {name: g for name, g in step.items() if name.startswith("gradient")}
    assert gradients
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.isfinite().all() and gradient.any(), name


@every_config
def test_an_utterance_hears_itself_from_end_to_end_and_nobody_else(config):
    """Recurrence runs over time, in both directions unless it must not, never over the batch."""
    model, deaf = narrow(config), config.stem in DEAF_TO_THE_FUTURE
    features, lengths = side_by_side(utterances(40, 40, 33))
    features.requires_grad_()
    emissions = model(features, lengths)
    last = int(emissions.lengths[1]) - 1
    for frame in (0, last):
        (gradient,) = torch.autograd.grad(
            emissions.log_probs[1, frame, 3], features, retain_graph=True
        )
        assert gradient[1, 0].any()
        assert bool(gradient[1, -4:].any()) == (frame == last or not deaf)
        assert not gradient[0].any() and not gradient[2].any()


@pytest.mark.parametrize("n_rnn_layers", range(1, 11))
@pytest.mark.parametrize("config", LAYERED, ids=lambda path: path.stem)
def test_recurrence_runs_over_time_at_every_depth(config, n_rnn_layers):
    model = narrow(config, n_rnn_layers=n_rnn_layers, n_cnn_layers=1, n_stages=1)
    features, lengths = side_by_side(utterances(20, 14, 9))
    forwards, backwards = model(features, lengths), model(features.flip(0), lengths.flip(0))
    for i, n in enumerate(forwards.lengths.tolist()):
        torch.testing.assert_close(
            backwards.log_probs[-1 - i, :n], forwards.log_probs[i, :n], rtol=1e-5, atol=1e-5
        )


@every_config
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("lengths", [(0,), (0, 0), (1,), (1, 0)])
def test_a_batch_of_almost_nothing_passes(config, training, lengths):
    model = narrow(config, dropout=0.0).train(training)
    emissions = model(*side_by_side(utterances(*lengths)))
    assert emissions.lengths.tolist() == list(lengths)
    for i, n in enumerate(lengths):
        assert emissions.log_probs[i, :n].isfinite().all()
    emissions.log_probs.sum().backward()
    assert all(b.isfinite().all() for b in model.buffers())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_config
def test_a_silent_utterance_leaves_the_others_alone_in_training(config):
    with_it, without = (
        narrow(config, dropout=0.0).train()(*side_by_side(utterances(*lengths)))
        for lengths in ((21, 34, 0), (21, 34))
    )
    for i, n in enumerate(without.lengths.tolist()):
        torch.testing.assert_close(
            with_it.log_probs[i, :n], without.log_probs[i, :n], rtol=1e-5, atol=1e-5
        )
