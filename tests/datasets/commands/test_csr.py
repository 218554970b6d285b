"""csr-pytorch's layout, written here exactly as its converter writes it."""

import pickle

import h5py
import numpy as np
import pytest

from src.batch import to_int16
from src.datasets import Batches, SpeechCommandsCSR, make_loader
from src.text import Phonemes
from src.utils.errors import UserError

WORDS = ("backward", "bed", "zero")
LENGTHS = (16000, 12000, 1, 16000, 500, 9999)
LABELS = (0, 1, 2, 2, 1, 0)
ROWS = {"train": (5, 0, 2), "validation": (1,), "test": (4, 3)}


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(3)
    data = np.zeros((len(LENGTHS), 16000), np.float32)
    for row, length in enumerate(LENGTHS):
        data[row, :length] = random.uniform(0.01, 1, length) * random.choice([-1, 1], length)
    with h5py.File(tmp_path / "allWavIdx.hdf5", "w") as file:
        file["ds/data"] = data
        file["ds/label"] = np.array(LABELS, np.int64)
    pairs = list(enumerate(WORDS))
    write(tmp_path / "index_label_ID_table.csv", [f"{word},{i}" for i, word in pairs])
    write(tmp_path / "label_index_ID_table.csv", [f"{i},{word}" for i, word in pairs])
    for split, rows in ROWS.items():
        write(tmp_path / f"{split}_idx.csv", [",".join(map(str, rows))])
    return tmp_path


def write(path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\r\n" for line in lines))


@pytest.mark.parametrize("split", ROWS)
def test_each_clip_has_its_word_and_loses_its_padding(folder, split):
    dataset = SpeechCommandsCSR(folder, split, Phonemes("csr"))
    assert len(dataset) == len(ROWS[split])
    with h5py.File(folder / "allWavIdx.hdf5") as file:
        for utterance, row in zip(dataset, ROWS[split], strict=True):
            np.testing.assert_array_equal(utterance.waveform, file["ds/data"][row, : LENGTHS[row]])
            assert utterance.waveform.dtype == np.float32
            assert utterance.transcript == WORDS[LABELS[row]]
            assert utterance.id == f"{WORDS[LABELS[row]]}_{row:06d}"
            assert utterance.speaker == ""
    assert utterance.tokens == Phonemes("csr").encode(utterance.transcript)


def test_integers_stored_as_floats_are_scaled(folder):
    wanted = [u.waveform for u in SpeechCommandsCSR(folder, "test", None)]
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        file["ds/data"][...] = file["ds/data"][()] * 32768
    with pytest.raises(UserError, match=r"clip 4 reaches .* dataset\.full_scale=32768"):
        SpeechCommandsCSR(folder, "test", None)
    scaled = SpeechCommandsCSR(folder, "test", None, full_scale=32768)
    for utterance, waveform in zip(scaled, wanted, strict=True):
        np.testing.assert_allclose(utterance.waveform, waveform, rtol=1e-6)


def test_a_clip_that_is_not_finite_is_refused(folder):
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        file["ds/data"][1, 3] = np.nan
    with pytest.raises(UserError, match="clip 1 reaches nan"):
        SpeechCommandsCSR(folder, "validation", None)


def test_silent_clips_are_counted_and_left_out(folder, caplog):
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        file["ds/data"][5] = 0
    dataset = SpeechCommandsCSR(folder, "train", None)
    assert list(dataset.ids) == ["backward_000000", "zero_000002"]
    assert "1 empty (backward_000005)" in caplog.text


def test_workers_and_pickled_copies_read_alike(folder):
    dataset = SpeechCommandsCSR(folder, "train", Phonemes("csr"))
    alone = {u.id: u.waveform for u in dataset}
    for utterance in pickle.loads(pickle.dumps(dataset)):
        np.testing.assert_array_equal(utterance.waveform, alone[utterance.id])
    loader = make_loader(dataset, Batches(dataset.durations_s, 1, shuffle=False), n_workers=2)
    for batch in loader:
        np.testing.assert_array_equal(batch.waveforms[0], to_int16(alone[batch.ids[0]]))


def test_stored_lengths_are_used_until_the_data_changes(folder, tmp_path):
    def seconds():
        return SpeechCommandsCSR(folder, "train", None, index_dir=tmp_path / "index").durations_s

    first = seconds()
    [index] = (tmp_path / "index").iterdir()
    written = index.stat().st_mtime_ns
    np.testing.assert_array_equal(seconds(), first)
    assert index.stat().st_mtime_ns == written
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        file["ds/data"][2, :7000] = 0.5
    assert list(seconds() * 16000) == [9999, 16000, 7000]


def test_a_damaged_index_is_made_again(folder, tmp_path):
    whole = SpeechCommandsCSR(folder, "train", None, index_dir=tmp_path / "index").durations_s
    [index] = (tmp_path / "index").iterdir()
    for content in (b"", b"no archive", index.read_bytes()[:200]):
        index.write_bytes(content)
        again = SpeechCommandsCSR(folder, "train", None, index_dir=tmp_path / "index")
        np.testing.assert_array_equal(again.durations_s, whole)


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("train_idx.csv", ["5,0,6"], "train_idx.csv: row 6 does not exist; .* 6 clips, 0 … 5"),
        ("train_idx.csv", ["-1"], "row -1 does not exist"),
        ("train_idx.csv", ["5,0,1"], r"validation_idx\.csv: row 1 is in train_idx\.csv already"),
        ("train_idx.csv", ["5,5"], r"row 5 is in train_idx\.csv already"),
        ("train_idx.csv", ["5,x"], "expected whole numbers, met 'x'"),
        ("train_idx.csv", [], "none of 0 utterances can be used"),
        ("index_label_ID_table.csv", ["bed,1"], r"disagree, first about 0 = backward"),
        ("index_label_ID_table.csv", ["bed"], "expected two columns, met 'bed'"),
    ],
)
def test_tables_that_contradict_the_data_are_named(folder, name, lines, message):
    write(folder / name, lines)
    with pytest.raises(UserError, match=message):
        SpeechCommandsCSR(folder, "train", None)


