"""Bad corpora and checkpoints: one clear sentence, status 1, nothing lost or half-written."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.trainer import load_checkpoint
from tests.cli.conftest import run
from tests.cli.in_process import (
    call,
    cut,
    emptied,
    infer,
    inference_arguments,
    predictions,
    text,
    untrained,
)
from tests.datasets.commands.test_damaged import spoil
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.datasets.tiny_corpus import write_chapter
from tests.recordings import TONE, write


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Checkpoint of an untrained model that writes phonemes."""
    return untrained(tmp_path_factory.mktemp("sounds") / "model.pt")


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """48 clips of noise in one HDF5 file, 12 of them for testing."""
    return pack_corpus(tmp_path_factory.mktemp("commands"), n_each=4)[1]


@pytest.fixture
def damaged(packed, tmp_path) -> Path:
    """A copy of `packed` that the test may spoil."""
    return Path(shutil.copy(packed, tmp_path / "damaged.h5"))


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """Checkpoint of an untrained model that writes letters."""
    return untrained(tmp_path_factory.mktemp("letters") / "model.pt", "text=characters")


def training(corpus: str, run_dir: Path, *overrides: str) -> tuple:
    """Arguments of a training that takes seconds."""
    return (
        "-cn=convnet", "model=convnet_small", "model.channels=[4,4,4,4]", "model.rnn_width=16",
        "device=cpu", "loader.n_workers=0", "loader.batch_size=4", "trainer.n_epochs=1",
        f"run_dir={run_dir}", *corpus.split(), *overrides,
    )  # fmt: skip


def books(folder: Path, rows: dict[str, float]) -> str:
    """Two speakers in LibriSpeech's layout who say the same; overrides that choose them."""
    for speaker in ("1", "2"):
        write_chapter(folder / "test-clean", speaker, rows)
    return (
        f"dataset=librispeech dataset.root={folder} dataset.index_dir=null text=characters "
        "dataset.train_parts=[test-clean] dataset.train.speakers=all "
        "dataset.validation.speakers=all"
    )


def of_inference(corpus: str) -> list[str]:
    return [word for word in corpus.split() if not word.startswith(("text=", "dataset.train"))]


def test_another_rate_is_refused_where_it_may_not_be_resampled(letters, tmp_path):
    corpus = of_inference(books(tmp_path, {"GO ON": 1.0, "UP": 0.5}))
    path = tmp_path / "test-clean/1/1/1-1-0001.flac"
    write(path, TONE[:4000], 8000)
    outcome = infer(letters, tmp_path / "out", *corpus, "dataset.resample=false")
    reason = "recorded at 8000 Hz, but this model listens at 16000 Hz. Resample the file or set "
    assert f"1-1-0001: {path}: {reason}dataset.resample=true." in outcome.stderr
    assert "1 of 4 recordings" in outcome.refusal
    assert predictions(tmp_path / "out/test-clean") == {"1-1-0000", "2-1-0000", "2-1-0001"}
    assert infer(letters, tmp_path / "again", *corpus).status == 0


def test_transcripts_that_can_t_be_learnt_are_counted_and_their_recordings_read(tmp_path):
    corpus = books(tmp_path, {"GO ON": 1.0, "ROOM 12": 0.7, "AS LONG AS IT IS FAST": 0.5})
    result = run("train.py", *training(corpus, tmp_path / "run"))
    assert result.returncode == 0, result.stderr
    reason = "2 whose transcript the vocabulary can't write (1-1-0001, 2-1-0001; first: 'ROOM 12'"
    assert f"kept 4 of 6 utterances; 2 can't be used: {reason}" in result.stdout + result.stderr
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    merged = {name: value for line in log for name, value in line.items()}
    assert merged["train/n_impossible"] == merged["validation/impossible"] == 2
    outcome = infer(tmp_path / "run", tmp_path / "out", *of_inference(corpus))
    assert outcome.status == 0, outcome.stderr
    assert predictions(tmp_path / "out/test-clean") == {
        "1-1-0000", "1-1-0002", "2-1-0000", "2-1-0002",
    }  # fmt: skip


