"""Strings survive packing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.datasets.packed import PackedStrings

strings = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(strings)
def test_packing_loses_nothing(values):
    packed = PackedStrings.of(values)
    assert list(packed) == values
    assert [packed[i] for i in range(len(packed))] == values
    assert list(reversed(packed)) == values[::-1]


def test_indices_behave_as_those_of_a_list():
    packed = PackedStrings.of(["a", "", "ñé"])
    assert (packed[-1], packed[1], packed.index("ñé"), "a" in packed) == ("ñé", "", 2, True)
    with pytest.raises(IndexError):
        packed[3]


def test_file_names_that_are_not_utf8_survive():
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert PackedStrings.of([name])[0] == name
