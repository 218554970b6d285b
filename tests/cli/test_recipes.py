"""The full-scale recipes from the official layouts: some steps on real speech, smaller models."""

from pathlib import Path

import pytest

from scripts import prepare_speech_commands, train_bpe
from src.logger import read_log
from src.trainer import load_checkpoint
from tests.cli.in_process import call

PARTS = ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other")
CORPUS = "speech_commands"
STEPS = (
    *("device=cpu", "loader.n_workers=0", "loader.bucket_pool=2", "trainer.n_epochs=1"),
    *("trainer.epoch_len=3", "trainer.log_every=1", "trainer.n_examples=1"),
)


@pytest.fixture(scope="module")
def librispeech(shared_data, tmp_path_factory) -> Path:
    """The official folders of all 960 hours, a tenth of train-clean-100's speakers in each."""
    root = tmp_path_factory.mktemp("official") / "LibriSpeech"
    speakers = sorted((shared_data / "LibriSpeech" / "train-clean-100").iterdir())
    for i, speaker in enumerate(s for s in speakers if len(list(s.glob("*/*.opus"))) < 5):
        part = root / PARTS[i % len(PARTS)]
        if i < 50:
            part.mkdir(parents=True, exist_ok=True)
            (part / speaker.name).symlink_to(speaker)
    return root


@pytest.mark.parametrize(
    ("hours", "n_pieces", "train", "validation"),
    [(100, 256, PARTS[:1], PARTS[3:4]), (960, 512, PARTS[:3], PARTS[3:])],
)
def test_a_librispeech_recipe_takes_steps(
    hours, n_pieces, train, validation, librispeech, tmp_path, caplog
):
    texts = [str(path) for part in train for path in (librispeech / part).glob("*/*/*.trans.txt")]
    pieces = tmp_path / "pieces.model"
    size = min(n_pieces, 128)  # ten sentences don't hold more
    train_bpe.main([*texts, "--drop-first-field", "--size", str(size), "--out", str(pieces)])
    caplog.set_level("INFO")
    outcome = call(
        "train", f"-cn=librispeech_{hours}", f"dataset.root={librispeech}", *STEPS,
        f"dataset.index_dir={tmp_path}", f"text.model={pieces}", f"run_dir={tmp_path / 'run'}",
        "model.n_layers=2", "model.width=32", "loader.max_batch_s=40",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    said = outcome.stderr + outcome.stdout + caplog.text
    assert f"LibriSpeech {'+'.join(train)}: kept" in said
    assert f"LibriSpeech {'+'.join(validation)}: kept" in said
    hold_steps(tmp_path / "run", "validation/wer", "train/consistency")


def test_few_hours_learn_phonemes_of_every_word(librispeech, tmp_path, caplog):
    caplog.set_level("INFO")
    outcome = call(
        "train", "-cn=few_hours", f"dataset.root={librispeech}", f"dataset.index_dir={tmp_path}",
        f"run_dir={tmp_path / 'run'}", *STEPS,
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert "vocabulary can't write" not in outcome.stderr + caplog.text
    hold_steps(tmp_path / "run", "validation/per")


@pytest.mark.parametrize("name", ["speech_commands_v2", "commands_whisper", "commands_small"])
def test_a_recipe_for_spoken_commands_takes_steps(name, shared_data, tmp_path):
    packed = tmp_path / "commands.h5"
    source = shared_data / CORPUS
    folder = tmp_path / "few"
    for split in ("validation_list.txt", "testing_list.txt"):
        folder.mkdir(exist_ok=True)
        lines = (source / split).read_text().splitlines()[:3]
        (folder / split).write_text("\n".join(lines))
        for clip in lines:
            link(folder, source, Path(clip).with_suffix(".opus"))
    for clip in sorted((source / "bed").iterdir())[:300:10]:
        link(folder, source, clip.relative_to(source))
    prepare_speech_commands.main(["--source", str(folder), "--out", str(packed)])
    noise = f"augment.waveform.recorded_noise.folder={source / '_background_noise_'}"
    outcome = call(
        "train", f"-cn={name}", f"dataset.path={packed}", f"run_dir={tmp_path / 'run'}", *STEPS,
        "loader.batch_size=4", *([] if name == "commands_small" else [noise]),
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    hold_steps(tmp_path / "run", "validation/word_error")


def link(folder: Path, source: Path, name: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if not (folder / name).exists():
        (folder / name).symlink_to(source / name)


def hold_steps(run: Path, *logged: str) -> None:
    """Three steps with a finite loss, the named figures in the log, a moving average kept."""
    log = list(read_log(run / "log.jsonl"))
    losses = [event["train/loss"] for event in log if "train/loss" in event]
    assert len(losses) == 3 and all(0 < loss < 1e4 for loss in losses)
    for name in logged:
        assert any(name in event for event in log), name
    assert load_checkpoint(run)["step"] == 3