@pytest.mark.parametrize("entry", ["train", "inference"])
def test_a_corpus_that_the_vocabulary_can_not_write_is_refused(entry, letters, tmp_path):
    corpus = books(tmp_path, {"ROOM 12": 0.7})
    if entry == "train":
        outcome = call("train", *training(corpus, tmp_path / "run"))
    else:
        outcome = infer(letters, tmp_path / "out", *of_inference(corpus))
    assert "none of 2 utterances can be used; 2 whose transcript the vocab" in outcome.refusal
    assert "'ROOM 12'" in outcome.refusal
    assert not list(tmp_path.rglob("*.json*")) or entry == "train"
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.parametrize(
    ("config", "part"), [("inference", "test-clean"), ("inference_other", "test-other")]
)
def test_a_missing_part_tells_the_command_that_fetches_it(config, part, letters, tmp_path):
    overrides = (f"dataset.root={tmp_path}", "dataset.index_dir=null")
    arguments = inference_arguments(letters, tmp_path / "out", *overrides)
    refusal = call("inference", f"-cn={config}", *arguments).refusal
    assert f"LibriSpeech {part}: not in {tmp_path}" in refusal
    assert f"python inference.py -cn={config} checkpoint=FILE dataset=librispeech" in refusal
    assert f"dataset.download=true dataset.root={tmp_path}" in refusal


@pytest.mark.parametrize("entry", ["train", "inference"])
@pytest.mark.parametrize("damage", [cut, text], ids=["truncated", "no HDF5"])
def test_a_corrupt_corpus_file_is_refused(entry, damage, sounds, damaged, tmp_path):
    corpus = f"dataset=speech_commands dataset.path={damage(damaged)}"
    if entry == "train":
        outcome = call("train", *training(corpus, tmp_path / "run"))
    else:
        outcome = infer(sounds, tmp_path / "out", *corpus.split())
    assert f"{damaged}: not a readable HDF5 file" in outcome.refusal
    assert "delete it and make it again" in outcome.refusal
    assert not list(tmp_path.rglob("*.pt"))


def test_a_corrupt_clip_costs_the_others_nothing(sounds, damaged, tmp_path):
    with h5py.File(damaged) as file:
        row = int(np.flatnonzero(file["ds/split"][:] == 2)[3])
        name = file["ds/id"][row].decode().replace("/", "_")
    spoil(damaged, h5py.File(damaged)["ds/data"], row)
    corpus = ("dataset=speech_commands", f"dataset.path={damaged}")
    outcome = infer(sounds, tmp_path / "out", *corpus)
    assert f"left out: {name}: {damaged}: row {row} of ds/data can't be read" in outcome.stderr
    assert "1 of 12 recordings could not be read" in outcome.refusal
    read = predictions(tmp_path / "out/speech_commands_test")
    assert len(read) == 11 and name not in read


def test_training_stops_at_a_corrupt_clip_and_keeps_what_it_learnt(damaged, tmp_path):
    with h5py.File(damaged) as file:
        row = int(np.flatnonzero(file["ds/split"][:] == 0)[5])
    spoil(damaged, h5py.File(damaged)["ds/data"], row)
    corpus = f"dataset=speech_commands dataset.path={damaged}"
    policy = ("loader.batch_size=1", "loader.unreadable=stop")
    one_by_one = training(corpus, tmp_path / "run", *policy)
    refusal = call("train", *one_by_one).refusal
    assert f"{damaged}: row {row} of ds/data can't be read" in refusal
    assert load_checkpoint(tmp_path / "run/checkpoints/last.pt")["step"] > 0


def flipped(path: Path) -> Path:
    """One byte in the middle changed."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("entry", ["train", "inference"])
@pytest.mark.parametrize("damage", [cut, emptied, text, flipped])
def test_a_corrupt_checkpoint_is_refused(entry, damage, sounds, packed, tmp_path):
    copy = tmp_path / "copy.pt"
    if damage in (cut, flipped):
        shutil.copy(sounds, copy)
    damage(copy)
    corpus = f"dataset=speech_commands dataset.path={packed}"
    if entry == "train":
        outcome = call("train", *training(corpus, tmp_path / "run", f"init_from={copy}"))
    else:
        outcome = infer(copy, tmp_path / "out", *corpus.split())
    assert f"{copy}: not a readable checkpoint" in outcome.refusal
    assert "train or download it again" in outcome.refusal
    assert not (tmp_path / "run/checkpoints").exists()
    assert not (tmp_path / "out/speech_commands_test").exists()


def test_a_checkpoint_of_another_vocabulary_or_model_is_refused(sounds, packed, tmp_path):
    corpus = f"dataset=speech_commands dataset.path={packed} init_from={sounds}"
    other = call("train", *training(corpus, tmp_path / "run", "text=characters"))
    assert f"{sounds}: trained for a vocabulary of 46 symbols" in other.refusal
    assert "but this config has 29" in other.refusal and "Choose the same text=" in other.refusal
    wider = call("train", *training(corpus, tmp_path / "run", "model.rnn_width=24"))
    assert "holds the weights of another model or front end" in wider.refusal
    assert not (tmp_path / "run/checkpoints").exists()
