"""Good recordings in many formats come out alike."""

import io

import av
import numpy as np
import pytest

from src import audio
from src.audio.decoding import decode_with_av
from tests.recordings import RATE, TONE, encode, write


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("u8.wav", "PCM_U8", 2**-7),
        ("16.wav", "PCM_16", 2**-15),
        ("24.wav", "PCM_24", 2**-23),
        ("32.wav", "PCM_32", 2**-23),
        ("float.wav", "FLOAT", 2**-24),
        ("16.flac", "PCM_16", 2**-15),
        ("24.flac", "PCM_24", 2**-23),
        ("16.aiff", "PCM_16", 2**-15),
    ],
)
def test_every_bit_depth_agrees_with_the_original_to_one_step(tmp_path, name, subtype, step):
    waveform = audio.read(write(tmp_path / name, subtype=subtype))
    assert waveform.dtype == np.float32
    assert waveform.shape == TONE.shape
    assert np.abs(waveform - TONE).max() <= step


@pytest.mark.parametrize("name", ["tone.ogg", "tone.opus", "tone.mp3"])
def test_lossy_formats_keep_length_and_sound(tmp_path, name):
    format = {"format": "OGG", "subtype": "OPUS"} if name.endswith("opus") else {}
    path = write(tmp_path / name, **format)
    waveform = audio.read(path)
    assert len(waveform) == len(TONE)
    assert relative_error(waveform, TONE) < 0.1
    assert audio.duration_s(path) == 2.0


@pytest.mark.parametrize(("name", "codec"), [("tone.m4a", "aac"), ("tone.mka", "aac")])
def test_what_soundfile_can_not_open_is_read_with_ffmpeg(tmp_path, name, codec):
    path = tmp_path / name
    encode(str(path), codec, TONE)
    waveform = audio.read(path)
    # The coder works in blocks of 1024 samples and may keep those it began with.
    assert 0 <= len(waveform) - len(TONE) <= 2048
    shift = len(waveform) - len(TONE)
    errors = [relative_error(waveform[s : s + len(TONE)], TONE) for s in (0, min(1024, shift))]
    assert min(errors) < 0.1
    assert audio.duration_s(path) == pytest.approx(2.0, abs=0.13)


class _Pipe(io.RawIOBase):
    """What a live recording is written into: nobody can go back and fill in the length."""

    def __init__(self):
        self.content = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.content += bytes(data)
        return len(data)


def test_a_browser_recording_without_a_length_is_counted(tmp_path):
    pipe = _Pipe()
    encode(pipe, "libopus", TONE, format="webm")
    path = tmp_path / "live.webm"
    path.write_bytes(pipe.content)
    with av.open(str(path)) as container:
        assert container.duration is None
    assert audio.duration_s(path) == pytest.approx(2.0, abs=0.05)
    assert len(audio.read(path)) == pytest.approx(2 * RATE, abs=800)


def test_a_flac_that_does_not_know_its_length_is_read_whole(tmp_path):
    path = write(tmp_path / "piped.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO keeps the number of samples in these 36 bits; 0 = unknown
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert np.abs(audio.read(path) - TONE).max() <= 2**-15
    assert audio.duration_s(path) == 2.0


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([TONE, -0.5 * TONE], axis=1)
    waveform = audio.read(write(tmp_path / "stereo.wav", stereo, subtype="FLOAT"))
    np.testing.assert_allclose(waveform, 0.25 * TONE, atol=1e-6)


def test_resampling_keeps_a_tone(tmp_path):
    def sine(rate):
        return (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)

    for rate in (8_000, 22_050, 44_100, 48_000):
        waveform = audio.read(write(tmp_path / f"{rate}.wav", sine(rate), rate, subtype="FLOAT"))
        assert len(waveform) == RATE
        middle = slice(500, -500)  # the filter rings at the ends
        assert relative_error(waveform[middle], sine(RATE)[middle]) < 1e-2


def test_an_odd_rate_is_resampled_without_an_endless_filter_bank(tmp_path):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 44_101).astype(np.float32)
    waveform = audio.read(write(tmp_path / "odd.wav", noise, 44_101))
    assert len(waveform) == pytest.approx(RATE, abs=1)


def test_overshoots_are_clipped_at_full_scale(tmp_path):
    loud = np.array([1.5, -2.0, 0.5], dtype=np.float32)
    waveform = audio.read(write(tmp_path / "loud.wav", loud, subtype="FLOAT"))
    np.testing.assert_array_equal(waveform, [1.0, -1.0, 0.5])


def test_a_part_is_what_lies_there_in_the_whole(tmp_path):
    path = write(tmp_path / "whole.wav", subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path, start_s=0.5, duration_s=0.25), TONE[8000:12000])
    np.testing.assert_array_equal(audio.read(path, start_s=1.5), TONE[24000:])
    np.testing.assert_array_equal(audio.read(path, start_s=1.5, duration_s=9), TONE[24000:])


def test_a_part_of_a_file_that_ffmpeg_reads(tmp_path):
    path = tmp_path / "tone.m4a"
    encode(str(path), "aac", TONE)
    whole = audio.read(path)
    part = audio.read(path, start_s=0.5, duration_s=0.25)
    np.testing.assert_array_equal(part, whole[8000:12000])


def test_a_wav_with_a_slightly_wrong_length_is_read(tmp_path):
    path = write(tmp_path / "sloppy.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = (2 * len(TONE) + 44).to_bytes(4, "little")  # counts its own header
    path.write_bytes(content)
    assert len(audio.read(path)) == len(TONE)


def test_a_wav_written_into_a_pipe_is_read_to_its_end(tmp_path):
    path = write(tmp_path / "piped.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(audio.read(path)) == len(TONE)


def test_extensions_are_lower_case_with_a_dot():
    assert {".wav", ".flac", ".opus", ".mp3", ".m4a", ".webm"} <= set(audio.EXTENSIONS)
    assert all(e.startswith(".") and e == e.lower() for e in audio.EXTENSIONS)


def test_real_opus_clips_are_as_long_as_their_wav_originals(shared_data):
    originals = sorted((shared_data / "speech_commands_wav").glob("*/*.wav"))
    assert len(originals) >= 30
    for original in originals:
        clip = shared_data / "speech_commands" / original.parent.name / f"{original.stem}.opus"
        assert audio.duration_s(clip) == audio.duration_s(original)
        assert len(audio.read(clip)) == len(audio.read(original))


def test_real_sentences_are_as_long_as_their_headers_say(shared_data):
    corpus = shared_data / "LibriSpeech"
    for folder, extension in (("test-clean", "flac"), ("train-clean-100", "opus")):
        for path in sorted((corpus / folder).rglob(f"*.{extension}"))[:5]:
            waveform = audio.read(path, resample=False)
            assert len(waveform) == pytest.approx(audio.duration_s(path) * RATE, abs=0.5)
            assert 0.01 < np.abs(waveform).max() <= 1


def test_many_channels_come_through_ffmpeg_as_through_libsndfile(tmp_path):
    many = np.outer(TONE, np.linspace(-1, 1, 16)).astype(np.float32)
    path = write(tmp_path / "array.wav", many, subtype="FLOAT")
    samples, rate = decode_with_av(path)
    assert rate == RATE
    np.testing.assert_array_equal(samples, many)
