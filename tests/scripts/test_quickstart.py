"""The newcomer's one command, on a corpus and with a net of seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ["model.channels=[4,4,4,4]", "model.rnn_width=16", "trainer.n_epochs=1", "device=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quick start")  # with a space, as in people's folders


@pytest.fixture(scope="module")
def first(folder):
    return quickstart(folder, *TINY)


def test_it_ends_with_both_rates_their_intervals_and_every_step(first):
    assert first.returncode == 0, first.stderr
    closing = first.stdout.split("quickstart  ")[-1]
    assert closing.count(" % [") == 2
    for row in ("phoneme error rate, unseen voices", "word error through the lexicon"):
        assert row in closing
    for step in ("speak", "pack", "train", "read", "score"):
        assert f"── {step} ──" in first.stdout
        assert f"minutes to {step}" in closing


def test_the_closing_table_tells_where_things_are(first, folder):
    best = folder / "run/checkpoints/best.pt"
    curves, pictures = folder / "run/training_curves.png", folder / "predict/pictures"
    for place in (best, curves, pictures, folder / "predict/*.json"):
        assert str(place) in first.stdout
    assert best.is_file()
    assert curves.is_file()
    assert list(pictures.glob("*.png"))
    records = [json.loads(path.read_text()) for path in (folder / "predict").glob("*.json")]
    assert len(records) == 2 * 35  # two speakers of ten are for testing
    assert {record["unit"] for record in records} == {"phoneme"}


def test_every_command_is_shown_as_it_can_be_typed(first, folder):
    shown = [line for line in first.stdout.splitlines() if line.startswith("$ python ")]
    assert len(shown) == 5
    assert f"$ python -m scripts.generate_commands '--out={folder / 'data/clips'}'" in shown[0]
    assert shown[2].startswith("$ python train.py -cn=quickstart")


def test_a_second_run_does_not_repeat_what_is_finished(first, folder):
    packed, best = folder / "data/commands.h5", folder / "run/checkpoints/best.pt"
    before = packed.stat().st_mtime_ns, best.stat().st_mtime_ns
    second = quickstart(folder, *TINY)
    assert second.returncode == 0, second.stderr
    assert "was there already" in second.stdout
    assert "── pack ──" not in second.stdout
    assert f"resume={folder / 'run'}" in second.stdout
    assert (packed.stat().st_mtime_ns, best.stat().st_mtime_ns) == before
    assert rates(second) == rates(first)


def test_a_step_that_fails_ends_it_with_its_status_and_name(first, folder):
    failed = quickstart(folder, *TINY, "trainer.n_epoch=1")
    assert failed.returncode == 1
    assert "the step “train” ended with status 1" in failed.stderr
    assert "did you mean trainer.n_epochs?" in failed.stderr
    assert "── read ──" not in failed.stdout


def quickstart(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    places = [
        *(f"--data={folder / 'data'}", f"--run={folder / 'run'}"),
        *(f"--predictions={folder / 'predict'}", "--n_speakers=10"),
    ]
    return subprocess.run(
        [sys.executable, "-m", "scripts.quickstart", *places, *overrides],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def rates(result: subprocess.CompletedProcess) -> list[str]:
    return [line for line in result.stdout.splitlines() if line.count(" % [") == 1][-2:]
