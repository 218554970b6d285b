"""Runs of words: what was joined is there, in its place, and again in any reader."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.prepare_speech_commands import main
from src.batch import to_float
from src.datasets import ContinuousCommands, SpeechCommands, make_batches, make_loader
from src.datasets.commands.continuous import faded
from src.text import Phonemes
from src.utils.errors import UserError
from tests.cli.in_process import TINY, call
from tests.datasets.commands.tiny_commands import LISTS, pack_corpus

RATE = 16_000
CLEAN = {"min_snr_db": None, "max_snr_db": None, "min_gain_db": 0.0, "max_gain_db": 0.0}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Noise as clips, of three lengths: the samples by id, and the file."""
    return pack_corpus(tmp_path_factory.mktemp("commands"), n_each=4, lengths=(16000, 9000, 12345))


def open_runs(packed, split: str = "train", text=None, **keys) -> ContinuousCommands:
    return ContinuousCommands(packed[1], split, text, **keys)


def test_a_run_is_its_clips_with_gaps_and_nothing_else(packed):
    runs = open_runs(packed, **CLEAN, min_gap_s=0.01, max_gap_s=0.2, min_words=1, max_words=5)
    clips = SpeechCommands(packed[1], "train", None)
    for number in range(len(runs)):
        utterance, drawn = runs[number], runs.runs(0)
        words = slice(*drawn.offsets[number : number + 2])
        expected, said = [], []
        for clip, gap in zip(drawn.clips[words], drawn.gaps[words], strict=True):
            assert 160 <= gap <= 3200
            expected += [np.zeros(gap), faded(to_float(clips[clip].waveform), 80)]
            said.append(clips[clip].transcript)
        expected.append(np.zeros(drawn.endings[number]))
        expected = np.concatenate(expected)
        np.testing.assert_allclose(to_float(utterance.waveform), expected, atol=0.6 / 32768)
        assert utterance.transcript.split() == said and 1 <= len(said) <= 5
        assert runs.durations_s[number] == np.float32(len(expected) / RATE)


def test_a_clip_rises_from_silence_and_falls_back_to_it():
    ones = np.ones(10, np.float32)
    assert faded(ones, 4).tolist() == [0, 0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25, 0]
    assert faded(ones[:3], 4).tolist() == [0, 1, 0]
    assert ones.all()


def test_the_target_is_the_phonemes_of_all_words(packed):
    text = Phonemes("cmu", None)
    of_word = {"bed": "B EH D", "down": "D AW N", "yes": "Y EH S"}
    for utterance in map(open_runs(packed, text=text).__getitem__, range(5)):
        words = utterance.transcript.split()
        assert utterance.target == " | ".join(of_word[word] for word in words)
        assert utterance.tokens == text.encode(utterance.transcript)


def test_parts_hear_the_speakers_of_the_official_split_only(packed):
    for split in ("train", "validation", "test"):
        runs, clips = open_runs(packed, split), SpeechCommands(packed[1], split, None)
        assert set(runs.runs(0).clips) <= set(range(len(clips)))
        for clip in set(runs.runs(0).clips[:5].tolist()):
            assert runs._clips.ids[clip] == clips.ids[clip]


def test_each_clip_comes_once_before_any_comes_twice(packed):
    runs = open_runs(packed, n_utterances=50, min_words=3, max_words=3).runs(0)  # 150 of 24
    counts = np.bincount(runs.clips, minlength=24)
    assert counts.sum() == 150 and counts.max() - counts.min() <= 1


def test_parts_are_not_made_alike(packed):
    parts = [open_runs(packed, split, n_utterances=50) for split in ("train", "validation", "test")]
    assert len({tuple(np.diff(part.runs(0).offsets)) for part in parts}) == 3


def test_epochs_have_other_runs_and_the_same_seed_the_same(packed):
    runs, again = open_runs(packed, n_utterances=6), open_runs(packed, n_utterances=6)
    other = open_runs(packed, n_utterances=6, seed=2)
    for row in (0, 5, 6, 17):  # of epochs 0, 0, 1, 2
        np.testing.assert_array_equal(runs[row].waveform, again[row].waveform)
        assert runs[row].id == f"run-{row // 6}-{row % 6:06d}"
    texts = [[data[row].transcript for row in span] for data, span in (
        (runs, range(6)), (runs, range(6, 12)), (other, range(6)))]  # fmt: skip
    assert texts[0] != texts[1] and texts[0] != texts[2]


def snr_db(runs: ContinuousCommands, clean: ContinuousCommands, row: int) -> float:
    speech = to_float(clean[row].waveform).astype(np.float64)
    noise = to_float(runs[row].waveform) - speech
    drawn = clean.runs(0)
    spoken = clean._clips.lengths[drawn.clips[slice(*drawn.offsets[row : row + 2])]].sum()
    return 10 * np.log10((speech**2).sum() / spoken / np.mean(noise**2))


