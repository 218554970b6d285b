"""Where a training's weights come from, and what the log says of it."""

import pytest
import torch

from src.build import build_recognizer, build_text, build_trainer
from src.build.beginning import begin
from src.build.training import describe
from src.logger import Several
from src.trainer import load_checkpoint, save_checkpoint
from src.utils.errors import UserError
from tests.build.configs import composed, tiny
from tests.cli.in_process import call
from tests.datasets.commands.tiny_commands import pack_corpus


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """Of the convnet config with a small model."""
    folder = tmp_path_factory.mktemp("first")
    clips = pack_corpus(folder, n_each=4, lengths=(4000, 9000, 16000))[1]
    trainer = build_trainer(tiny(f"dataset.path={clips}"), folder / "run", Several([]))
    trainer.save()
    return str(trainer.checkpoints.last)


def begun(config: dict) -> None:
    text = build_text(config)
    begin(config, build_recognizer(config, text), describe(config, text))


def test_the_log_tells_whose_weights_were_taken(checkpoint, caplog):
    caplog.set_level("INFO")
    begun(tiny(f"init_from={checkpoint}"))
    begun(tiny(f"init_from={checkpoint}", "init_head=false", "text=phonemes_cmu"))
    assert caplog.messages == [
        f"Weights are those of {checkpoint}.",
        f"Weights are those of {checkpoint}, but for the head's.",
    ]


def test_features_of_another_kind_are_warned_of(checkpoint, caplog):
    caplog.set_level("WARNING")
    begun(tiny(f"init_from={checkpoint}", "transform.features.hop_ms=8"))
    [warning] = caplog.messages
    assert "another transform than this run's (transform.features.hop_ms=10, now 8)" in warning


@pytest.mark.parametrize(
    "config", [None, 7, {}, {"transform": None}, {"transform": {"features": 3}}]
)
def test_a_file_of_weights_with_an_odd_config_or_none_is_taken_all_the_same(
    checkpoint, tmp_path, caplog, config
):
    state = load_checkpoint(checkpoint) | {"config": config}
    if config is None:
        del state["config"]
    path = tmp_path / "weights.pt"
    save_checkpoint(path, state)
    ours = tiny(f"init_from={path}")
    text = build_text(ours)
    recognizer = build_recognizer(ours, text)
    begin(ours, recognizer, describe(ours, text))
    for name, value in recognizer.state_dict().items():
        assert torch.equal(value, state["recognizer"][name]), name
    with pytest.raises(UserError, match=r"same model=… and transform=… as the checkpoint\.$"):
        begun(composed("lstm", f"init_from={path}", "init_head=false"))


def test_a_pretrained_encoder_without_its_weights_is_warned_of(caplog):
    caplog.set_level("WARNING")
    begun(composed("whisper"))
    [warning] = caplog.messages
    assert warning.startswith("model.weights=null: src.models.Whisper starts from random weights")
    caplog.clear()
    begun(composed("whisper", "resume=saved/run"))
    begun(tiny())  # whose model has none to load
    assert not caplog.messages


def test_a_head_can_t_be_left_out_of_nothing():
    with pytest.raises(UserError, match=r"init_head=false: .*give init_from=FILE_OR_RUN too"):
        begun(tiny("init_head=false"))


def test_another_model_is_told_with_what_the_checkpoint_has(checkpoint):
    start = (f"init_from={checkpoint}", "init_head=false")
    with pytest.raises(UserError) as refusal:
        begun(composed("lstm", *start))
    told = str(refusal.value)
    assert told.endswith("which has src.models.ConvNet on src.transforms.LogMel.")
    assert len(told) < 700 and " …)" in told  # cut between words


def test_several_files_without_quotes_are_told_how_to_be_named(tmp_path):
    (tmp_path / "b.wav").touch()
    refusal = call("inference", f"input={tmp_path / 'a.wav'}", str(tmp_path / "b.wav")).refusal
    assert "b.wav: a file, where key=value was expected" in refusal
    assert "'input=talks/*.wav'" in refusal
