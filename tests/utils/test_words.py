import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.utils.words import word_confidence, word_spans


@settings(max_examples=100, deadline=None)
@given(st.text("ab ", max_size=12))
def test_spans_are_the_words_that_spaces_divide(text):
    spans = word_spans([letter == " " for letter in text])
    assert [text[start:end] for start, end in spans] == text.split()


def test_a_word_is_as_sure_as_its_letters_and_the_spaces_beside_it_together():
    #                A    _    cat            _    b
    confidences = (0.5, 0.8, 0.9, 0.5, 1.0, 0.2, 0.7)
    spans = word_spans([False, True, False, False, False, True, False])
    found = [word_confidence(confidences, *span) for span in spans]
    assert found == pytest.approx([0.5 * 0.8, 0.8 * 0.9 * 0.5 * 0.2, 0.2 * 0.7])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.data())
def test_it_is_never_surer_than_its_least_sure_token(confidences, data):
    start = data.draw(st.integers(0, len(confidences) - 1))
    end = data.draw(st.integers(start + 1, len(confidences)))
    found = word_confidence(confidences, start, end)
    assert 0 <= found <= min(confidences[start:end])
    assert word_confidence([1.0] * len(confidences), start, end) == 1
    assert math.isclose(word_confidence(confidences, 0, len(confidences)), math.prod(confidences))
