"""Packing Speech Commands: what goes in comes out, and a half file never has the final name."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from scripts.prepare_speech_commands import main
from src.datasets import SpeechCommands
from src.datasets.commands.folder import SPLITS, scan_folder
from tests.conftest import REPOSITORY
from tests.datasets.commands.tiny_commands import (
    SECOND,
    SPEAKERS,
    WORDS,
    split_of,
    write_clip,
    write_corpus,
)

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "clips")


def pack(tmp_path: Path, *options: str) -> Path:
    out = tmp_path / "packed" / "commands.h5"
    main(["--source", str(tmp_path / "clips"), "--out", str(out), *options])
    return out


def refusal(tmp_path: Path, capfd, *options: str) -> str:
    """The one line on which packing gives up."""
    with pytest.raises(SystemExit) as stopped:
        pack(tmp_path, *options)
    message = str(stopped.value.code)
    assert message.startswith("prepare_speech_commands: ")
    assert "\n" not in message
    assert not list(tmp_path.glob("packed/*")) and not list(tmp_path.glob("packed/.*"))
    return message


def test_every_clip_is_stored_bit_by_bit_with_its_word_split_and_speaker(tmp_path, corpus):
    with h5py.File(pack(tmp_path)) as file:
        ids = [name.decode() for name in file["ds/id"]]
        words = [word.decode() for word in file.attrs["words"]]
        assert sorted(ids) == sorted(corpus)
        assert words == sorted(WORDS)
        for row, clip_id in enumerate(ids):
            np.testing.assert_array_equal(file["ds/data"][row], corpus[clip_id])
            word, _, name = clip_id.partition("/")
            assert words[file["ds/label"][row]] == word
            assert SPLITS[file["ds/split"][row]] == split_of(clip_id)
            assert file["ds/speaker"][row].decode() == name.partition("_nohash_")[0]


def test_one_read_is_one_clip_and_the_file_says_what_it_is(tmp_path, corpus):
    with h5py.File(pack(tmp_path)) as file:
        assert file["ds/data"].chunks == (1, SECOND)
        assert file["ds/data"].dtype == np.int16
        assert file["ds/length"].shape == (len(corpus),)
        assert all(file[f"ds/{name}"].fletcher32 for name in file["ds"])
        assert file.attrs["schema"] == b"speech-commands"
        assert file.attrs["schema_version"] == 1
        assert file.attrs["sample_rate"] == SECOND
        assert file.attrs["source"].decode() == str(tmp_path / "clips")


def test_neighbouring_rows_hold_many_words(tmp_path, corpus):
    with h5py.File(pack(tmp_path)) as file:
        assert len(set(file["ds/label"][: len(WORDS)])) == len(WORDS)


def test_short_clips_are_padded_and_long_ones_cut_and_named(tmp_path, capsys):
    lengths = (9000, SECOND, 20000, 1)
    corpus = write_corpus(tmp_path / "clips", n_each=1, lengths=lengths)
    with h5py.File(pack(tmp_path)) as file:
        for row, name in enumerate(file["ds/id"].asstr()):
            samples = corpus[name][:SECOND]
            length = file["ds/length"][row]
            assert length == len(samples)
            np.testing.assert_array_equal(file["ds/data"][row, :length], samples)
            assert not file["ds/data"][row, length:].any()
    report = capsys.readouterr().out
    long = next(name for name, samples in corpus.items() if len(samples) == 20000)
    assert line(report, "shorter than one second").endswith(" 6")
    assert " 3  (" in line(report, "longer than 16,000") and long in report


def test_unreadable_clips_are_left_out_and_named(tmp_path, corpus, capsys):
    bad = ["yes/5f_nohash_0", "yes/5f_nohash_1", "yes/5f_nohash_2"]
    paths = [write_clip(tmp_path / "clips", name, np.ones(4000, np.int16)) for name in bad]
    paths[0].write_bytes(b"")
    paths[1].write_bytes(b"this is no sound")
    paths[2].write_bytes(paths[2].read_bytes()[:3000])
    with h5py.File(pack(tmp_path)) as file:
        assert sorted(file["ds/id"].asstr()) == sorted(corpus)
    report = capsys.readouterr().out
    assert line(report, "unreadable").endswith(" 3")
    assert all(str(path) in report for path in paths)


def test_stereo_and_other_rates_become_mono_at_16_khz(tmp_path, corpus):
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32) / 2
    stereo = np.stack([tone, np.zeros_like(tone)], axis=1)
    soundfile.write(tmp_path / "clips/yes/aa_nohash_0.flac", stereo, 8000, subtype="PCM_24")
    with h5py.File(pack(tmp_path)) as file:
        row = list(file["ds/id"].asstr()).index("yes/aa_nohash_0")
        spectrum = np.abs(np.fft.rfft(file["ds/data"][row].astype(float)))
        assert file["ds/length"][row] == SECOND
        assert spectrum.argmax() == 440  # one second: bin number = Hz
        assert abs(file["ds/data"][row]).max() == pytest.approx(32768 / 4, rel=0.05)


def test_the_closing_table_counts_each_word_in_each_split(tmp_path, corpus, capsys):
    out = pack(tmp_path)
    report = capsys.readouterr().out
    for word in WORDS:
        assert line(report, word).split() == [word, "4", "2", "2", "8"]
    assert line(report, "all").split() == ["all", "12", "6", "6", "24"]
    assert str(out) in line(report, "written")


def test_background_noise_and_hidden_files_hold_no_words(tmp_path, corpus):
    noise = np.zeros(SECOND, np.int16)
    write_clip(tmp_path / "clips", "_background_noise_/rain", noise)
    write_clip(tmp_path / "clips", "yes/.hidden", noise)
    (tmp_path / "clips/README.md").write_text("not a clip")
    assert len(scan_folder(tmp_path / "clips")) == len(corpus)


def test_the_lists_find_clips_of_any_extension(tmp_path):
    corpus = write_corpus(tmp_path / "clips", n_each=1)
    for clip_id, samples in corpus.items():
        wav = tmp_path / "clips" / f"{clip_id}.wav"
        wav.unlink()
        soundfile.write(wav.with_suffix(".FLAC"), samples, SECOND)
    clips = scan_folder(tmp_path / "clips")
    assert {clip.id: SPLITS[clip.split] for clip in clips} == {c: split_of(c) for c in corpus}


def test_listed_clips_that_are_not_there_are_counted(tmp_path, corpus, caplog):
    with (tmp_path / "clips/testing_list.txt").open("a") as file:
        file.write("yes/gone_nohash_0.wav\n")
    scan_folder(tmp_path / "clips")
    assert "1 clips of the split lists are not in the folder (yes/gone_nohash_0)" in caplog.text


@pytest.mark.parametrize("name", ["validation_list.txt", "testing_list.txt"])
def test_a_missing_list_is_refused(tmp_path, corpus, capfd, name):
    (tmp_path / "clips" / name).unlink()
    assert f"{name} is missing" in refusal(tmp_path, capfd)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"no slash.wav\n", b"yes/\n"])
def test_a_list_that_is_none_is_refused(tmp_path, corpus, capfd, content):
    (tmp_path / "clips/testing_list.txt").write_bytes(content)
    message = refusal(tmp_path, capfd)
    assert "testing_list.txt" in message and "official archive" in message


def test_a_clip_in_both_lists_is_refused(tmp_path, corpus, capfd):
    clip_id = f"yes/{SPEAKERS[1]}_nohash_0"
    with (tmp_path / "clips/testing_list.txt").open("a") as file:
        file.write(f"{clip_id}.wav\n")
    assert f"{clip_id} is in both" in refusal(tmp_path, capfd)


def test_two_files_of_one_id_are_refused(tmp_path, corpus, capfd):
    clip_id = f"yes/{SPEAKERS[0]}_nohash_0"
    soundfile.write(tmp_path / "clips" / f"{clip_id}.flac", corpus[clip_id], SECOND)
    message = refusal(tmp_path, capfd)
    assert f"{clip_id}.flac" in message and "Remove or rename" in message


def test_an_absent_folder_names_the_download(tmp_path, capfd):
    assert "add --download" in refusal(tmp_path, capfd)


def test_a_folder_without_clips_is_refused(tmp_path, capfd):
    write_corpus(tmp_path / "clips", n_each=0)
    message = refusal(tmp_path, capfd)
    assert "no audio found" in message and ".wav" in message


def test_a_corpus_without_one_readable_clip_is_refused(tmp_path, capfd):
    for path in [tmp_path / f"clips/{clip}.wav" for clip in write_corpus(tmp_path / "clips", 1)]:
        path.write_bytes(b"")
    message = refusal(tmp_path, capfd)
    assert "not one of the 12 clips is readable" in message and "0 bytes" in message


def test_a_folder_in_place_of_the_file_is_refused(tmp_path, corpus):
    (tmp_path / "packed/commands.h5").mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"commands\.h5: could not be written \(Is a directory\)"):
        pack(tmp_path)


def test_no_threads_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        pack(tmp_path, "--n_threads", "0")
    assert "expected 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("kept_bytes", [0, 1000, 40_000, 700_000])
def test_a_full_disk_is_one_sentence_and_nothing_stays(tmp_path, corpus, capfd, kept_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kept_bytes, hard))
    try:
        message = refusal(tmp_path, capfd)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be written (File too large)" in message
    assert "free some space" in message


def test_a_full_disk_ends_the_program_with_one_line_and_status_1(tmp_path):
    # More than HDF5 keeps in memory, so that it meets the limit in the middle of its work.
    write_corpus(tmp_path / "clips", n_each=26)
    out = tmp_path / "packed/commands.h5"
    out.parent.mkdir()
    out.write_bytes(b"an older file")
    done = subprocess.run(
        script(tmp_path, out),
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "could not be written" in done.stderr
    assert names(out.parent) == ["commands.h5"] and out.read_bytes() == b"an older file"


@pytest.fixture
def stuck(tmp_path):
    """A packing process in the middle of its file: its last clip is a pipe that never ends."""
    corpus = write_corpus(tmp_path / "clips", n_each=26)  # more than HDF5 keeps in memory
    os.mkfifo(tmp_path / "clips/yes/zz_nohash_0.wav")
    out = tmp_path / "packed/commands.h5"
    process = subprocess.Popen(script(tmp_path, out), cwd=REPOSITORY, env=ENVIRONMENT)
    partial = out.with_name(".commands.h5.partial")
    while not (partial.exists() and partial.stat().st_size > 0):
        assert process.poll() is None
        time.sleep(0.005)
    yield process, corpus
    process.kill()
    process.wait()


def test_killed_it_leaves_nothing_under_the_name_and_the_next_run_starts_clean(tmp_path, stuck):
    process, corpus = stuck
    with pytest.raises(SystemExit, match=r"another process is writing this file\. Wait"):
        pack(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(tmp_path / "packed") == [".commands.h5.partial"]
    (tmp_path / "clips/yes/zz_nohash_0.wav").unlink()
    out = pack(tmp_path)
    assert names(out.parent) == ["commands.h5"]
    assert_holds(out, corpus)


def test_real_clips_survive_packing(tmp_path, shared_data):
    source = tmp_path / "clips"
    source.mkdir()
    wavs = sorted((shared_data / "speech_commands_wav").glob("*/*.wav"))
    for word in {wav.parent for wav in wavs}:
        (source / word.name).symlink_to(word)
    for name in ("validation_list.txt", "testing_list.txt"):
        (source / name).write_bytes((shared_data / "speech_commands" / name).read_bytes())
    out = pack(tmp_path)
    assert_holds(
        out, {f"{w.parent.name}/{w.stem}": soundfile.read(w, dtype="int16")[0] for w in wavs}
    )


def assert_holds(out: Path, corpus: dict[str, np.ndarray]) -> None:
    """The file holds each clip of `corpus`, and no other, as the reader sees it."""
    found = {}
    for split in SPLITS:
        with h5py.File(out) as file:
            if SPLITS.index(split) not in set(file["ds/split"][()]):
                continue
        for utterance in SpeechCommands(out, split, text=None):
            found[utterance.id] = utterance.waveform
    assert found.keys() == {name.replace("/", "_") for name in corpus}
    for name, samples in corpus.items():
        np.testing.assert_array_equal(found[name.replace("/", "_")], samples[:SECOND])


def script(tmp_path: Path, out: Path) -> list[str]:
    module = [sys.executable, "-m", "scripts.prepare_speech_commands"]
    return [*module, "--source", str(tmp_path / "clips"), "--out", str(out)]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def line(report: str, start: str) -> str:
    """The first line of the report that begins so."""
    return next(line for line in report.splitlines() if line.startswith(start))
