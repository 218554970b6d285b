"""Several trainings as one model: means and mixtures worked out by hand."""

import pytest
import torch
from safetensors.torch import save_file

from scripts.merge_models import main
from src.trainer import load_checkpoint, save_checkpoint
from tests.cli.in_process import infer, predictions, untrained
from tests.recordings import siren, write

TINY_WHISPER = (
    *("model=whisper_tiny", "transform=whisper", "model.n_rnn_layers=1"),
    *("model.width=8", "model.n_heads=2", "model.n_layers=1", "model.rnn_width=4"),
)


@pytest.fixture
def trained(tmp_path):
    """Two checkpoints of one small model, and an encoder that neither has."""
    paths = []
    for i in range(2):
        path = untrained(tmp_path / f"{i}.pt", f"model.dropout=0.{i}", model=TINY_WHISPER)
        state = load_checkpoint(path)
        torch.manual_seed(i)
        for name, tensor in state["recognizer"].items():
            if tensor.is_floating_point():
                state["recognizer"][name] = torch.randn_like(tensor)
        save_checkpoint(path, state)
        paths.append(path)
    encoder = {
        name.removeprefix("model.encoder."): torch.full_like(tensor, 3.0)
        for name, tensor in load_checkpoint(paths[0])["recognizer"].items()
        if name.startswith("model.encoder.")
    }
    save_file(encoder, tmp_path / "encoder.safetensors")
    return paths


def weights(path):
    return load_checkpoint(path)["recognizer"]


def merged(tmp_path, *arguments):
    out = tmp_path / "merged.pt"
    main([*map(str, arguments), "--out", str(out)])
    return out


def test_two_trainings_are_averaged_though_they_dropped_out_otherwise(trained, tmp_path, capsys):
    a, b, mean = map(weights, (*trained, merged(tmp_path, *trained)))
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (a[name] + b[name]) / 2)
    assert "1/2 of" in capsys.readouterr().out


def test_the_encoder_alone_is_drawn_back(trained, tmp_path):
    towards = ("--towards", tmp_path / "encoder.safetensors", "--share", "0.25")
    one, mixed = weights(trained[0]), weights(merged(tmp_path, trained[0], *towards))
    n_drawn = 0
    for name, tensor in mixed.items():
        if name.startswith("model.encoder."):
            torch.testing.assert_close(tensor, 0.75 * one[name] + 0.25 * 3.0)
            n_drawn += 1
        else:
            assert torch.equal(tensor, one[name]), name
    assert n_drawn > 10


def test_what_is_merged_reads(trained, tmp_path):
    write(tmp_path / "a.wav", siren(1.0))
    sounds = (f"input={tmp_path / 'a.wav'}", "name=read")
    outcome = infer(merged(tmp_path, *trained), tmp_path / "out", *sounds)
    assert outcome.status == 0, outcome.stderr
    assert predictions(tmp_path / "out/read") == {"a"}


def test_a_model_of_its_own_weights_can_not_be_drawn_back(tmp_path):
    path = untrained(tmp_path / "convnet.pt")
    with pytest.raises(SystemExit, match=r"merge_models: .*does not begin with anybody's weights"):
        merged(tmp_path, path, "--towards", tmp_path / "x.safetensors")


def test_an_absent_encoder_is_one_sentence(trained, tmp_path):
    with pytest.raises(SystemExit, match=r"merge_models: model.weights=.*no such file"):
        merged(tmp_path, trained[0], "--towards", tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a.pt"], "merged with nothing"), (["a.pt", "--towards", "b", "--share", "1"], "below 1")],
)
def test_nothing_to_merge_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main([*arguments, "--out", "c.pt"])
    assert message in capsys.readouterr().err
