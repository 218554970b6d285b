"""Spoken text: every sentence, by the speaker it fell to, the same bytes after any kill."""

import csv
import gzip
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts import speak_text
from scripts.speaking.cast import VARIANTS
from scripts.speaking.corpus import level, share_out, speak_corpus
from scripts.speaking.engines import EspeakEngine, KokoroEngine, PiperEngine
from scripts.speaking.sentences import read_sentences
from scripts.speaking.speakers import cast
from src.datasets import LibriSpeech
from src.text import Characters
from src.utils.errors import UserError
from tests.cli.in_process import TINY, call
from tests.conftest import REPOSITORY
from tests.scripts.tone_engine import LETTER_S, ToneEngine, hertz

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SENTENCES = [f"{a} and {b}" for a in WORDS for b in WORDS[:4]]
SETTINGS = {
    "voices": "all",
    "n_speakers": 7,
    "first_speaker": 1,
    "chapter_size": 3,
    "readings": 1,
    "seed": 5,
    "jobs": 2,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "sentences.txt"
    path.write_text("".join(f"{sentence}\n" for sentence in SENTENCES))
    return path


def speak(text: Path, out: Path, *options: str) -> Path:
    """The command with eSpeak NG; the part's folder."""
    small = ("--n_speakers", "12", "--chapter_size", "4")
    speak_text.main([str(text), "--out", str(out), *small, *options])
    return out / "spoken"


@pytest.fixture(scope="module")
def spoken(text, tmp_path_factory) -> Path:
    return speak(text, tmp_path_factory.mktemp("corpus"))


def bytes_of_all(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_corpus_is_one_of_librispeech_s_layout_with_every_sentence(spoken):
    corpus = LibriSpeech(spoken.parent, ["spoken"], Characters())
    assert sorted(corpus.transcripts) == sorted(SENTENCES)
    speakers = {corpus[row].speaker for row in range(len(corpus))}
    assert speakers == {str(number) for number in range(1, 11)}  # ten chapters
    for row in range(0, len(corpus), 9):
        utterance = corpus[row]
        assert 0.4 < len(utterance.waveform) / 16_000 < 4
        peak_db = 20 * np.log10(np.abs(utterance.waveform).max())
        assert -15.1 < peak_db < -0.9


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_jobs(text, spoken, tmp_path):
    again = speak(text, tmp_path, "--jobs", "1")
    assert bytes_of_all(again) == bytes_of_all(spoken)
    for name in ("speakers.csv", "sentences.tsv", "settings.json"):
        ours, theirs = (folder.with_name(f"spoken.{name}") for folder in (spoken, again))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(text, spoken, tmp_path):
    command = [sys.executable, "-m", "scripts.speak_text", str(text), "--out", str(tmp_path)]
    command += ["--n_speakers", "12", "--chapter_size", "4", "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.glob("spoken/*/*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("spoken/*/*")}
    shutil.rmtree(path := kept.popitem()[0])  # there is something to do, however fast it was
    assert not path.exists()
    half = tmp_path / ".unfinished" / "spoken-3-3"
    half.mkdir(parents=True, exist_ok=True)
    (half / "3-3-0000.flac").write_bytes(b"half")
    assert bytes_of_all(speak(text, tmp_path)) == bytes_of_all(spoken)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert not (tmp_path / ".unfinished").exists()


def test_other_settings_are_refused(text, spoken, tmp_path):
    with pytest.raises(SystemExit) as ended:
        speak(text, spoken.parent, "--seed", "1")
    assert "spoken: was made with seed 0. Delete it and" in str(ended.value)
    (tmp_path / "spoken").mkdir()
    with pytest.raises(SystemExit) as ended:
        speak(text, tmp_path)
    assert "is there, but was not made by this command" in str(ended.value)


def test_another_engine_speaks_by_the_same_rules(tmp_path):
    sentences = [(i, sentence) for i, sentence in enumerate(SENTENCES, 1)] + [(41, "…")]
    keys = SETTINGS | {"readings": 2}
    n_utterances, hours, n_silent = speak_corpus(sentences, tmp_path, "tones", ToneEngine, **keys)
    assert (n_utterances, n_silent) == (80, 2) and hours > 0
    speakers = cast(["1", "2", "4"], 7, 5)
    heard: dict[str, set[str]] = {}
    for chapter in share_out(sentences, speakers, 3, 2):
        folder = chapter.folder(tmp_path / "tones")
        lines = (folder / f"{chapter.name}.trans.txt").read_text().splitlines()
        assert lines == [
            f"{chapter.name}-{i:04d} {text}"
            for i, text in enumerate(chapter.sentences)
            if text != "…"
        ]
        for i, sentence in enumerate(chapter.sentences):
            heard.setdefault(sentence, set()).add(str(chapter.speaker.id))
            if sentence != "…":
                samples, rate = soundfile.read(folder / f"{chapter.name}-{i:04d}.flac")
                hold_tones(samples, rate, sentence, chapter.speaker)
    assert {len(who) for who in heard.values()} == {2}  # each reading is another's


def hold_tones(samples: np.ndarray, rate: int, sentence: str, speaker) -> None:
    """The level is the speaker's, and the first and the last letter are heard."""
    assert rate == 16_000
    assert 20 * np.log10(np.abs(samples).max()) == pytest.approx(speaker.peak_db, abs=0.01)
    n = round(LETTER_S / speaker.speed * rate)
    for piece, letter in ((samples[:n], sentence[0]), (samples[-n:], sentence[-1])):
        spectrum = np.abs(np.fft.rfft((piece - piece.mean()) * np.hanning(len(piece)), 2**15))
        assert spectrum.argmax() * rate / 2**15 == pytest.approx(hertz(letter, speaker), abs=8)


def test_the_same_tones_come_from_one_job_and_from_three(tmp_path):
    sentences = list(enumerate(SENTENCES, 1))
    for jobs in (1, 3):
        speak_corpus(sentences, tmp_path / str(jobs), "t", ToneEngine, **SETTINGS | {"jobs": jobs})
    assert bytes_of_all(tmp_path / "1") == bytes_of_all(tmp_path / "3")


def test_speakers_differ_and_the_first_are_the_same_for_any_number():
    few, many = cast(["a", "b", "c"], 4, seed=3), cast(["a", "b", "c"], 9, seed=3)
    assert many[:4] == few and [speaker.id for speaker in many] == list(range(1, 10))
    for start in (0, 3, 6):
        assert {speaker.voice for speaker in many[start : start + 3]} == {"a", "b", "c"}
    assert len({(s.pitch, s.pitch_range, s.speed) for s in many}) == 9
    assert cast(["a", "b", "c"], 4, seed=4) != few
    assert cast(["a"], 1, seed=3, first=500)[0].id == 500


def test_parts_of_espeak_s_voices_share_none():
    engine = EspeakEngine(None)
    parts = {part: {voice.split("+")[1] for voice in engine.voices(part)} for part in VARIANTS}
    assert not parts["train"] & parts["validation"] and not parts["train"] & parts["test"]
    assert set().union(*parts.values()) == {v.split("+")[1] for v in engine.voices("all")}


@pytest.mark.parametrize(
    ("suffix", "opener"), [("txt", open), ("gz", gzip.open), ("xz", lzma.open)]
)
def test_sentences_are_read_from_plain_and_packed_files(tmp_path, suffix, opener):
    path = tmp_path / f"text.{suffix}"
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("One  sentence.\n\n84-121123-0000 GO DO YOU HEAR\nzero\0byte\n3-4 votes\n")
    assert read_sentences(path) == [
        (1, "One sentence."), (3, "GO DO YOU HEAR"), (4, "zero byte"), (5, "3-4 votes"),
    ]  # fmt: skip
    assert len(read_sentences(path, limit=2)) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\xff\xfe\x00", "not readable as UTF-8 text"),
        ("a.gz", b"no archive", "not readable as UTF-8 text"),
        ("a.gz", gzip.compress(b"One.", mtime=0)[:10] + b"\xff" * 9, "not readable as UTF-8 text"),
        ("a.xz", b"no archive", "not readable as UTF-8 text"),
        ("a.txt", b" \n\n", "has no sentences in it"),
        ("gone.txt", None, "No such file"),
    ],
)
def test_text_that_can_t_be_read_is_refused_in_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        speak_text.main([str(tmp_path / name), "--out", str(tmp_path / "out")])
    assert str(ended.value).startswith("speak_text: ") and message in str(ended.value)
    assert not (tmp_path / "out").exists()


def test_a_text_in_capitals_is_spoken_as_words_and_written_as_it_is(tmp_path):
    tones = {}
    for number, sentence in enumerate(["IT IS US", "it is us"]):
        out = tmp_path / str(number)
        speak_corpus([(1, sentence)], out, "t", ToneEngine, **SETTINGS)
        assert (out / "t/1/1/1-1.trans.txt").read_text() == f"1-1-0000 {sentence}\n"
        tones[number] = (out / "t/1/1/1-1-0000.flac").read_bytes()
    assert tones[0] == tones[1]


def test_level_scales_to_the_peak_and_knows_silence():
    assert level(np.zeros(100), 16_000, -3.0) is None and level(np.zeros(0), 16_000, -3.0) is None
    loud = level(np.array([0, 500, -1000], np.int16), 16_000, 0.0)
    assert loud.tolist() == [0, 16384, -32767]


@pytest.mark.parametrize(
    ("engine", "make", "message"),
    [
        (PiperEngine, None, r"--engine piper: needs --model, VOICE\.onnx"),
        (PiperEngine, "voice.bin", r"voice\.bin: another kind of file"),
        (PiperEngine, "voice.onnx", r"voice\.onnx\.json: no such file; --engine piper needs the"),
        (KokoroEngine, None, "--engine kokoro: needs --model, a folder"),
        (KokoroEngine, "kokoro/a.onnx", r"expected one file \*\.onnx and one \*\.bin"),
        (EspeakEngine, "voice.onnx", "--model: eSpeak NG has its voices"),
    ],
)
def test_an_engine_without_its_model_says_what_it_needs(tmp_path, engine, make, message):
    path = None
    if make is not None:
        (tmp_path / make).parent.mkdir(exist_ok=True)
        (tmp_path / make).touch()
        path = tmp_path / make.split("/")[0]
    with pytest.raises(UserError, match=message):
        engine(path)


@pytest.mark.parametrize(
    ("engine", "package", "files"),
    [
        (PiperEngine, "piper", ["v.onnx", "v.onnx.json"]),
        (KokoroEngine, "kokoro_onnx", ["v.onnx", "v.bin"]),
    ],
)
def test_an_engine_without_its_package_says_the_install_command(tmp_path, engine, package, files):
    for name in files:
        (tmp_path / name).touch()
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(UserError, match="is not installed; pip install"):
            engine(tmp_path / files[0] if engine is PiperEngine else tmp_path)
    else:
        pytest.skip(f"{package} is installed here")


def test_who_is_who_and_which_line_is_written_down(spoken):
    with spoken.with_name("spoken.speakers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(number) for number in range(1, 13)]
    pairs = [line.split("\t") for line in
             spoken.with_name("spoken.sentences.tsv").read_text().splitlines()]  # fmt: skip
    for name, line in pairs:
        speaker, chapter, _ = name.split("-")
        transcripts = (spoken / speaker / chapter / f"{speaker}-{chapter}.trans.txt").read_text()
        assert f"{name} {SENTENCES[int(line) - 1]}\n" in transcripts
    assert json.loads(spoken.with_name("spoken.settings.json").read_text())["n_sentences"] == 40


def test_deepspeech2_trains_on_it(spoken, tmp_path):
    outcome = call(
        "train", "-cn=deepspeech2", *TINY, "dataset=librispeech", f"dataset.root={spoken.parent}",
        "dataset.train_parts=[spoken]", f"dataset.index_dir={tmp_path}", "loader.n_workers=0",
        "dataset.validation_share=0.3", f"run_dir={tmp_path}/run", "device=cpu",
        "loader.max_batch_s=20", "trainer.n_epochs=1", "trainer.log_every=1",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert "validation/wer" in (tmp_path / "run/log.jsonl").read_text()