def test_noise_has_the_snr_that_was_drawn_from_recordings_or_made(packed, tmp_path):
    hum = 0.1 * np.sin(np.arange(5000) * 0.3)
    soundfile.write(tmp_path / "hum.wav", hum, RATE)
    # Clips of full-scale noise would be clipped with more on top.
    gain = {"min_gain_db": -20.0, "max_gain_db": -20.0}
    for folder in (None, str(tmp_path)):
        clean = open_runs(packed, **CLEAN | gain)
        noisy = open_runs(packed, noise_dir=folder, min_snr_db=5.0, max_snr_db=15.0, **gain)
        for row in range(4):
            wanted = noisy.runs(0).snr_db[row]
            assert 5 <= wanted <= 15
            assert snr_db(noisy, clean, row) == pytest.approx(wanted, abs=0.1)


def test_gain_is_the_one_that_was_drawn(packed):
    plain = open_runs(packed, **CLEAN)
    softer = open_runs(packed, **CLEAN | {"min_gain_db": -30.0, "max_gain_db": -10.0})
    for row in range(4):
        gain_db = softer.runs(0).gain_db[row]
        ratio = np.std(softer[row].waveform.astype(float)) / np.std(
            plain[row].waveform.astype(float)
        )
        assert -30 <= gain_db <= -10 and 20 * np.log10(ratio) == pytest.approx(gain_db, abs=0.05)


def test_limit_and_sort(packed):
    whole = open_runs(packed)
    few = open_runs(packed, limit=5, sort="duration_desc")
    assert len(few) == 5 and (np.diff(few.durations_s) <= 0).all()
    first = sorted(whole[row].transcript for row in range(5))
    assert sorted(few[row].transcript for row in range(5)) == first


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("limits", [{"batch_size": 3}, {"batch_size": None, "max_batch_s": 16.0}])
def test_an_epoch_can_be_entered_at_any_batch_by_any_number_of_workers(packed, n_workers, limits):
    def read(epoch: int, start: int, n_workers: int = 0) -> list:
        runs = open_runs(packed, n_utterances=14)
        order = make_batches(runs, shuffle=True, seed=4, **limits)
        order.set_position(epoch, start)
        return list(make_loader(runs, order, n_workers=n_workers))

    whole = read(2, 0)
    assert sorted(n for b in whole for n in b.ids) == [f"run-2-{i:06d}" for i in range(14)]
    for start in range(len(whole)) if n_workers == 0 else (1,):
        for batch, expected in zip(read(2, start, n_workers), whole[start:], strict=True):
            assert batch.ids == expected.ids and batch.transcripts == expected.transcripts
            assert batch.waveforms.equal(expected.waveforms)


def test_runs_of_real_words_in_real_noise_keep_to_the_official_split(shared_data, tmp_path):
    corpus, few = shared_data / "speech_commands", tmp_path / "few"
    listed = {}
    for split, name in LISTS.items():
        lines = (corpus / name).read_text().splitlines()
        kept = [line for line in lines if line.startswith(("yes/", "no/", "up/"))][::40]
        listed[split] = {line.partition("_nohash_")[0].split("/")[1] for line in kept}
        few.mkdir(exist_ok=True)
        (few / name).write_text("".join(f"{line}\n" for line in kept))
        for line in kept:
            copy_clip(corpus, few, line)
    main(["--source", str(few), "--out", str(tmp_path / "few.h5")])
    noise = str(corpus / "_background_noise_")
    for split, speakers in listed.items():
        runs = ContinuousCommands(
            tmp_path / "few.h5", split, Phonemes("csr"), noise_dir=noise, n_utterances=4
        )
        assert set(runs._clips.speakers) <= speakers
        for row in range(4):
            utterance = runs[row]
            assert set(utterance.transcript.split()) <= {"yes", "no", "up"}
            assert utterance.target == runs._text.target(utterance.transcript)
            loud = np.abs(utterance.waveform[:400].astype(int)).max()
            assert 0 < loud < np.abs(utterance.waveform.astype(int)).max()  # noise before a word


def copy_clip(corpus: Path, few: Path, line: str) -> None:
    """A clip of the lists, of whatever extension; some are not in a smaller corpus."""
    word, _, name = line.partition("/")
    for path in (corpus / word).glob(f"{Path(name).stem}.*"):
        (few / word).mkdir(exist_ok=True)
        shutil.copy(path, few / word)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"min_words": 0}, "min_words=0, max_words=6; expected two numbers from 1 up"),
        ({"min_gap_s": 0.5}, r"min_gap_s=0\.5, max_gap_s=0\.3"),
        ({"min_snr_db": None}, "give both, or null for both"),
        ({"n_utterances": 0}, "n_utterances=0; expected null or"),
        ({"sort": "words"}, "sort=words: expected null, duration"),
        ({"noise_dir": "nowhere"}, "folder=nowhere: holds no recordings"),
    ],
)
def test_senseless_arguments_are_refused(packed, keys, message):
    with pytest.raises(UserError, match=message):
        open_runs(packed, **keys)


def test_a_model_of_phonemes_trains_on_runs(packed, tmp_path):
    outcome = call(
        "train", "-cn=convnet", *TINY, "dataset=continuous_commands", "text=phonemes_cmu_open",
        f"dataset.path={packed[1]}", f"run_dir={tmp_path}/run", "device=cpu", "loader.n_workers=0",
        "dataset.train.n_utterances=8", "dataset.validation.limit=2", "loader.batch_size=4",
        "trainer.n_epochs=2", "trainer.log_every=1",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert "validation/per" in (tmp_path / "run/log.jsonl").read_text()
