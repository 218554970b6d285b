"""Damage to the pages of an Ogg file is told from a whole one."""

import numpy as np
import pytest
import soundfile

from src.audio.ogg import damage

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000)


@pytest.fixture(params=["VORBIS", "OPUS"])
def path(request, tmp_path):
    """Two seconds, several pages."""
    soundfile.write(tmp_path / "x.ogg", NOISE, 16_000, format="OGG", subtype=request.param)
    return tmp_path / "x.ogg"


def pages(content: bytes) -> list[bytes]:
    """Cut before each page, by the sizes in the headers."""
    found = []
    while content:
        size = 27 + content[26] + sum(content[27 : 27 + content[26]])
        found.append(content[:size])
        content = content[size:]
    return found


def test_a_whole_file_is_sound(path):
    assert damage(path) == ""
    assert len(pages(path.read_bytes())) > 3


def test_any_flipped_bit_is_noticed(path):
    content = path.read_bytes()
    random = np.random.default_rng(3)
    for place in [4, 5, 6, 14, 18, 22, 26, *random.integers(4, len(content), 40)]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        assert damage(path), place


def test_a_lost_doubled_or_misplaced_page_is_noticed(path):
    first, *middle, last = pages(path.read_bytes())
    cases = {
        "its last page is missing": [first, *middle],
        f"page {len(middle)} is out of order": [first, *middle[:-2], middle[-1], last],
        "page 0 is out of order": [first, first, *middle, last],
        f"page {len(middle) - 1} is out of order": [first, *middle[:-1], middle[-2], last],
    }
    for told, kept in cases.items():
        path.write_bytes(b"".join(kept))
        assert damage(path) == told


def test_recordings_in_a_row_are_told_to_be_divided(path):
    path.write_bytes(path.read_bytes() * 2)
    assert damage(path).startswith("several recordings follow one another")


def test_tags_after_the_last_page_do_no_harm(path):
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert damage(path) == ""


def test_another_kind_of_file_is_left_to_others(path):
    path.write_bytes(b"RIFF" + bytes(100))
    assert damage(path) == ""


def test_real_recordings_are_sound(shared_data):
    paths = sorted(shared_data.glob("LibriSpeech/test-clean/*/*/*.opus"))[::5]
    assert paths
    assert not list(filter(None, map(damage, paths)))
