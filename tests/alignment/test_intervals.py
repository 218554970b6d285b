"""Times worked out by hand."""

import json

import numpy as np
import pytest

from src.alignment import Alignment, timing_of

# "ab c": frames 1, 3-4, (space) 5, 7-8
ALIGNMENT = Alignment(
    np.array([1, 3, 5, 7]), np.array([2, 5, 6, 9]), np.array([0.5, 0.125, 0.8, 0.9]), -3.0
)


def timing(duration_s: float):
    return timing_of(ALIGNMENT, ("a", "b", " ", "c"), ("ab", "c"), " ", 0.02, duration_s)


def test_a_word_lasts_from_its_first_token_to_its_last():
    found = timing(1.0)
    assert [word[:3] for word in found.words] == [("ab", 0.02, 0.1), ("c", 0.14, 0.18)]
    assert [token[:3] for token in found.tokens] == [
        ("a", 0.02, 0.04),
        ("b", 0.06, 0.1),
        (" ", 0.1, 0.12),
        ("c", 0.14, 0.18),
    ]
    assert found.words[0].confidence == pytest.approx(0.05)  # 0.5 · 0.125 · 0.8: with the space
    assert found.words[1].confidence == pytest.approx(0.72)
    assert found.confidence == pytest.approx((0.5 * 0.125 * 0.9) ** (1 / 3))


def test_nothing_goes_beyond_the_recording():
    found = timing(0.1700001234)
    assert found.duration_s == 0.17  # downwards, to microseconds
    assert found.words[-1].end_s == found.tokens[-1].end_s == 0.17


def test_the_record_is_plain():
    record = json.loads(json.dumps(timing(1.0).to_dict(), allow_nan=False))
    assert record["words"][0] == {"word": "ab", "start_s": 0.02, "end_s": 0.1, "confidence": 0.05}
    assert record["tokens"][2]["token"] == " "
    assert (record["duration_s"], record["score"]) == (1.0, -3.0)
