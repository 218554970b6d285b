"""wav2vec 2.0, HuBERT and WavLM beside torchaudio's encoders, their weights, their freezing."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchaudio import models
from torchaudio.models.wav2vec2.wavlm_attention import WavLMSelfAttention

from src.models import Wav2Vec2
from src.models.parts.frames import Frames
from src.models.parts.sample_convs import (
    FRAME,
    HOP,
    KERNELS,
    RECEPTIVE_FIELD,
    STRIDES,
    ChannelNorm,
    SampleConvs,
    n_heard,
)
from src.models.parts.wavlm import buckets
from src.trainer import load_checkpoint
from src.utils.errors import UserError
from tests.cli.in_process import call, infer, predictions
from tests.datasets.tiny_corpus import write_chapter
from tests.models.zoo import CONFIGS, build, side_by_side, stir, utterances

SMALL = {"n_channels": 8, "width": 32, "n_heads": 4, "n_layers": 2, "dropout": 0.0}
LARGE = {"conv_norm": "layer", "conv_bias": True, "norm_first": True}
KINDS = {
    "wav2vec2_base": {},
    "wav2vec2_large": LARGE,
    "wavlm_base": {"distances": True},
    "wavlm_large": LARGE | {"conv_bias": False, "distances": True},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def small(**keys) -> Wav2Vec2:
    torch.manual_seed(3)
    return stir(Wav2Vec2(FRAME, 7, **SMALL | keys))


def peer(kind: str) -> nn.Module:
    """torchaudio's model of the same size and kind, its values all in use."""
    keys = KINDS[kind]
    buckets_of_distances = {"encoder_num_buckets": 320, "encoder_max_distance": 800}
    torch.manual_seed(4)
    model = (models.wavlm_model if keys.get("distances") else models.wav2vec2_model)(
        extractor_mode=f"{keys.get('conv_norm', 'group')}_norm",
        extractor_conv_layer_config=[(8, k, s) for k, s in zip(KERNELS, STRIDES, strict=True)],
        extractor_conv_bias=keys.get("conv_bias", False),
        encoder_embed_dim=32,
        encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=128,
        encoder_pos_conv_groups=16,
        encoder_num_layers=2,
        encoder_num_heads=4,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=128,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=keys.get("norm_first", False),
        encoder_layer_drop=0.0,
        aux_num_out=29,
        **buckets_of_distances if keys.get("distances") else {},
    )
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "gru_rel_pos_const" in name or "rel_attn_embed" in name or "layers" not in name:
                p += torch.rand_like(p)  # torchaudio starts from ones and from small ones
    return stir(model).eval()


def as_torchaudio_published(model: nn.Module) -> dict[str, torch.Tensor]:
    """Its state dict, the kernel over positions by the names it had before parametrisations."""
    old = {"parametrizations.weight.original0": "weight_g"}
    old |= {"parametrizations.weight.original1": "weight_v"}
    state = {}
    for name, value in model.state_dict().items():
        for new, before in old.items():
            name = name.replace(new, before)
        state[name] = value
    return state


def as_hugging_face(model: nn.Module) -> dict[str, torch.Tensor]:
    """The same weights as `transformers` calls them, with some that only its models have."""
    prefix = "wavlm." if "in_proj_weight" in str([*model.state_dict()]) else "wav2vec2."
    state = {"lm_head.bias": torch.zeros(29), f"{prefix}masked_spec_embed": torch.zeros(32)}
    for name, value in model.state_dict().items():
        name = name.replace("encoder.transformer.", "encoder.")
        name = name.replace("encoder.feature_projection.", "feature_projection.")
        name = name.replace("attention.attention.", "attention.")
        if "in_proj_" in name:
            for part, third in zip("qkv", value.chunk(3), strict=True):
                state[prefix + name.replace("in_proj_", f"{part}_proj.")] = third.clone()
        elif not name.startswith("aux."):
            state[prefix + name] = value.contiguous()
    return state


def saved(model: nn.Module, style: str, folder) -> str:
    """Path of the weights in one of the ways that they are published in."""
    if style == "hugging_face":
        save_file(as_hugging_face(model), folder / "model.safetensors")
        return str(folder / "model.safetensors")
    if style == "torchaudio_old":
        torch.save(as_torchaudio_published(model), folder / "old.pth")
        return str(folder / "old.pth")
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return str(folder / "pytorch_model.bin")


