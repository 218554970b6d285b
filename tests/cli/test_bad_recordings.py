"""Bad recordings, mistakes and a full disk: one sentence, status 1, nothing lost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import run
from tests.cli.in_process import (
    Outcome,
    cut,
    emptied,
    infer,
    inference_arguments,
    predictions,
    text,
    untrained,
)
from tests.recordings import TONE, write

NAN = np.where(np.arange(16000) == 7, np.nan, TONE[:16000])
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty.wav": (emptied, r"is empty (0 bytes); record it or copy it again."),
    "cut.wav": (lambda path: cut(write(path)), "is cut short (its last "),
    "cut.flac": (lambda path: cut(write(path)), "copy it again"),
    "nothing.wav": (lambda path: write(path, TONE[:0]), "holds no samples at all; remove it"),
    "nan.wav": (lambda path: write(path, NAN, subtype="FLOAT"), "1 of 16000 samples are NaN"),
    "note.mp3": (text, "convert it to WAV or FLAC"),
    "huge.wav": (lambda path: write(path, TONE * 32768, subtype="FLOAT"), "divide by the full"),
}
GOOD = {
    "stereo.wav": lambda path: write(path, np.stack([TONE, -TONE / 2], 1)),
    "8bit.wav": lambda path: write(path, subtype="PCM_U8"),
    "24bit.wav": lambda path: write(path, subtype="PCM_24"),
    "telephone.wav": lambda path: write(path, TONE[::2], 8000),
}


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """Checkpoint of an untrained model that writes letters."""
    return untrained(tmp_path_factory.mktemp("letters") / "model.pt", "text=characters")


def test_bad_recordings_cost_the_good_ones_nothing(letters, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (make, _) in BAD.items():
        make(folder / name)
    for name, make in GOOD.items():
        make(folder / name).with_suffix(".txt").write_text("what was said")
    workers = "loader.n_workers=1"
    result = run(
        "inference.py",
        *inference_arguments(letters, tmp_path, f"input={folder}", workers, "name=x"),
    )
    outcome = Outcome(result.returncode, result.stdout, result.stderr)
    assert "7 of 11 recordings could not be read, as named above; the other 4 were read" in (
        outcome.refusal
    )
    told = [line for line in outcome.stderr.splitlines() if line.startswith("left out: ")]
    assert len(told) == len(BAD)
    for name, (_, reason) in BAD.items():
        assert [line for line in told if f"in/{name}: " in line and reason in line], name
    assert predictions(tmp_path / "x") == {Path(name).stem for name in GOOD}
    assert "x: 4 utterances" in outcome.stdout and "WER" in outcome.stdout
    assert list((tmp_path / "x" / "pictures").iterdir())


@pytest.mark.parametrize("name", BAD)
def test_a_single_bad_recording_is_refused_in_one_sentence(name, letters, tmp_path):
    make, reason = BAD[name]
    path = make(tmp_path / name)
    outcome = infer(letters, tmp_path / "out", f"input={path}")
    assert outcome.refusal.startswith(f"error: {path}: ") and reason in outcome.refusal
    assert "left out" not in outcome.stderr
    assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("names", [("empty.wav", "note.mp3"), ("nan.wav", "cut.wav")])
def test_nothing_but_bad_recordings_is_refused(names, letters, tmp_path):
    (tmp_path / "in").mkdir()
    for name in names:
        BAD[name][0](tmp_path / "in" / name)
    outcome = infer(letters, tmp_path / "out", f"input={tmp_path / 'in'}")
    assert "2 of 2 recordings could not be read" in outcome.refusal or (
        "none of 2 utterances can be used" in outcome.refusal
    )
    assert not list((tmp_path / "out").rglob("*"))


def test_twenty_recordings_are_named_and_the_others_counted(letters, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(23):
        emptied(tmp_path / "in" / f"{i:02}.wav")
    write(tmp_path / "in" / "good.wav")
    outcome = infer(letters, tmp_path / "out", f"input={tmp_path / 'in'}")
    told = [line for line in outcome.stderr.splitlines() if line.startswith("left out: ")]
    assert told[0].startswith("left out: 00: ") and told[-1] == "left out: 3 more"
    assert len(told) == 21
    assert "23 of 24 recordings could not be read" in outcome.refusal


def test_a_full_disk_costs_no_earlier_prediction_and_leaves_no_half_one(letters, tmp_path):
    write(tmp_path / "one.wav")
    write(tmp_path / "two.wav", TONE[:16000])
    assert infer(letters, tmp_path, f"input={tmp_path / 'one.wav'}", "name=x").status == 0
    earlier = (tmp_path / "x/one.json").read_bytes()
    limited = (
        "import resource, signal, runpy, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path('inference.py', run_name='__main__')\n"
    )
    again = inference_arguments(letters, tmp_path, f"input={tmp_path}/*.wav", "name=x")
    result = run("-c", limited, "inference.py", *again)
    refusal = Outcome(result.returncode, result.stdout, result.stderr).refusal
    assert "one.json: could not be written (File too large)" in refusal
    assert "free some space or choose another folder" in refusal
    assert predictions(tmp_path / "x") == {"one"}
    assert (tmp_path / "x/one.json").read_bytes() == earlier
