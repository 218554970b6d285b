"""Recordings of one's own need no code: a folder of real speech is trained on and read."""

import shlex
import shutil
from pathlib import Path

import pytest

from scripts.prepare_data import main as prepare
from src.trainer import load_checkpoint
from src.utils.command_line import in_quotes
from tests.cli.in_process import call, predictions

SMALL = (
    *("model.n_cnn_layers=1", "model.n_rnn_layers=1", "model.width=16", "transform=logmel40"),
    *("device=cpu", "loader.n_workers=0", "loader.max_batch_s=60", "trainer.n_epochs=1"),
    *("trainer.epoch_len=2", "trainer.n_examples=0", "trainer.log_every=1"),
)


@pytest.fixture(scope="module")
def recordings(shared_data, tmp_path_factory) -> Path:
    """Twelve utterances of LibriSpeech's training part, each with a .txt file beside it."""
    folder = tmp_path_factory.mktemp("own") / "recordings"
    part = shared_data / "LibriSpeech" / "train-clean-100"
    for lines in sorted(part.rglob("*.trans.txt"))[:12]:
        name, _, words = lines.read_text(encoding="utf-8").splitlines()[0].partition(" ")
        [sound] = lines.parent.glob(f"{name}.[!t]*")
        place = folder / lines.parent.parent.name / sound.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sound, place)
        place.with_suffix(".txt").write_text(words.capitalize() + ".\r\n", encoding="utf-8-sig")
    return folder


@pytest.fixture(scope="module")
def trained(recordings, tmp_path_factory) -> Path:
    """A run of two steps on the folder."""
    run = tmp_path_factory.mktemp("run")
    outcome = train(run, "dataset=folder", f"dataset.root={recordings}")
    assert "folder recordings train: kept 1" in outcome
    return run


def train(run: Path, *overrides: str) -> str:
    """What a short training that must succeed says."""
    own = (
        f"run_dir={run}",
        f"dataset.index_dir={run / 'index'}",
        "dataset.train.max_duration_s=30",
    )
    outcome = call("train", "-cn=deepspeech2", *own, *SMALL, *overrides)
    assert outcome.status == 0, outcome.stdout + outcome.stderr
    return outcome.stdout + outcome.stderr


def test_a_folder_is_trained_on(trained):
    assert load_checkpoint(trained)["step"] == 2
    [index] = (trained / "index").iterdir()
    assert index.name.startswith("durations-recordings-")


def test_its_test_part_is_read(trained, recordings, tmp_path):
    outcome = call(
        *("inference", f"checkpoint={trained}", "dataset=folder", f"dataset.root={recordings}"),
        *(f"dataset.index_dir={tmp_path / 'index'}", f"output={tmp_path}", "name=own"),
        *("device=cpu", "n_pictures=0", "loader.n_workers=0", "decoder=greedy"),
    )
    assert outcome.status == 0, outcome.stderr
    [name] = predictions(tmp_path / "own")
    assert (recordings / name.replace("_", "/", 1)).with_suffix(".txt").is_file()


def test_a_list_given_as_a_recording_is_met_with_what_reads_it(trained, recordings, tmp_path):
    listed = tmp_path / "Läufe (1).csv"
    names = [path.relative_to(recordings).as_posix() for path in recordings.rglob("*.[!t]*")]
    assert len(names) > 5
    rows = [f"{recordings}/{name};text number {'i' * n}" for n, name in enumerate(names)]
    listed.write_text("\n".join(["path;text", *rows]), encoding="utf-8")
    common = (f"checkpoint={trained}", f"output={tmp_path}", "name=own", "device=cpu")
    common += ("n_pictures=0", "loader.n_workers=0", "decoder=greedy")
    refusal = call("inference", in_quotes_for_hydra("input", listed), *common).refusal
    assert "a list of recordings, not one of them" in refusal
    advice = refusal.partition("In its place ")[2].partition(" reads what it lists")[0]
    index = f"dataset.index_dir={tmp_path / 'index'}"
    outcome = call("inference", *shlex.split(advice), index, *common)
    assert outcome.status == 0, outcome.stderr
    assert len(predictions(tmp_path / "own")) == len(names)


def in_quotes_for_hydra(key: str, value: Path) -> str:
    [word] = shlex.split(in_quotes(key, str(value)))
    return word


def test_lists_of_two_corpora_are_trained_on_as_one(recordings, tmp_path):
    lists = [tmp_path / "one.jsonl", tmp_path / "other.jsonl"]
    for out in lists:
        words = ["folder", "--root", recordings, "--out", out, "--index_dir", tmp_path / "index"]
        prepare(list(map(str, words)))
    told = train(
        tmp_path / "run",
        "dataset=mixture",
        f"dataset.roots=[{','.join(map(str, lists))}]",
        "dataset.weights=[1,3]",
    )
    assert "one 25.0 % (" in told and "other 75.0 % (" in told
    assert load_checkpoint(tmp_path / "run")["step"] == 2


def test_a_corpus_that_is_not_there_is_told_in_one_line(tmp_path):
    for corpus in ("common_voice", "an4"):
        where = (f"dataset={corpus}", f"dataset.root={tmp_path}", f"run_dir={tmp_path / corpus}")
        assert str(tmp_path) in call("train", "-cn=deepspeech2", *where, *SMALL).refusal
