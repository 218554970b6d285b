"""The generated corpus: repeatable, whole or absent, with no voice in two parts."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
import wave
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from scripts import generate_commands
from scripts.speaking.cast import ACCENTS, TEST_ONLY_ACCENT, VARIANTS, Speaker, cast_speakers
from scripts.speaking.clips import CLIP_SAMPLES, add_noise, place, resample, speak_within_a_second
from src.text.dictionaries import SPEECH_COMMANDS
from src.utils.errors import UserError
from src.utils.espeak import Espeak

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ["--n_speakers", "16", "--n_processes", "2"]  # 12, 2 and 2: shares of 15 and 1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "clips"
    generate_commands.main(["--out", str(folder), *SMALL])
    return folder


def test_every_clip_is_one_second_of_audible_speech_at_16_kHz(corpus):
    paths = sorted(corpus.glob("*/*.wav"))
    assert len(paths) == 16 * 35
    assert {path.parent.name for path in paths} == set(SPEECH_COMMANDS)
    for path in paths:
        clip, rate = read_wav(path)
        assert (rate, len(clip)) == (16_000, CLIP_SAMPLES)
        assert 3_000 < np.abs(clip.astype(int)).max() < 30_000  # 1 to 20 dB below full scale


def test_the_same_arguments_give_the_same_bytes_however_many_processes(corpus, tmp_path):
    again = tmp_path / "again"
    generate_commands.main(["--out", str(again), *SMALL[:2], "--n_processes", "1"])
    assert bytes_of_all(again) == bytes_of_all(corpus)


def test_another_seed_gives_other_speakers():
    first, second = ({s.id for s in cast_speakers(40, seed)} for seed in (0, 1))
    assert len(first) == len(second) == 40
    assert not first & second


def test_lists_and_speakers_agree_and_no_speaker_is_in_two_parts(corpus):
    with (corpus / "speakers.csv").open(encoding="utf-8", newline="") as file:
        part_of = {row["speaker"]: row["part"] for row in csv.DictReader(file)}
    listed = {
        "validation": (corpus / "validation_list.txt").read_text().split(),
        "test": (corpus / "testing_list.txt").read_text().split(),
    }
    for part, names in listed.items():
        assert len(names) == 2 * 35
        assert {part_of[Path(name).name.split("_")[0]] for name in names} == {part}
        assert all((corpus / name).is_file() for name in names)
    assert not set(listed["validation"]) & set(listed["test"])


def test_test_and_validation_voices_are_never_heard_in_training():
    voices, accents = defaultdict(set), defaultdict(set)
    for speaker in cast_speakers(400, seed=3):
        voices[speaker.part].add(speaker.variant)
        accents[speaker.part].add(speaker.accent)
    for one, other in itertools.combinations(voices.values(), 2):
        assert not one & other
    assert TEST_ONLY_ACCENT in accents["test"]
    assert accents["train"] == accents["validation"] == set(ACCENTS)


def test_no_voice_sounds_like_a_voice_of_another_part():
    """Mel spectra of two words differ by 2 dB or more; within a family it can be 0.4 dB."""
    part_of = {variant: part for part, variants in VARIANTS.items() for variant in variants}
    espeak = Espeak()
    spectra = {variant: mel_spectrum_db(espeak, variant) for variant in part_of}
    too_close = [
        (one, other)
        for one, other in itertools.combinations(part_of, 2)
        if part_of[one] != part_of[other]
        and np.sqrt(np.mean((spectra[one] - spectra[other]) ** 2)) < 2
    ]
    assert not too_close


def test_what_a_killed_run_left_is_replaced(tmp_path, corpus):
    out = tmp_path / "clips"
    command = [sys.executable, "-m", "scripts.generate_commands", "--out", str(out), *SMALL]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    unfinished = tmp_path / ".clips.unfinished"
    while not any(unfinished.glob("*/*.wav")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert unfinished.exists()
    assert not out.exists()
    generate_commands.main(["--out", str(out), *SMALL])
    assert not unfinished.exists()
    assert bytes_of_all(out) == bytes_of_all(corpus)


def test_a_finished_corpus_is_not_made_again(corpus, capsys):
    before = {path: path.stat().st_mtime_ns for path in corpus.glob("**/*")}
    generate_commands.main(["--out", str(corpus), *SMALL])
    assert "was there already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in corpus.glob("**/*")} == before


def test_a_corpus_of_other_settings_is_left_alone_and_named(corpus):
    with pytest.raises(SystemExit, match=r"made with n_speakers 16.*Delete the folder"):
        generate_commands.main(["--out", str(corpus), "--n_speakers", "17"])


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match="not made by this command"):
        generate_commands.main(["--out", str(tmp_path), *SMALL])
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="could not be written"):
        generate_commands.main(["--out", str(tmp_path / "file" / "clips"), *SMALL])


def test_too_few_speakers_for_all_parts_are_refused():
    with pytest.raises(UserError, match="n_speakers=4 leaves a part without a speaker"):
        cast_speakers(4, seed=0)


@pytest.mark.parametrize("arguments", [["--n_speakers", "0"], ["--seed", "-1"], ["--seed", "x"]])
def test_numbers_out_of_range_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        generate_commands.main(arguments)
    assert "is not a whole number from" in capsys.readouterr().err


def test_a_long_word_is_said_faster_instead_of_being_cut():
    slow = Speaker("train", "en-us", "m1", 50, 50, 110, (0, 0))
    rng = np.random.default_rng(0)
    speech = speak_within_a_second(Espeak(), "international", slow, rng)
    assert 0.5 * CLIP_SAMPLES < len(speech) <= CLIP_SAMPLES
    assert np.abs(speech[-160:]).max() < 0.01  # it ends in silence: nothing was cut


def test_what_cannot_fit_into_a_second_is_refused():
    speaker = Speaker("train", "en-us", "m1", 50, 50, 110, (0, 0))
    with pytest.raises(UserError, match="Leave the word or the voice out"):
        speak_within_a_second(
            Espeak(), "international cooperation between nations", speaker, np.random.default_rng(0)
        )


def test_resampling_keeps_a_tone_and_removes_what_the_new_rate_cannot_hold():
    seconds = np.arange(22_050) / 22_050
    fade = np.hanning(22_050)
    low, high = (np.sin(2 * np.pi * hz * seconds) * fade for hz in (1_000, 9_500))
    kept = resample(low, 22_050, 16_000)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)
    expected *= np.interp(np.arange(16_000) / 16_000, seconds, fade)
    np.testing.assert_allclose(kept, expected, atol=1e-3)
    assert np.abs(resample(high, 22_050, 16_000)).max() < 1e-3


def test_placing_loses_no_sample():
    speech = np.arange(1.0, CLIP_SAMPLES - 99)
    clip = place(speech, np.random.default_rng(5))
    np.testing.assert_array_equal(clip[clip != 0], speech)


def test_noise_is_10_to_40_dB_below_the_clip():
    clip = np.sin(np.arange(CLIP_SAMPLES) / 10)
    ratios_db = [
        10 * np.log10(np.mean(clip**2) / np.mean((add_noise(clip, rng) - clip) ** 2))
        for rng in map(np.random.default_rng, range(200))
    ]
    assert 10 <= min(ratios_db) < 13
    assert 37 < max(ratios_db) <= 40


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def bytes_of_all(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.glob("**/*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def mel_spectrum_db(espeak: Espeak, variant: str) -> np.ndarray:
    """Power of two words in 40 mel bands each, less its mean: loudness is no likeness."""
    edges_hz = 700 * (np.exp(np.linspace(0, np.log(1 + 8000 / 700), 41)) - 1)
    edges = np.unique((edges_hz * 2**15 / espeak.sample_rate).astype(int))
    bands = []
    for word in ("seven", "house"):
        spoken = espeak.speak(word, accent="en-gb", variant=variant, words_per_minute=150) / 2**15
        power = np.abs(np.fft.rfft(spoken, 2**15)) ** 2
        bands.append(10 * np.log10(np.add.reduceat(power, edges)[:-1] + 1e-6))
    return np.concatenate(bands) - np.mean(bands)
