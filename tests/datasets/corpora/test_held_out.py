"""Who is held out: decided by names, official parts first, never nobody."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets.corpora.held_out import HeldOut, hash_share
from src.datasets.corpora.listing import SPLITS, Flaw, Row
from src.datasets.librispeech.rows import is_validation_speaker
from src.utils.errors import UserError


def rows_of(n: int, n_speakers: int = 0, split: str = "") -> list[Row]:
    speakers = [f"s{i % n_speakers}" if n_speakers else "" for i in range(n)]
    return [Row(f"u{i}", f"{i}.wav", "go", speaker, split) for i, speaker in enumerate(speakers)]


def splits(rows: list[Row], validation: float = 0.1, test: float = 0.1) -> dict[str, set[Row]]:
    sides = HeldOut(rows, validation, test)
    return {split: {row for row in rows if sides.split_of(row) == split} for split in SPLITS}


def test_the_place_of_a_name_is_written_down():
    # SHA-256("103") begins 454f63ac…, 0x454f63ac / 2³² = 0.27074…: a change of the rule, which
    # would move training speakers into validation, can't pass unnoticed.
    assert hash_share("103") == pytest.approx(0x454F63AC / 2**32, abs=1e-9)


@settings(deadline=None)
@given(st.text(max_size=5), st.floats(0, 1))
def test_librispeech_holds_out_the_same_speakers(name, share):
    assert is_validation_speaker(name, share) == (hash_share(name) < share)


def test_shares_are_about_as_wished_and_nobody_is_on_two_sides():
    found = splits(rows_of(20_000))
    assert sum(map(len, found.values())) == 20_000
    assert 0.09 < len(found["validation"]) / 20_000 < 0.11
    assert 0.09 < len(found["test"]) / 20_000 < 0.11


def test_speakers_stay_together_where_there_are_ten():
    found = splits(rows_of(400, n_speakers=40), 0.2, 0.2)
    speakers = {split: {row.speaker for row in rows} for split, rows in found.items()}
    assert all(speakers.values())
    assert sum(map(len, speakers.values())) == 40


def test_of_few_speakers_utterances_are_held_out():
    found = splits(rows_of(1000, n_speakers=9))
    speakers = [{row.speaker for row in rows} for rows in found.values()]
    assert speakers == [{f"s{i}" for i in range(9)}] * 3


def test_parts_of_a_recording_stay_together():
    rows = [Row(f"u{i}-{k}", f"{i}.wav", "go", "", "", float(k)) for i in range(40) for k in "0123"]
    found = splits(rows, 0.2, 0.2)
    files = {split: {row.path for row in part} for split, part in found.items()}
    assert all(files.values())
    assert sum(map(len, files.values())) == 40


def test_official_parts_are_kept_and_only_what_is_missing_is_held_out():
    rows = [*rows_of(300, split="train"), Row("t", "t.wav", "go", "", "test")]
    found = splits(rows, 0.2, 0.2)
    assert found["test"] == {rows[-1]}
    assert 30 < len(found["validation"]) < 90
    rows.append(Row("v", "v.wav", "go", "", "validation"))
    assert splits(rows, 0.2, 0.2)["validation"] == {rows[-1]}


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_the_smallest_corpus_has_all_three_parts(n):
    found = splits(rows_of(n), 0.001, 0.001)
    assert [len(found["validation"]), len(found["test"])] == [1, 1]


def test_one_utterance_is_trained_on():
    assert len(splits(rows_of(1))["train"]) == 1


def test_without_shares_all_are_trained_on():
    assert len(splits(rows_of(100), 0.0, 0.0)["train"]) == 100


@settings(deadline=None, max_examples=30)
@given(st.integers(60, 200), st.data())
def test_nobody_changes_sides_when_others_go(n, data):
    rows = rows_of(n)
    kept = data.draw(st.lists(st.sampled_from(rows), min_size=50, unique=True))
    before, after = splits(rows, 0.3, 0.3), splits(kept, 0.3, 0.3)
    for split in SPLITS:
        assert after[split] <= before[split]


def test_a_flaw_falls_where_its_row_would():
    rows = rows_of(200)
    sides = HeldOut(rows, 0.2, 0.2)
    for row in rows:
        assert sides.split_of(Flaw(row.id, "lost")) == sides.split_of(row)


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.1, 1.0), (0.6, 0.5)])
def test_senseless_shares_are_refused(shares):
    with pytest.raises(UserError, match=r"_share=.*(expected a share|leave nothing to train on)"):
        HeldOut(rows_of(3), *shares)
