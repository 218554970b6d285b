"""Features of a stream are those of the whole, however it is cut."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.transforms import (
    MFCC,
    FrontEnd,
    LogMel,
    NoNormalisation,
    RawFrames,
    Spectrogram,
    StoredNormalisation,
    UtteranceNormalisation,
)
from src.transforms.streaming import StreamingFrontEnd
from src.utils.errors import UserError

FEATURES = {
    "logmel": lambda: LogMel(n_mels=20, n_fft=512),
    "spectrogram": lambda: Spectrogram(window_ms=20, n_fft=320),
    "mfcc": lambda: MFCC(),
    "raw": lambda: RawFrames(),
}


def front_end(kind: str = "logmel", **keys) -> FrontEnd:
    return FrontEnd(**{"features": FEATURES[kind](), "normalise": NoNormalisation()} | keys)


def sound(n_samples: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-9000, 9000, (n_samples,), generator=generator, dtype=torch.int16)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(FEATURES)),
    pre_emphasis=st.sampled_from([0.0, 0.97]),
    n_samples=st.integers(1, 3000),
    cuts=st.lists(st.integers(0, 3000), max_size=8).map(sorted),
)
def test_every_way_of_cutting_gives_the_frames_of_the_whole(kind, pre_emphasis, n_samples, cuts):
    whole = front_end(kind, pre_emphasis=pre_emphasis)
    waveform, stream = sound(n_samples), StreamingFrontEnd(whole)
    expected, lengths = whole(waveform[None], torch.tensor([n_samples]))
    pieces = [stream(piece) for piece in waveform.tensor_split(cuts)]
    found = torch.cat([*pieces, stream.end()], dim=1)
    assert found.shape[1] == int(lengths)
    torch.testing.assert_close(found, expected[:, : int(lengths)], rtol=1e-4, atol=1e-4)


def test_a_frame_comes_with_its_last_sample():
    stream = StreamingFrontEnd(front_end())  # windows of 400 samples, 160 apart
    counts = [stream(sound(n)).shape[1] for n in (399, 1, 159, 1, 320)]
    assert counts == [0, 1, 0, 1, 2]
    assert stream.end().shape == (1, 0, 20)


def test_statistics_of_a_corpus_are_taken_as_they_are():
    whole = front_end(normalise=StoredNormalisation(statistics=None))
    whole.normalise.mean, whole.normalise.std = torch.arange(20.0), torch.arange(1.0, 21)
    stream, waveform = StreamingFrontEnd(whole), sound(900)
    expected, _ = whole(waveform[None], torch.tensor([900]))
    torch.testing.assert_close(
        torch.cat([stream(waveform[:500]), stream(waveform[500:])], 1), expected
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"normalise": UtteranceNormalisation()}, "whole utterance.*transform=logmel80_stored"),
        ({"deltas": 1}, "slopes over frames to come.*transform.deltas=0"),
        ({"features": LogMel(window_ms=10, hop_ms=20)}, "not windows that follow each other"),
    ],
)
def test_what_must_hear_the_future_is_refused(keys, told):
    with pytest.raises(UserError, match=told):
        StreamingFrontEnd(front_end(**keys))
