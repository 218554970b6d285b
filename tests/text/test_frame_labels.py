"""Label tracks as transcripts: runs, silence, what is not judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.text import FrameLabels
from src.text.frame_labels import written
from src.utils.errors import UserError


def test_gaps_are_silence_and_stress_is_dropped():
    track = written([(0.05, 0.1, "HH"), (0.1, 0.3, "AY1"), (0.5, 0.52, "oov")])
    assert track == "SIL*5 HH*5 AY1*20 SIL*20 oov*2"
    text = FrameLabels()
    assert text.target(track) == "HH AY"
    tokens = text.encode(track)
    assert len(tokens) == 52 and tokens[:5] == (0,) * 5 and tokens[50:] == (-1, -1)
    assert text.vocabulary.decode(tokens[5:6] + tokens[10:11]) == "HH AY"


def test_a_phoneme_said_again_after_silence_counts_twice_and_without_once():
    text = FrameLabels("csr")
    assert text.target("AX*3 SIL*2 AX*3") == "AX AX"
    assert text.target("AX*3 AX*3") == "AX"


@given(st.lists(st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.sampled_from(["B", "D", "G"]))))
def test_labels_come_out_where_they_stood(pieces):
    labels, now = [], 0.0
    for gap, length, symbol in pieces:
        labels.append((now + gap, now + gap + length, symbol))
        now += gap + length
    text = FrameLabels()
    tokens = text.encode(written(labels))
    assert len(tokens) <= round(now * 100)
    for start, end, symbol in labels:
        middle = round(start * 100) + (round(end * 100) - round(start * 100)) // 2
        if round(end * 100) > round(start * 100):
            assert text.vocabulary.symbols[tokens[middle]] == symbol


@pytest.mark.parametrize("transcript", ["HH", "QQ*3", "HH*x", "AX*2", "hello world"])
def test_what_is_no_label_is_named(transcript):
    with pytest.raises(UserError, match="is no label; expected phonemes with their lengths"):
        FrameLabels().encode(transcript)


def test_an_unknown_dictionary_is_refused():
    with pytest.raises(UserError, match=r"text\.dictionary=timit: there is no such"):
        FrameLabels("timit")
