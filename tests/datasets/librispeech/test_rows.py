"""Which rows of several parts count: held against a row-by-row account."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from src.datasets.librispeech.index import PartIndex
from src.datasets.librispeech.rows import Rows, Side
from src.datasets.librispeech.scan import id_hash
from src.utils.packed import PackedStrings

# (speaker, number, whether its duration is known), each utterance once in a part.
part_rows = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.booleans()),
    max_size=8,
    unique_by=lambda row: row[:2],
)


def table(rows: list[tuple[str, int, bool]], hashes: list[int] | None = None) -> PartIndex:
    """The index of a part with these rows."""
    ids = [f"{speaker}-1-{number}" for speaker, number, _ in rows]
    speakers = sorted({speaker for speaker, _, _ in rows})
    packed = {
        "ids": ids,
        "paths": [f"{name[0]}/1/{name}.wav" for name in ids],
        "transcripts": [f"words of {name}" for name in ids],
        "speakers": speakers,
    }
    columns = {
        "durations_s": np.array([1.0 if known else np.nan for *_, known in rows], np.float32),
        "speaker_codes": np.array([speakers.index(row[0]) for row in rows], np.int32),
        "id_hashes": np.array(hashes or [id_hash(name) for name in ids], np.uint64),
    }
    for name, strings in packed.items():
        packed_strings = PackedStrings.of(strings)
        columns |= {name: packed_strings.data, f"{name}_offsets": packed_strings.offsets}
    return PartIndex(columns)


def rows_of(parts: list[PartIndex]) -> Rows:
    return Rows([Path(f"part{i}") for i in range(len(parts))], parts)


@given(st.lists(part_rows, min_size=1, max_size=3), st.sampled_from(["all", "train", "validation"]))
def test_usable_rows_are_readable_of_the_side_and_each_id_once(parts, choice):
    side = Side(choice, 0.5)
    rows = rows_of([table(part) for part in parts])
    expected, again, seen = [], [], set()
    for number, (speaker, utterance, known) in enumerate(row for part in parts for row in part):
        name = f"{speaker}-1-{utterance}"
        if known and side.has(speaker):
            (again.append(name) if name in seen else expected.append(number))
            seen.add(name)
    usable, repeated = rows.usable(side)
    assert usable.tolist() == expected
    assert repeated == again


def test_ids_that_share_a_hash_by_chance_are_two():
    first, second = table([("a", 1, True)], [7]), table([("a", 2, True)], [7])
    usable, repeated = rows_of([first, second]).usable(Side("all", 0.5))
    assert (usable.tolist(), repeated) == ([0, 1], [])


def test_a_row_finds_its_part():
    rows = rows_of([table([("a", 1, True)]), table([("b", 2, True), ("a", 3, True)])])
    assert rows.utterance(2) == ("a-1-3", "part1/a/1/a-1-3.wav", "words of a-1-3", "a")
    assert list(rows.ids(np.array([2, 0]))) == ["a-1-3", "a-1-1"]
    assert list(rows.transcripts(np.array([1]))) == ["words of b-1-2"]
