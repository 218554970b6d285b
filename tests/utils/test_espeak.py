"""The synthesiser itself: what it can say, and what it refuses."""

from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from src.utils.errors import NotInstalled, UserError
from src.utils.espeak import Espeak


@pytest.fixture(scope="module")
def espeak():
    return Espeak()


def test_it_speaks_audibly_and_for_a_plausible_time(espeak):
    speech = espeak.speak("seven")
    assert speech.dtype == np.int16
    assert 0.2 < len(speech) / espeak.sample_rate < 1.5
    assert np.abs(speech.astype(int)).max() > 1000


def test_more_words_per_minute_take_less_time(espeak):
    slow, fast = (len(espeak.speak("visual", words_per_minute=wpm)) for wpm in (110, 300))
    assert fast < 0.7 * slow


def test_a_higher_pitch_has_a_higher_fundamental(espeak):
    low, high = (
        fundamental_hz(espeak.speak("no", pitch=pitch, pitch_range=0), espeak.sample_rate)
        for pitch in (20, 80)
    )
    assert high > 1.2 * low


def test_accents_and_variants_differ_in_sound(espeak):
    says = [("en-us", "m1"), ("en-gb", "m1"), ("en-gb", "f2")]
    spoken = [espeak.speak("four", accent=a, variant=v) for a, v in says]
    assert len({speech.tobytes() for speech in spoken}) == len(says)


def test_an_unknown_accent_is_refused_with_the_known_ones(espeak):
    with pytest.raises(UserError, match=r"no accent 'en-mars'.*en-gb-scotland"):
        espeak.speak("yes", accent="en-mars")


def test_an_unknown_variant_is_refused_with_the_known_ones(espeak):
    with pytest.raises(UserError, match=r"no variant 'm99'.*f3.*klatt"):
        espeak.speak("yes", variant="m99")


@pytest.mark.parametrize("content", [None, b"", b"torn", "another library"])
def test_a_library_that_can_not_be_loaded_is_told_in_a_sentence(content, monkeypatch, tmp_path):
    path = tmp_path / "libespeak-ng.so"
    if content == "another library":
        path = Path(np.random.bit_generator.__file__)
    elif content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(path))
    with pytest.raises(
        NotInstalled, match=r"can't be loaded \(.*\)\. Install it anew: pip install"
    ):
        Espeak()


def fundamental_hz(speech: np.ndarray, sample_rate: int) -> float:
    """By the highest peak of the autocorrelation between 40 and 400 Hz, in the middle third."""
    middle = speech[len(speech) // 3 : 2 * len(speech) // 3].astype(float)
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    correlation /= np.arange(len(middle), 0, -1)  # else short lags, of overtones, would win
    shortest, longest = sample_rate // 400, sample_rate // 40
    return sample_rate / (shortest + int(correlation[shortest:longest].argmax()))
