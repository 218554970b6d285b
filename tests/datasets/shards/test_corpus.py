"""Shards: anyone can read them, whole, and the same bytes after any kill."""

import json
import logging
import os
import signal
import subprocess
import sys
import tarfile
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts import write_shards
from src.batch import to_int16
from src.datasets import AudioFiles, LibriSpeech, Shards, ShardStream, make_batches, make_loader
from src.datasets.shards.files import scan
from src.datasets.shards.writer import cut
from src.datasets.shards.writer import write_shards as pack
from src.text import Characters
from src.utils import locks
from src.utils.errors import UserError
from tests.conftest import REPOSITORY
from tests.datasets.shards.tiny_shards import RATE, N, damaged, flat, read, write, write_files


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """45 recordings of 0.1 … 0.14 s, FLAC, with transcripts."""
    return write_files(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def packed(corpus, tmp_path_factory) -> Path:
    """The same in five shards, as part "train"."""
    root = tmp_path_factory.mktemp("shards")
    assert write(corpus, root) == (5, N, {})
    return root


def test_packed_utterances_are_bit_for_bit_those_of_the_files(corpus, packed):
    files, shards = AudioFiles(corpus, Characters()), Shards(packed, "train", Characters())
    row_of = {name: row for row, name in enumerate(files.ids)}
    assert len(shards) == N and list(shards.ids) != list(files.ids)  # the order is another
    for i in range(N):
        direct, stored = files[row_of[shards.ids[i]]], shards[i]
        np.testing.assert_array_equal(stored.waveform, to_int16(direct.waveform))
        assert stored.waveform.dtype == np.int16
        assert shards.durations_s[i] == np.float32(len(stored.waveform) / RATE)
        for name in ("id", "transcript", "target", "tokens", "speaker"):
            assert (
                getattr(stored, name) == getattr(direct, name) == getattr(shards.describe(i), name)
            )


def test_anyone_can_read_a_shard(corpus, packed, tmp_path):
    with tarfile.open(packed / "train" / "00002.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    texts = sorted(tmp_path.glob("0*.json"))
    assert len(texts) >= 8
    for path in texts:
        about = json.loads(path.read_text())
        assert about["transcript"] == (corpus / f"{about['id']}.txt").read_text().strip()
        samples, rate = soundfile.read(corpus / f"{about['id']}.flac", dtype="int16")
        with wave.open(str(path.with_suffix(".wav"))) as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (rate, 2, 1)
            np.testing.assert_array_equal(np.frombuffer(file.readframes(N * RATE), "<i2"), samples)


def test_no_shard_is_larger_than_asked_but_for_a_single_large_utterance(packed):
    sizes = [path.stat().st_size for path in (packed / "train").glob("*.tar")]
    assert len(sizes) == 5 and max(sizes) <= 63_000 + 10_240  # tar fills its last record
    assert cut([5, 5, 5, 50, 1, 1], 10) == [0, 2, 3, 4, 6]


def test_the_index_is_what_the_shards_say(packed):
    shards = Shards(packed, "train", None)
    found = [entry for number in range(5) for entry in scan(packed / f"train/{number:05d}.tar")[0]]
    assert [entry.id for entry in found] == list(shards.ids)
    assert [entry.begin for entry in found] == shards.places()[1].tolist()


def test_a_damaged_index_is_refused(packed, tmp_path):
    root = damaged(packed, tmp_path, lambda path: None)
    content = bytearray((root / "train/index.arrays").read_bytes())
    content[-20] ^= 1
    (root / "train/index.arrays").write_bytes(content)
    with pytest.raises(UserError, match=r"index\.arrays: is damaged .*altered.*Delete it\. Write"):
        Shards(root, "train", None)


def test_a_missing_part_names_those_that_are_there(packed):
    with pytest.raises(UserError, match=r"test: has no index.*There is train\. .*write_shards"):
        Shards(packed, "test", None)
    with pytest.raises(UserError, match=r"recordings at 16000 Hz, but 8000 Hz are wanted"):
        Shards(packed, "train", None, sample_rate=8000)


def test_limits_apply_to_shards_as_to_files(packed):
    few = Shards(packed, "train", Characters(), min_duration_s=0.12, limit=7, sort="duration_desc")
    assert len(few) == 7 and few.durations_s.min() >= 0.12
    assert (np.diff(few.durations_s) <= 0).all()
    stream = ShardStream(packed, "train", Characters(), min_duration_s=0.12, shuffle_buffer=3)
    loader = make_loader(stream, make_batches(stream, batch_size=2, shuffle=True))
    assert len(set(flat(read(loader)))) == len(stream) < N


def test_what_can_t_be_decoded_is_left_out_of_the_shards_and_named(corpus, tmp_path, caplog):
    for path in corpus.iterdir():
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / path.name).write_bytes(path.read_bytes())
    bad = tmp_path / "files" / "07.flac"
    bad.write_bytes(bad.read_bytes()[:1500])
    _, n_utterances, left_out = write(tmp_path / "files", tmp_path)
    assert n_utterances == N - 1 and list(left_out) == ["07"]
    shards = Shards(tmp_path, "train", None)
    assert shards.unreadable == left_out and "07" not in list(shards.ids)
    assert write(tmp_path / "files", tmp_path)[1:] == (N - 1, left_out)  # known from the shards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


PACK_AND_WAIT = """
import sys
from pathlib import Path
from src.datasets import AudioFiles
from tests.datasets.shards.tiny_shards import write
read = AudioFiles.__getitem__
def first_read(self, i):
    AudioFiles.__getitem__ = read
    print("packing", flush=True)
    sys.stdin.readline()
    return read(self, i)
AudioFiles.__getitem__ = first_read
print(write(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def test_a_second_writer_waits_for_the_first_and_finds_the_shards_made(
    corpus, packed, tmp_path, monkeypatch
):
    """It deleted the first one's unfinished shard, and both failed."""
    command = [sys.executable, "-c", PACK_AND_WAIT, corpus, tmp_path]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "packing\n"
        monkeypatch.setattr(locks.logger, "info", lambda *_: print(file=first.stdin, flush=True))
        monkeypatch.setattr(AudioFiles, "__getitem__", lambda *_: pytest.fail("is read twice"))
        assert write(corpus, tmp_path) == (5, N, {})
        assert first.stdout.read() == f"(5, {N}, {{}})\n"
    assert first.returncode == 0
    assert contents(tmp_path / "train") == contents(packed / "train")


def test_a_folder_that_can_t_be_made_is_told(corpus, tmp_path):
    (tmp_path / "train").touch()
    with pytest.raises(UserError, match=r"train: could not be written \(File exists\)"):
        write(corpus, tmp_path)


def test_a_writer_that_is_killed_leaves_whole_shards_and_its_successor_the_same_bytes(
    corpus, packed, tmp_path
):
    code = (
        "import time\n"
        "from pathlib import Path\n"
        "from src.datasets import AudioFiles\n"
        "from tests.datasets.shards.tiny_shards import write\n"
        "read = AudioFiles.__getitem__\n"
        "AudioFiles.__getitem__ = lambda self, i: time.sleep(0.02) or read(self, i)\n"
        f"write(Path({str(corpus)!r}), Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    while not (tmp_path / "train" / "00001.tar").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (tmp_path / "train" / ".00002.tar.x.part").write_bytes(b"half a shard")
    assert not (tmp_path / "train" / "index.arrays").exists()
    kept = (tmp_path / "train" / "00000.tar").stat().st_mtime_ns
    write(corpus, tmp_path)
    assert contents(tmp_path / "train") == contents(packed / "train")
    assert (tmp_path / "train" / "00000.tar").stat().st_mtime_ns == kept


def test_shards_that_were_deleted_are_made_again(corpus, packed, tmp_path, caplog):
    root = damaged(packed, tmp_path, os.unlink)
    with caplog.at_level(logging.INFO):
        write(corpus, root)
    assert contents(root / "train") == contents(packed / "train")
    assert "going on after" in caplog.text


class OnAFailedDisk(AudioFiles):
    """Recordings that are there and can't be read."""

    def __getitem__(self, index: int):
        raise UserError(f"{self.source(index)}: can't be read")


def test_an_index_goes_before_its_shards_are_made_again(corpus, packed, tmp_path):
    root = damaged(packed, tmp_path, os.unlink)
    with pytest.raises(UserError, match="can't be read"):
        pack(OnAFailedDisk(corpus), root / "train", shard_mb=0.063, seed=1, n_workers=0)
    with pytest.raises(UserError, match=r"has no index\.arrays"):
        Shards(root, "train", None)


def test_a_folder_of_something_else_is_refused(corpus, packed, tmp_path):
    with pytest.raises(UserError, match=r"made of something else \(shard_mb, n_shards differ\)"):
        write(corpus, packed, shard_mb=1)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else; choose another --out"):
        write(corpus, tmp_path)


def test_a_transcript_that_was_corrected_since_is_not_taken_for_packed(tmp_path):
    corpus = write_files(tmp_path)
    write(corpus, tmp_path / "shards")
    (corpus / "07.txt").write_text("Number seven")
    with pytest.raises(UserError, match=r"made of something else \(utterances differ\)"):
        write(corpus, tmp_path / "shards")


def test_a_recording_that_was_replaced_since_by_one_as_long_is_not_taken_for_packed(tmp_path):
    corpus = write_files(tmp_path)
    write(corpus, tmp_path / "shards")
    samples, rate = soundfile.read(corpus / "07.flac", dtype="int16")
    soundfile.write(corpus / "07.flac", samples[::-1], rate, subtype="PCM_16")
    with pytest.raises(UserError, match=r"made of something else \(files differ\)"):
        write(corpus, tmp_path / "shards")


def test_shards_that_did_not_note_their_files_yet_are_gone_on_with(corpus, packed, tmp_path):
    root = damaged(packed, tmp_path, os.unlink)
    path = root / "train" / "shards.json"
    settings = json.loads(path.read_text())
    assert settings.pop("files")
    path.write_text(json.dumps(settings))
    assert write(corpus, root) == (5, N, {})


def test_real_speech_comes_out_of_the_command_as_it_went_in(shared_data, tmp_path, capsys):
    overrides = [
        *("dataset=librispeech", f"dataset.root={shared_data / 'LibriSpeech'}"),
        *("dataset.test.limit=12", f"dataset.index_dir={tmp_path}", "loader.n_workers=0"),
    ]
    arguments = [*overrides, "--part", "test", "--out", str(tmp_path), "--size_mb", "3"]
    write_shards.main(arguments)
    assert "12 utterances in" in capsys.readouterr().out
    direct = LibriSpeech(shared_data / "LibriSpeech", ["test-clean"], Characters(), limit=12)
    shards = Shards(tmp_path, "test", Characters())
    row_of = {name: row for row, name in enumerate(direct.ids)}
    for i in range(12):
        stored, expected = shards[i], direct[row_of[shards.ids[i]]]
        np.testing.assert_array_equal(stored.waveform, to_int16(expected.waveform))
        assert (stored.target, stored.speaker) == (expected.target, expected.speaker)


def test_a_mistake_ends_in_one_line(tmp_path):
    with pytest.raises(SystemExit) as ended:
        write_shards.main(
            [f"dataset.root={tmp_path}/no", "--part", "train", "--out", str(tmp_path / "out")]
        )
    assert str(ended.value).startswith("write_shards: LibriSpeech train-clean-100: not in")
    assert not (tmp_path / "out").exists()


def test_a_shard_has_a_size(tmp_path, capsys):
    for size in ("0", "-1", "nan", "big"):
        with pytest.raises(SystemExit):
            write_shards.main(["--part", "train", "--out", str(tmp_path), "--size_mb", size])
        assert f"{size} is not a number of megabytes above 0" in capsys.readouterr().err
