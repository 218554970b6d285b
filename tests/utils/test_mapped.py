"""Arrays in a file: what was stored comes back, or damage is told."""

import json
import pickle
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from src.utils.errors import UserError
from src.utils.mapped import HEAD, MAGIC, MappedArrays, write_arrays

ARRAYS = {"rows": np.arange(5, dtype=np.int64), "bytes": np.arange(7, dtype=np.uint8)}
numbers = arrays_of.arrays(
    st.sampled_from([np.uint8, np.int32, np.int64, np.uint64, np.float32]),
    arrays_of.array_shapes(max_dims=2, min_side=0, max_side=9),
)


@pytest.fixture
def file(tmp_path):
    write_arrays(tmp_path / "a.index", {"version": 3}, ARRAYS)
    return tmp_path / "a.index"


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text("abc", min_size=1), numbers, max_size=4))
def test_what_is_stored_comes_back(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("mapped") / "file"
    write_arrays(path, {"n": 1, "text": "ñ"}, arrays)
    mapped = MappedArrays(path)
    assert mapped.info == {"n": 1, "text": "ñ"}
    assert list(mapped) == list(arrays) and len(mapped) == len(arrays)
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype and mapped[name].shape == array.shape
        np.testing.assert_array_equal(mapped[name], array)


def test_a_mapped_array_is_never_changed(file):
    with pytest.raises(ValueError, match="read-only"):
        MappedArrays(file)["rows"][0] = 1


def test_equal_files_have_equal_digests_and_others_another(file, tmp_path):
    write_arrays(tmp_path / "same", {"version": 3}, ARRAYS)
    write_arrays(tmp_path / "other", {"version": 3}, ARRAYS | {"rows": np.arange(1, 6)})
    digests = [MappedArrays(path).digest for path in (file, tmp_path / "same", tmp_path / "other")]
    assert digests[0] == digests[1] != digests[2]


def test_any_altered_byte_is_noticed_or_does_no_harm(file):
    content = file.read_bytes()
    harmless = 0
    for i in range(len(content)):
        file.write_bytes(content[:i] + bytes([content[i] ^ 0x10]) + content[i + 1 :])
        try:
            mapped = MappedArrays(file)
        except ValueError:
            continue
        harmless += 1
        assert all(np.array_equal(mapped[name], ARRAYS[name]) for name in ARRAYS)
    assert harmless == 64 - 5 * 8  # what fills up the first array's last 64 bytes


def test_any_missing_end_is_noticed(file):
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"begin|header|bytes instead"):
            MappedArrays(file)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"info": {}, "n_bytes": "8", "arrays": {}},
        {"info": {}, "n_bytes": 8, "arrays": []},
        *[
            {"info": {}, "n_bytes": 8, "arrays": {"rows": place}}
            for place in (
                {},
                {"dtype": "x", "shape": [1], "begin": 0, "crc": 0},
                {"dtype": "<i8", "shape": [1], "begin": 10**30, "crc": 0},
                {"dtype": "<i8", "shape": 1.5, "begin": 0, "crc": 0},
            )
        ],
    ],
)
def test_a_header_that_tells_of_no_arrays_is_refused(tmp_path, header):
    content = json.dumps(header).encode()
    head = HEAD.pack(MAGIC, len(content), zlib.crc32(content))
    (tmp_path / "file").write_bytes(head + content + bytes(8))
    with pytest.raises(ValueError, match="its header doesn't tell of arrays"):
        MappedArrays(tmp_path / "file")


def test_pickling_sends_the_path_and_not_the_arrays(tmp_path):
    write_arrays(tmp_path / "a", {}, {"rows": np.arange(100_000)})
    pickled = pickle.dumps(MappedArrays(tmp_path / "a"))
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled)["rows"], np.arange(100_000))


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_file_that_is_another_when_it_is_mapped_again_is_refused(file, change):
    pickled = pickle.dumps(MappedArrays(file))
    if change == "replaced":
        write_arrays(file, {"version": 3}, {"rows": np.arange(6)})
    else:
        file.unlink()
    with pytest.raises(UserError, match=r"a\.index: was replaced or deleted while a run reads it"):
        pickle.loads(pickled)


def test_what_is_mapped_stays_when_the_file_is_replaced(file):
    mapped = MappedArrays(file)
    write_arrays(file, {"version": 3}, {"rows": np.zeros(1000)})
    np.testing.assert_array_equal(mapped["rows"], ARRAYS["rows"])
    file.unlink()
    np.testing.assert_array_equal(mapped["rows"], ARRAYS["rows"])


def test_an_absent_file_is_simply_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        MappedArrays(tmp_path / "none")