def test_a_label_without_a_name_is_refused(folder):
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        file["ds/label"][0] = 34
    with pytest.raises(UserError, match="ds/label has 34, which index_label_ID_table"):
        SpeechCommandsCSR(folder, "train", None)


@pytest.mark.parametrize("name", ["allWavIdx.hdf5", "label_index_ID_table.csv", "test_idx.csv"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} not found.*prepare_speech_commands"):
        SpeechCommandsCSR(folder, "train", None)


def test_files_of_other_kinds_are_refused(folder):
    (folder / "test_idx.csv").write_bytes(b"\xff\xfe1,2")
    with pytest.raises(UserError, match=r"test_idx\.csv: not a readable CSV file"):
        SpeechCommandsCSR(folder, "train", None)
    (folder / "allWavIdx.hdf5").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"allWavIdx\.hdf5: not a readable HDF5 file"):
        SpeechCommandsCSR(folder, "train", None)


def test_data_of_another_shape_is_refused(folder):
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        del file["ds/data"]
        file["ds/data"] = np.zeros(10, np.float32)
    with pytest.raises(UserError, match=r"ds/data should be float32 \(clips, samples\), but is"):
        SpeechCommandsCSR(folder, "train", None)


def test_labels_of_another_length_are_refused(folder):
    with h5py.File(folder / "allWavIdx.hdf5", "r+") as file:
        del file["ds/label"]
        file["ds/label"] = np.zeros(5, np.int64)
    with pytest.raises(UserError, match=r"ds/label has shape \(5,\), but ds/data holds 6"):
        SpeechCommandsCSR(folder, "train", None)


def test_an_unknown_split_names_the_known_ones(folder):
    with pytest.raises(UserError, match=r"split=valid: .* train, validation, test"):
        SpeechCommandsCSR(folder, "valid", None)