@torch.no_grad()
@pytest.mark.parametrize("style", ["torchaudio", "torchaudio_old", "hugging_face"])
@every_kind
def test_published_weights_make_torchaudios_encoder(tmp_path, kind, style):
    theirs = peer(kind)
    path = saved(theirs, style, tmp_path)
    ours = Wav2Vec2(FRAME, 7, weights=path, **SMALL | KINDS[kind]).eval()
    theirs.aux = None
    for n_frames in (1, 30, 31, 170):
        samples = 0.1 * torch.randn(1, n_frames, FRAME)
        found, frames = ours.encoder(samples, Frames(torch.tensor([n_frames]), n_frames), 3)
        silence = torch.zeros(1, n_heard(-(-n_frames // 2)) - n_frames * FRAME)
        expected, _ = theirs(torch.cat([samples.flatten(1), silence], dim=1))
        assert found.shape == expected.shape and frames.lengths.tolist() == [found.shape[1]]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert float(expected.std()) > 0.1


WHOLE = {
    "wav2vec2_base": models.wav2vec2_base,
    "hubert_base": models.hubert_base,
    "wavlm_base": models.wavlm_base,
    "wav2vec2_large": models.wav2vec2_large_lv60k,
    "wavlm_large": models.wavlm_large,
}


@pytest.mark.parametrize("name", WHOLE)
def test_each_config_is_as_large_as_torchaudios_model_and_as_its_header_tells(name):
    config = next(path for path in CONFIGS if path.stem == name)
    with torch.device("meta"):
        ours, theirs = build(config, FRAME, 29), WHOLE[name](aux_num_out=29)
    n_blocks, width = len(ours.encoder.blocks), ours.head.in_features
    found, expected = (sum(p.numel() for p in model.parameters()) for model in (ours, theirs))
    # Theirs have a bias of each key, and the kernel over positions with its lengths apart.
    assert found == expected - n_blocks * width - 128
    header = config.read_text(encoding="utf-8").split("_target_")[0]
    assert f"{found / 1e6:.1f} million weights" in " ".join(header.replace("#", "").split())


def test_an_emitted_frame_hears_400_samples_from_its_beginning_on():
    """What the constants say follows from kernels and strides, and is what the network does."""
    hop, heard = 1, 1
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        heard, hop = heard + (kernel - 1) * hop, hop * stride
    assert (heard, hop) == (RECEPTIVE_FIELD, HOP) == (400, 320)
    convs = stir(SampleConvs(4, "layer", bias=True))
    samples = torch.randn(1, 9, FRAME, requires_grad=True)
    x, _ = convs(samples, Frames(torch.tensor([9]), 9))
    assert x.shape == (1, 5, 4)
    for t in range(5):
        (gradient,) = torch.autograd.grad(x[0, t, 1], samples, retain_graph=True)
        places = gradient.flatten().nonzero().flatten().tolist()
        assert (places[0], places[-1]) == (320 * t, min(320 * t + 399, 9 * FRAME - 1))


def test_the_silence_behind_an_utterance_is_a_frame_and_a_half_at_most():
    for n_frames in range(1, 201):
        silence = n_heard(-(-n_frames // 2)) - n_frames * FRAME
        assert silence == (240 if n_frames % 2 else 80)


def test_each_utterance_is_normalised_over_its_own_steps():
    norm = stir(ChannelNorm(5))
    x, n = torch.randn(3, 5, 40) + 100.0, torch.tensor([40, 0, 23])
    padded = x.clone().requires_grad_()
    found = norm(padded, Frames(n, 40))
    for i in (0, 2):
        alone = x[i : i + 1, :, : n[i]].clone().requires_grad_()
        expected = nn.functional.group_norm(alone, 5, norm.weight, norm.bias)
        torch.testing.assert_close(found[i, :, : n[i]], expected[0], rtol=1e-4, atol=1e-4)
        (wanted,) = torch.autograd.grad((expected**3).sum(), alone)
        (got,) = torch.autograd.grad((found[i, :, : n[i]] ** 3).sum(), padded, retain_graph=True)
        torch.testing.assert_close(got[i, :, : n[i]], wanted[0], rtol=1e-3, atol=1e-3)
        assert not got[i, :, n[i] :].any()
    assert found.isfinite().all()


def test_distances_fall_into_torchaudios_buckets():
    theirs = WavLMSelfAttention(8, 2, num_buckets=320, max_distance=800)
    distances = torch.arange(-2_000, 2_001)
    assert torch.equal(buckets(distances), theirs._relative_positions_bucket(distances))
    by_hand = {0: 0, -1: 1, 1: 161, -79: 79, 79: 239, -80: 80, -2_000: 159, 2_000: 319}
    assert buckets(torch.tensor([*by_hand])).tolist() == [*by_hand.values()]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda w: w.pop("encoder.transformer.layer_norm.bias"), "no weight norm.bias"),
        (
            lambda w: w.pop(
                "encoder.transformer.pos_conv_embed.conv.parametrizations.weight.original0"
            ),
            "no weight positions.weight",
        ),
        (
            lambda w: w.update({"encoder.feature_projection.projection.bias": torch.zeros(3)}),
            r"project.bias has the shape \[3\]",
        ),
        (
            lambda w: w["encoder.transformer.layers.1.attention.q_proj.bias"].fill_(torch.nan),
            "blocks.1.attn.query.bias holds NaN",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, damage, told):
    weights = peer("wav2vec2_base").state_dict()
    damage(weights)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(UserError, match=rf"model\.weights=.*{told}"):
        Wav2Vec2(FRAME, 7, weights=str(tmp_path / "w.pth"), **SMALL)


@pytest.mark.parametrize(
    ("kind", "keys", "told"),
    [
        ("wav2vec2_base", {"distances": True}, "no weight distances.scores.weight"),
        ("wavlm_base", {}, r"has \d+ weights that this config has no place for, such as .*gate"),
        ("wav2vec2_base", {"n_layers": 1}, r"15 weights .* no place for, such as blocks\.1\."),
        (
            "wav2vec2_large",
            LARGE | {"conv_bias": False},
            r"7 weights .*convs\.stack\.0\.conv\.bias",
        ),
    ],
)
def test_the_weights_of_another_kind_are_refused(tmp_path, kind, keys, told):
    path = saved(peer(kind), "hugging_face", tmp_path)
    with pytest.raises(UserError, match=rf"{told}.*another model"):
        Wav2Vec2(FRAME, 7, weights=path, **SMALL | keys)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"conv_norm": "batch"}, "model.conv_norm=batch: expected group or layer"),
        ({"n_channels": 0}, "model.n_channels=0"),
        ({"width": 30}, "model.width=30: expected an even multiple of model.n_heads=4"),
        ({"n_tuned_layers": 3}, "model.n_tuned_layers=3: .*from 0 to 2"),
        ({"weights": "none.pth"}, "model.weights=none.pth: no such file"),
    ],
)
def test_keys_that_make_no_model_are_refused_by_name(keys, told):
    with pytest.raises(UserError, match=told):
        Wav2Vec2(FRAME, 7, **SMALL | keys)


