"""Layers in between that are told what was said (InterCTC), in models, steps and commands."""

import pytest
import torch
from torch.nn import functional

from src.batch import DeepEmissions, Emissions
from src.datasets import collate
from src.loss import CTC
from src.models import Conformer, ConvNet, DeepSpeech2
from src.models.parts.layers import MaskedBatchNorm
from src.recognizer import Recognizer
from src.trainer import Stepper, parameter_groups
from src.transforms import Identity
from src.utils.errors import UserError
from tests.cli.in_process import call
from tests.trainer.conftest import make_recognizer
from tests.trainer.tones import Tones

UTTERANCES = [Tones(16)[i] for i in range(6)]
MODELS = {
    "conformer": lambda layers: Conformer(
        80, 5, width=16, n_layers=3, n_heads=2, kernel_size=3, dropout=0.0, intermediate=layers
    ),
    "convnet": lambda layers: ConvNet(
        80, 5, channels=(2, 2, 3, 3), rnn_width=8, n_rnn_layers=3, intermediate=layers
    ),
    "deepspeech2": lambda layers: DeepSpeech2(
        80, 5, n_cnn_layers=1, n_rnn_layers=3, n_channels=2, width=8, dropout=0.0,
        intermediate=layers,
    ),
}  # fmt: skip


@pytest.fixture(params=sorted(MODELS))
def make(request):
    return MODELS[request.param]


def in_training(model):
    """`model` in training, but for the batch's statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, MaskedBatchNorm):
            module.eval()
    return model


def test_only_training_reads_layers_in_between(make):
    torch.manual_seed(0)
    model, speech = make((1, 2)), (torch.randn(2, 40, 80), torch.tensor([40, 23]))
    deep, plain = in_training(model)(*speech), model.eval()(*speech)
    assert isinstance(plain, Emissions) and isinstance(deep, DeepEmissions)
    assert torch.equal(deep.lengths, plain.lengths) and len(deep.between) == 2
    torch.testing.assert_close(deep.log_probs[0], plain.log_probs[0])
    for layer in deep.between:
        assert layer.shape == plain.log_probs.shape
        torch.testing.assert_close(layer.exp().sum(2), torch.ones(layer.shape[:2]))
        assert not torch.allclose(layer, deep.log_probs)


def test_a_layer_in_between_is_what_a_shorter_model_would_say(make):
    torch.manual_seed(0)
    model, speech = make((2,)).train(), (torch.randn(2, 40, 80), torch.tensor([40, 23]))
    said = model(*speech).between[0]
    if isinstance(model, ConvNet):
        del model.rnns[2], model.norms[1]
    else:
        del (model.blocks if isinstance(model, Conformer) else model.rnn)[2]
    torch.testing.assert_close(said, model(*speech).log_probs)


def test_a_step_weighs_both_losses(make):
    """One step of SGD, against the same by hand."""
    share, recognizers = 0.4, []
    for _ in range(2):
        torch.manual_seed(3)
        recognizers.append(Recognizer(make_recognizer().front_end, make((1, 2))).train())
    by_trainer, by_hand = recognizers
    batch = collate(UTTERANCES)
    optimizer = torch.optim.SGD(parameter_groups(by_trainer, 0.0, 0.1), lr=0.1)
    stepper = Stepper(
        by_trainer, Identity(), CTC(), optimizer,
        max_grad_norm=1e9, precision="float32", seed=1, intermediate=share,
    )  # fmt: skip
    report = stepper.step([batch], 0)

    log_probs, lengths, between = by_hand.model(
        *by_hand.features(batch.waveforms, batch.waveform_lengths)
    )
    nats = [
        functional.ctc_loss(
            x.transpose(0, 1), batch.tokens, lengths, batch.token_lengths, reduction="sum"
        )
        for x in (log_probs, *between)
    ]
    n_tokens = batch.token_lengths.sum()
    (((1 - share) * nats[0] + share * (nats[1] + nats[2]) / 2) / n_tokens).backward()
    torch.optim.SGD(by_hand.parameters(), lr=0.1).step()
    assert report.loss == pytest.approx(nats[0].item() / n_tokens.item(), rel=1e-5)
    for a, b in zip(by_trainer.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layers", [[0], [3], [1, 1], "ab", [1.5]])
def test_layers_that_are_not_below_the_last_are_refused(make, layers):
    with pytest.raises(UserError, match=r"model\.intermediate"):
        make(layers)


@pytest.mark.parametrize("share", [0, 1, -0.3])
def test_a_share_that_leaves_a_loss_out_is_refused(share, tmp_path):
    outcome = call("train", "-cn=convnet", f"trainer.intermediate={share}", f"run_dir={tmp_path}")
    assert f"trainer.intermediate={share}: expected a number between 0 and 1" in outcome.refusal


def test_the_command_line_trains_with_it_and_with_two_views(shared_data, tmp_path):
    outcome = call(
        "train", "-cn=deepspeech2", "device=cpu", f"run_dir={tmp_path / 'run'}",
        f"dataset.root={shared_data}", f"dataset.index_dir={tmp_path}", "loader.n_workers=0",
        "dataset.train.limit=4", "dataset.validation.limit=4", "dataset.train.sort=duration",
        "dataset.validation.sort=duration", "model.n_channels=4", "model.width=16",
        "model.n_cnn_layers=1", "model.n_rnn_layers=3", "model.intermediate=[1,2]",
        "trainer.consistency=0.2", "trainer.n_epochs=1", "trainer.n_examples=0",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
