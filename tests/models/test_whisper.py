"""Whisper's encoder beside PyTorch's own Transformer layers, its weights and its freezing."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from src.models import Whisper
from src.models.whisper import OTHER_NAMES, positions
from src.utils.errors import UserError
from tests.models.zoo import side_by_side, stir, utterances

SMALL = {"width": 12, "n_heads": 3, "n_layers": 2, "dropout": 0.0}


def small(**keys) -> Whisper:
    torch.manual_seed(3)
    return stir(Whisper(40, 7, **SMALL | keys))


def peer_block(block) -> nn.TransformerEncoderLayer:
    """PyTorch's layer with the same weights; its keys have a bias, of 0."""
    layer = nn.TransformerEncoderLayer(
        12, 3, dim_feedforward=48, activation="gelu", batch_first=True, norm_first=True, dropout=0.0
    )
    attn = block.attn
    state = {
        "self_attn.in_proj_weight": torch.cat(
            [attn.query.weight, attn.key.weight, attn.value.weight]
        ),
        "self_attn.in_proj_bias": torch.cat([attn.query.bias, torch.zeros(12), attn.value.bias]),
        "self_attn.out_proj.weight": attn.out.weight,
        "self_attn.out_proj.bias": attn.out.bias,
    }
    modules = {"linear1": block.mlp[0], "linear2": block.mlp[2]}
    modules |= {"norm1": block.attn_ln, "norm2": block.mlp_ln}
    for name, module in modules.items():
        state |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    layer.load_state_dict(state)
    return layer.eval()


@torch.no_grad()
def test_the_encoder_is_a_transformer_of_pytorchs_layers():
    model = small().eval()
    (x,) = utterances(31)
    encoder = model.encoder
    y = functional.gelu(encoder.conv1(x.T[None]))
    y = functional.gelu(encoder.conv2(y)).transpose(1, 2)
    y = y + positions(16, 12, torch.device("cpu"))
    for block in encoder.blocks:
        y = peer_block(block)(y)
    expected = model.head(encoder.ln_post(y)).log_softmax(-1)
    torch.testing.assert_close(model(x[None], torch.tensor([31])).log_probs, expected)


def test_positions_are_sines_then_cosines_of_falling_frequencies():
    table = positions(3, 6, torch.device("cpu"))
    angles = torch.tensor([[t * f for f in (1.0, 0.01, 0.0001)] for t in range(3)])
    torch.testing.assert_close(table, torch.cat([angles.sin(), angles.cos()], dim=1))


def named_elsewhere(name: str) -> str:
    """As Hugging Face calls our parameter `name`."""
    for theirs, ours in reversed(OTHER_NAMES[2:]):
        name = name.replace(ours, theirs)
    return "model.encoder." + name


@pytest.mark.parametrize("rename", [str, named_elsewhere])
def test_published_weights_are_taken_under_either_name(tmp_path, rename):
    giver, taker = small(), Whisper(40, 7, **SMALL)
    weights = {rename(k): v.half() for k, v in giver.encoder.state_dict().items()}
    assert ("model.encoder.layers.1.fc2.weight" in weights) == (rename is named_elsewhere)
    save_file(weights | {"model.decoder.layers.0.fc1.weight": torch.zeros(2)}, tmp_path / "w.st")
    taker = Whisper(40, 7, weights=str(tmp_path / "w.st"), **SMALL)
    for name, value in taker.encoder.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, giver.encoder.state_dict()[name].half().float())


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda w: w.pop("ln_post.bias"), "no weight ln_post.bias"),
        (lambda w: w.update({"conv1.weight": torch.zeros(12, 80, 3)}), r"\[12, 80, 3\].*another"),
        (lambda w: w["conv2.bias"].fill_(torch.nan), "conv2.bias holds NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, damage, told):
    weights = {k: v.clone() for k, v in small().encoder.state_dict().items()}
    damage(weights)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=told):
        Whisper(40, 7, weights=str(tmp_path / "w.safetensors"), **SMALL)


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not tensors at all")
    for name, told in (("w.safetensors", "not a safetensors file"), ("x", "no such file")):
        with pytest.raises(UserError, match=f"model.weights=.*{told}"):
            Whisper(40, 7, weights=str(tmp_path / name), **SMALL)


def learning(model: Whisper) -> set[str]:
    """Parts that got a gradient from one training step: head, ln_post, blocks.1, …, conv1."""
    model.zero_grad(set_to_none=True)
    model.train()(*side_by_side(utterances(9, 20))).log_probs[0, :3].square().sum().backward()
    names = {n.removeprefix("encoder.") for n, p in model.named_parameters() if p.grad is not None}
    return {".".join(n.split(".")[: 2 if n.startswith("blocks") else 1]) for n in names}


HEAD, TOP, BOTTOM = {"head"}, {"ln_post", "blocks.1"}, {"blocks.0"}
ALL = HEAD | TOP | BOTTOM | {"conv1", "conv2"}


@pytest.mark.parametrize(
    ("n_tuned", "expected"), [(0, HEAD), (1, HEAD | TOP), (2, HEAD | TOP | BOTTOM), (None, ALL)]
)
def test_only_the_uppermost_blocks_learn(n_tuned, expected):
    assert learning(small(n_tuned_layers=n_tuned)) == expected


def test_blocks_thaw_one_after_another_and_a_resumed_run_knows_where_it_was():
    model = small(unfreeze_every=2)
    seen = [learning(model) for _ in range(4)]
    resumed = small(unfreeze_every=2)
    resumed.load_state_dict(model.state_dict())
    seen += [learning(resumed) for _ in range(4)]
    assert seen[::2] == [HEAD, HEAD | TOP, HEAD | TOP | BOTTOM, ALL]
    assert seen[1::2] == seen[::2]
    model.eval()(*side_by_side(utterances(9)))
    assert int(model.n_batches) == 4  # listening is not training


@pytest.mark.parametrize("training", [False, True])
def test_grus_of_the_head_learn_and_hear_no_padding(training):
    model = small(n_rnn_layers=2, rnn_width=5).train(training)
    (short, long) = utterances(9, 20)
    beside = model(*side_by_side([short, long]))
    alone = model(short[None], torch.tensor([9]))
    torch.testing.assert_close(beside.log_probs[:1, :5], alone.log_probs)
    assert learning(model) == ALL | {"rnns", "norms"}