def test_published_weights_want_samples():
    with pytest.raises(UserError, match=r"160 a frame, but .* 80 features; take transform=raw"):
        Wav2Vec2(80, 7, weights="w.pth", **SMALL)


def learning(model: Wav2Vec2) -> set[str]:
    """Parts that got a gradient from one training step: head, blocks.1, …, convs."""
    model.zero_grad(set_to_none=True)
    batch = side_by_side(utterances(9, 20, n_features=FRAME))
    model.train()(*batch).log_probs[0, :3].square().sum().backward()
    names = {n.removeprefix("encoder.") for n, p in model.named_parameters() if p.grad is not None}
    return {".".join(n.split(".")[: 2 if n.startswith("blocks") else 1]) for n in names}


HEAD, TOP = {"head"}, {"blocks.1"}
BOTTOM = {"blocks.0", "project", "project_norm", "positions", "norm"}
CONVS = {"convs"}


@pytest.mark.parametrize(
    ("n_tuned", "expected"),
    [(0, HEAD), (1, HEAD | TOP), (2, HEAD | TOP | BOTTOM), (None, HEAD | TOP | BOTTOM | CONVS)],
)
def test_only_the_uppermost_blocks_learn(n_tuned, expected):
    assert learning(small(n_tuned_layers=n_tuned)) == expected


def test_the_last_norm_of_large_models_learns_with_the_uppermost_block():
    assert learning(small(n_tuned_layers=1, **LARGE)) == HEAD | TOP | {"norm"}
    shared = small(n_tuned_layers=2, distances=True)
    assert learning(shared) == HEAD | TOP | BOTTOM | {"distances"}


def test_blocks_thaw_one_after_another():
    model = small(unfreeze_every=1, distances=True)
    below = BOTTOM | {"distances"}
    expected = [HEAD, HEAD | TOP, HEAD | TOP | below, HEAD | TOP | below | CONVS]
    assert [learning(model) for _ in range(4)] == expected


def test_a_run_starts_from_published_weights_and_inference_never_asks_for_them(tmp_path):
    """Real commands: train on two speakers' tones, remove the file of weights, read the rest."""
    for part, speakers in (("train-clean-100", "12"), ("dev-clean", "3")):
        for speaker in speakers:
            write_chapter(tmp_path / part, speaker, {"AB": 0.6, "CAB": 0.71, "BA": 0.5})
    weights = saved(peer("wavlm_base"), "hugging_face", tmp_path)
    corpus = [f"dataset.root={tmp_path}", f"dataset.index_dir={tmp_path / 'index'}"]
    trained = call(
        "train", "-cn=wav2vec2", "model=wavlm_base", *corpus, "dataset.train.speakers=all",
        "dataset.validation.parts=[dev-clean]", "dataset.validation.speakers=all",
        *(f"model.{key}={value}" for key, value in SMALL.items()), "model.n_tuned_layers=0",
        f"model.weights={weights}", f"run_dir={tmp_path / 'run'}", "device=cpu",
        "loader.n_workers=0", "trainer.n_epochs=1", "trainer.n_examples=0",
    )  # fmt: skip
    assert trained.status == 0, trained.stderr
    given = as_hugging_face(peer("wavlm_base"))["wavlm.encoder.layers.1.attention.v_proj.weight"]
    Path(weights).unlink()
    state = load_checkpoint(tmp_path / "run")
    assert torch.equal(state["recognizer"]["model.encoder.blocks.1.attn.value.weight"], given)
    assert weights not in str(state["config"])
    output = tmp_path / "read"
    outcome = infer(
        tmp_path / "run", output, "dataset=librispeech", *corpus, "dataset.test.parts=[dev-clean]"
    )
    assert outcome.status == 0, outcome.stderr
    assert predictions(output / "dev-clean") == {"3-1-0000", "3-1-0001", "3-1-0002"}
