"""AN4 in its own layout: two lists for each part, SPHERE files."""

import pytest

from src.datasets import AN4
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.tiny_corpora import append, damaged, sound, write_an4

SPEAKERS = [f"f{letters}" for letters in ("ash", "bbh", "clc", "eed", "ejs", "jam", "jdn", "jlp")]
SPEAKERS += [f"m{letters}" for letters in ("ast", "bab", "blw", "cel", "dcs", "dms")]


@pytest.fixture
def root(tmp_path):
    train = {f"an{i}-{who}-b": "RUBOUT G M E F THREE NINE" for i, who in enumerate(SPEAKERS)}
    return write_an4(tmp_path / "an4", train, {"cen8-fcaw-b": "YES", "an391-mmxg-b": "E N T E R"})


def read(root, split: str, **keys) -> AN4:
    return AN4(root, split, Characters(), test_share=0.0, **keys)


@pytest.mark.parametrize("place", [".", ".."])
def test_the_test_part_is_the_official_one(root, place):
    corpus = read(root / place, "test")
    assert list(corpus.ids) == ["cen8-fcaw-b", "an391-mmxg-b"]
    assert [(u.target, u.speaker) for u in corpus] == [("yes", "fcaw"), ("e n t e r", "mmxg")]
    assert corpus[0].waveform.shape == (8000,)


def test_speakers_of_the_training_part_are_held_out_for_validation(root):
    train, validation = (read(root, s, validation_share=0.2) for s in ("train", "validation"))
    assert train[0].target == "rubout g m e f three nine"
    sides = [{u.speaker for u in part} for part in (train, validation)]
    assert all(sides)
    assert sides[0] | sides[1] == set(SPEAKERS)
    assert not sides[0] & sides[1]


def test_wav_files_are_read_as_sphere_ones(root):
    for path in (root / "wav").rglob("*.sph"):
        sound(path.with_suffix(".wav"))
        path.unlink()
    assert len(read(root, "test")) == 2


def test_flaws_of_the_lists_are_named(root, caplog):
    lines = root / "etc" / "an4_test.transcription"
    append(lines, b"\r\nNO ID HERE\n<s> ONE </s> (an1-gone-b)\n<s> TWO </s> (an2-bad-b)\n")
    append(lines, "FOUR (unlisted)\n<s>  <sil> </s> (an4-mute-b)\nYES (cen8-fcaw-b)\n")
    append(lines, "RAW (an5-raw-b)\n")
    files = root / "etc" / "an4_test.fileids"
    for who in ("an1-gone-b", "an2-bad-b", "an3-shy-b", "an4-mute-b", "an5-raw-b"):
        append(files, f"an4test_clstk/{who.split('-')[1]}/{who}\r\n")
    home = root / "wav" / "an4test_clstk"
    damaged(home / "bad" / "an2-bad-b.sph")
    damaged(home / "raw" / "an5-raw-b.raw")
    sound(home / "mute" / "an4-mute-b.sph", format="NIST", subtype="PCM_16")
    assert list(read(root, "test").ids) == ["cen8-fcaw-b", "an391-mmxg-b"]
    for told in (
        "kept 2 of 10 utterances",
        "1 malformed (an4_test.transcription line 4; first: no (ID) at its end)",
        "3 with a transcript but no audio (an1-gone-b, unlisted, an5-raw-b; first: not in the list",
        "1 with audio but no transcript (an3-shy-b)",
        "1 listed more than once, first line used (cen8-fcaw-b)",
        "1 with unreadable audio (an2-bad-b",
        "1 with an empty transcript (an4-mute-b)",
    ):
        assert told in caplog.text


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(UserError, match=r"is no AN4, which has etc.*scripts\.prepare_data an4 "):
        read(tmp_path / "nowhere", "train")
    (root / "etc" / "an4_test.fileids").unlink()
    with pytest.raises(UserError, match=r"an4_test\.fileids: is missing.*unpack"):
        read(root, "test")
