"""Strings survive packing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.utils.packed import PackedStrings, Packer, PickedStrings, place

strings = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(strings)
def test_packing_loses_nothing(values):
    packed = PackedStrings.of(values)
    assert list(packed) == values
    assert [packed[i] for i in range(len(packed))] == values
    assert list(reversed(packed)) == values[::-1]


@given(strings)
def test_strings_can_be_packed_as_they_come(values):
    packer = Packer()
    for value in values:
        packer.add(value)
    assert list(packer.packed()) == values


def test_indices_behave_as_those_of_a_list():
    packed = PackedStrings.of(["a", "", "ñé"])
    assert (packed[-1], packed[1], packed.index("ñé"), "a" in packed) == ("ñé", "", 2, True)
    with pytest.raises(IndexError):
        packed[3]


def test_file_names_that_are_not_utf8_survive():
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert PackedStrings.of([name])[0] == name


@given(st.lists(strings, min_size=1, max_size=4), st.data())
def test_strings_are_picked_from_several_pieces_in_any_order(pieces, data):
    joined = [value for piece in pieces for value in piece]
    rows = data.draw(st.lists(st.sampled_from(range(len(joined))))) if joined else []
    picked = PickedStrings([PackedStrings.of(piece) for piece in pieces], np.array(rows, np.int64))
    assert list(picked) == [joined[row] for row in rows]
    assert [picked[i] for i in range(-len(rows), 0)] == [joined[row] for row in rows]
    with pytest.raises(IndexError):
        picked[len(rows)]


def test_a_row_of_several_pieces_is_found_in_its_own():
    starts = [0, 3, 3, 5]  # pieces of 3, 0 and 2
    assert [place(starts, row) for row in range(5)] == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]
