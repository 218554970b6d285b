"""Files that are not what they should be: one sentence says where, what was met and what to do."""

import shutil

import h5py
import numpy as np
import pytest

from src.datasets import Batches, SpeechCommands, make_loader
from src.utils.errors import UserError
from tests.datasets.commands.tiny_commands import SECOND, pack_corpus


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A file that holds 48 clips of 3 words, 24 of them for training."""
    return pack_corpus(tmp_path_factory.mktemp("commands"), n_each=4)[1]


@pytest.fixture
def damaged(packed, tmp_path):
    """A copy that the test may spoil."""
    return shutil.copy(packed, tmp_path / "damaged.h5")


def test_an_absent_file_names_the_command_that_makes_it(tmp_path):
    path = tmp_path / "my data.h5"
    command = rf"scripts\.prepare_speech_commands --download --out '{path}'"
    with pytest.raises(UserError, match=command):
        SpeechCommands(path, "train", None)


def test_where_the_quickstart_s_file_is_absent_the_quickstart_is_advised_first(tmp_path):
    path = tmp_path / "quickstart" / "commands.h5"
    advice = r"no such file\. `make quickstart` \(python -m scripts\.quickstart\) .*2\.4 GB"
    with pytest.raises(UserError, match=advice):
        SpeechCommands(path, "train", None)


def test_an_unknown_split_names_the_known_ones(packed):
    with pytest.raises(UserError, match=r"split=dev: .* train, validation, test"):
        SpeechCommands(packed, "dev", None)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "commands.h5"
    path.write_text("no HDF5 at all")
    with pytest.raises(UserError, match=r"commands\.h5: not a readable HDF5 file.*make it again"):
        SpeechCommands(path, "train", None)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_file_cut_short_is_refused(damaged, share):
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"not a readable HDF5 file .* cut short"):
        SpeechCommands(damaged, "train", None)


@pytest.mark.parametrize("name", ["data", "length", "label", "split", "speaker", "id"])
def test_a_missing_column_is_named(damaged, name):
    with h5py.File(damaged, "r+") as file:
        del file[f"ds/{name}"]
    with pytest.raises(UserError, match=f"ds/{name} .*missing"):
        SpeechCommands(damaged, "train", None)


def test_a_column_of_another_length_is_named(damaged):
    replace(damaged, "ds/split", np.zeros(5, np.uint8))
    with pytest.raises(UserError, match=r"ds/split has shape \(5,\), but ds/data holds 48"):
        SpeechCommands(damaged, "train", None)


@pytest.mark.parametrize(
    ("name", "value", "allowed"), [("length", 16001, "1 … 16000"), ("label", 3, "0 … 2")]
)
def test_a_value_out_of_range_is_named(damaged, name, value, allowed):
    with h5py.File(damaged, "r+") as file:
        file[f"ds/{name}"][7] = value
    with pytest.raises(UserError, match=rf"ds/{name} of clip 7 is {value}, outside {allowed}"):
        SpeechCommands(damaged, "train", None)


def test_float_data_is_refused(damaged):
    replace(damaged, "ds/data", np.zeros((48, SECOND), np.float32))
    with pytest.raises(UserError, match=r"ds/data should be int16 .* float32"):
        SpeechCommands(damaged, "train", None)


def test_another_schema_version_is_refused(damaged):
    with h5py.File(damaged, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(UserError, match=r"version 2, but this reader knows .* version 1. Make"):
        SpeechCommands(damaged, "train", None)


def test_a_file_of_csr_pytorch_is_sent_to_its_own_reader(tmp_path):
    with h5py.File(tmp_path / "allWavIdx.hdf5", "w") as file:
        file["ds/data"] = np.zeros((2, SECOND), np.float32)
    with pytest.raises(UserError, match="dataset=speech_commands_csr"):
        SpeechCommands(tmp_path / "allWavIdx.hdf5", "train", None)


def test_another_sample_rate_is_refused(packed):
    with pytest.raises(UserError, match="16000 Hz, but 8000 Hz are wanted"):
        SpeechCommands(packed, "train", None, sample_rate=8000)


def test_a_split_without_clips_is_refused(damaged):
    with h5py.File(damaged, "r+") as file:
        file["ds/split"][:] = 0
    with pytest.raises(UserError, match="Speech Commands test: none of 0 utterances"):
        SpeechCommands(damaged, "test", None)


def test_a_damaged_clip_is_noticed_when_it_is_read(damaged):
    dataset = SpeechCommands(damaged, "train", None)
    spoil(damaged, h5py.File(damaged)["ds/data"], row=0)
    with pytest.raises(UserError, match=r"row 0 of ds/data can't be read .*make it again"):
        list(dataset)


def test_workers_hand_on_the_sentence_about_a_damaged_clip(damaged):
    dataset = SpeechCommands(damaged, "train", None)
    spoil(damaged, h5py.File(damaged)["ds/data"], row=0)
    order = Batches(dataset.durations_s, 4, shuffle=False)
    loader = make_loader(dataset, order, n_workers=2, unreadable="stop")
    with pytest.raises(UserError, match=f"^{damaged}: row 0 of ds/data can't be read"):
        list(loader)


@pytest.mark.parametrize("name", ["length", "label", "split", "speaker", "id"])
def test_a_damaged_column_is_noticed_when_the_file_is_opened(damaged, name):
    spoil(damaged, h5py.File(damaged)[f"ds/{name}"])
    with pytest.raises(UserError, match=f"ds/{name} can't be read .*damaged"):
        SpeechCommands(damaged, "train", None)


def spoil(path, column: h5py.Dataset, row: int | None = None) -> None:
    """Flip one bit in the chunk of a column (or of one of its rows) on the disk."""
    start = (0,) if row is None else (row, 0)
    offset = column.id.get_chunk_info_by_coord(start).byte_offset
    column.file.close()
    with path.open("r+b") as file:
        file.seek(offset + 2)
        byte = file.read(1)[0]
        file.seek(offset + 2)
        file.write(bytes([byte ^ 16]))


def replace(path, name: str, values: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
