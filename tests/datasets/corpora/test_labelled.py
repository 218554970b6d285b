"""Label tracks of Audacity: read, refused by line, and learnt from, frame by frame."""

import json

import numpy as np
import pytest
import soundfile

from src.datasets import Labelled
from src.datasets.corpora.labelled import read_labels
from src.text import FrameLabels
from src.utils.errors import UserError
from tests.cli.in_process import call

RATE = 16_000
TONES = {"AA": 300.0, "IY": 900.0, "S": 2_700.0}  # Hz


def recording(path, labels, seconds: float, seed: int = 0) -> None:
    """A tone for each label in a little noise, and the track beside it."""
    sound = 0.01 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    for start, end, symbol in labels:
        place = slice(round(start * RATE), round(end * RATE))
        time = np.arange(place.stop - place.start) / RATE
        sound[place] += 0.3 * np.sin(2 * np.pi * TONES[symbol] * time)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, sound, RATE)
    track = "".join(f"{s:.6f}\t{e:.6f}\t{symbol}\n" for s, e, symbol in labels)
    path.with_name(f"{path.stem}_labels.txt").write_text(track)


def test_tokens_last_as_long_as_the_recording(tmp_path):
    recording(tmp_path / "a.wav", [(0.1, 0.3, "AA"), (0.3, 0.55, "S")], 0.807)
    corpus = Labelled(tmp_path, "train", FrameLabels(), validation_share=0, test_share=0)
    [utterance] = corpus
    assert utterance.transcript == "SIL*10 AA*20 S*25 SIL*26" and utterance.target == "AA S"
    symbols = FrameLabels().vocabulary.symbols
    heard = [symbols[token] for token in utterance.tokens]
    assert heard == ["_"] * 10 + ["AA"] * 20 + ["S"] * 25 + ["_"] * 26


def test_labels_beyond_the_end_of_the_recording_give_no_tokens(tmp_path):
    recording(tmp_path / "a.wav", [(0.1, 0.3, "AA")], 0.35)
    (tmp_path / "a_labels.txt").write_text("0.1\t0.3\tAA\n0.3\t0.9\tS\n")
    [utterance] = Labelled(tmp_path, "train", FrameLabels(), validation_share=0, test_share=0)
    symbols = FrameLabels().vocabulary.symbols
    heard = [symbols[token] for token in utterance.tokens]
    assert heard == ["_"] * 10 + ["AA"] * 20 + ["S"] * 5


@pytest.mark.parametrize(
    ("track", "told"),
    [
        ("0.1\t0.2\n", "line 1: expected start, end and phoneme"),
        ("0.1\t0.2\tAA\n\n0.15\t0.3\tS\n", "line 3: S from 0.15 to 0.3 s, but .* ends at 0.2"),
        ("0.5\t0.2\tAA\n", "AA from 0.5 to 0.2 s"),
        ("nan\t0.2\tAA\n", "AA from nan"),
        ("0\t1e308\tAA\n", "AA from 0 to 1e\\+308 s"),
        ("a\tb\tAA\n", "expected start, end and phoneme"),
    ],
)
def test_a_bad_track_is_told_by_its_line(tmp_path, track, told):
    (tmp_path / "a_labels.txt").write_text(track)
    with pytest.raises(UserError, match=told):
        read_labels(tmp_path / "a_labels.txt")


def test_frequencies_of_spectral_labels_are_passed_over(tmp_path):
    (tmp_path / "a_labels.txt").write_text("0.1\t0.2\tAA\n\\\t100.0\t2000.0\n0.2\t0.3\tS\n")
    assert read_labels(tmp_path / "a_labels.txt") == [(0.1, 0.2, "AA"), (0.2, 0.3, "S")]


def test_what_has_no_track_or_a_bad_one_is_left_out_by_name(tmp_path, caplog):
    recording(tmp_path / "good.wav", [(0.1, 0.3, "AA")], 0.5)
    recording(tmp_path / "bad.wav", [(0.1, 0.3, "AA")], 0.5)
    (tmp_path / "bad_labels.txt").write_text("0.1\tAA\n")
    recording(tmp_path / "strange.wav", [(0.1, 0.3, "AA")], 0.5)
    (tmp_path / "strange_labels.txt").write_text("0.1\t0.2\tQX\n")
    recording(tmp_path / "none.wav", [], 0.5)
    (tmp_path / "none_labels.txt").unlink()
    corpus = Labelled(tmp_path, "train", FrameLabels(), validation_share=0, test_share=0)
    assert list(corpus.ids) == ["good.wav"] or list(corpus.ids) == ["good"]
    for told in ("3 can't be used", "bad", "strange", "none", "'QX*10' is no label"):
        assert told in caplog.text


@pytest.mark.parametrize(
    ("track", "end"),
    [
        ("0\t2e10\tAA\n", "2e+10"),
        ("0\t8000\tAA\n8000\t16000\tS\n", "16000"),
        ("0\t1.51\tAA\n", "1.51"),
    ],
    ids=["for ever", "in samples", "a second too long"],
)
@pytest.mark.parametrize("text", [FrameLabels(), None], ids=["labels", "no text"])
def test_a_track_that_outlasts_its_recording_by_a_second_is_left_out(
    tmp_path, caplog, track, end, text
):
    recording(tmp_path / "good.wav", [(0.1, 0.3, "AA")], 0.5)
    recording(tmp_path / "other.wav", [], 0.5)
    (tmp_path / "other_labels.txt").write_text(track)
    corpus = Labelled(tmp_path, "train", text, validation_share=0, test_share=0)
    assert list(corpus.ids) == ["good.wav"]
    assert "1 whose labels end long after their recording (other.wav; first: " in caplog.text
    assert f"labels until {end} s of 0.50 s of sound" in caplog.text


def test_frames_are_learnt_from_the_command_line_and_read_as_phonemes(tmp_path):
    rng = np.random.default_rng(1)
    for i in range(24):
        labels, now = [], 0.0
        for symbol in rng.permutation(list(TONES)):
            start = now + rng.uniform(0.3, 0.5)
            now = start + rng.uniform(0.3, 0.5)
            labels.append((start, now, symbol))
        recording(tmp_path / "spoken" / f"{i}.wav", labels, now + 0.4, seed=i)
    keys = ["-cn=labelled", f"dataset.root={tmp_path / 'spoken'}", f"run_dir={tmp_path / 'run'}"]
    keys += ["dataset.index_dir=null", "dataset.validation_share=0.2", "device=cpu"]
    keys += ["transform=logmel40", "model.width=32", "model.n_rnn_layers=1", "loader.n_workers=0"]
    keys += ["loader.batch_size=4", "trainer.n_epochs=12", "optimizer.lr=1e-2"]
    assert call("train", *keys).status == 0
    lines = (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()
    rates = [line["validation/per"] for line in map(json.loads, lines) if "validation/per" in line]
    assert rates[-1] < 0.1 < rates[0]


def test_an_objective_without_its_labels_is_refused(tmp_path):
    for keys in (["-cn=labelled", "objective=ctc"], ["-cn=convnet", "objective=frames"]):
        refusal = call("train", *keys, f"run_dir={tmp_path / 'run'}").refusal
        assert "objective=frames learns from text=frame_labels" in refusal
