"""Good recordings in many formats come out alike; bad ones are refused in words."""

import io
import sys

import numpy as np
import pytest
import soundfile

from src import audio
from src.utils.errors import UserError

RATE = 16_000
av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    """Two seconds of 440 Hz and a little noise, well inside the full scale."""
    time = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.5 * np.sin(2 * np.pi * 440 * time) + 0.01 * noise).astype(np.float32)


@pytest.fixture
def write(tmp_path, tone):
    """Writes the tone, or other samples, under a name and gives the path."""

    def _write(name, samples=tone, rate=RATE, **format):
        soundfile.write(tmp_path / name, samples, rate, **format)
        return tmp_path / name

    return _write


def encode(target, codec: str, samples: np.ndarray, **options) -> None:
    """Encode (N,) float32 at 16 kHz with FFmpeg into a path or a writable object."""
    with av.open(target, "w", **options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        layout = "flt" if codec == "libopus" else "fltp"
        for start in range(0, len(samples), 320):
            piece = np.ascontiguousarray(samples[None, start : start + 320])
            frame = av.AudioFrame.from_ndarray(piece, format=layout, layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


# --- what can be read


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
def test_every_bit_depth_agrees_with_the_original_to_one_step(write, tone, name, subtype, step):
    waveform = audio.read(write(name, subtype=subtype))
    assert waveform.dtype == np.float32
    assert waveform.shape == tone.shape
    assert np.abs(waveform - tone).max() <= step


@pytest.mark.parametrize("name", ["tone.ogg", "tone.opus", "tone.mp3"])
def test_lossy_formats_keep_length_and_sound(write, tone, name):
    format = {"format": "OGG", "subtype": "OPUS"} if name.endswith("opus") else {}
    path = write(name, **format)
    waveform = audio.read(path)
    assert len(waveform) == len(tone)
    assert relative_error(waveform, tone) < 0.1
    assert audio.duration_s(path) == 2.0


@pytest.mark.parametrize(("name", "codec"), [("tone.m4a", "aac"), ("tone.mka", "aac")])
def test_what_soundfile_can_not_open_is_read_with_ffmpeg(tmp_path, tone, name, codec):
    path = tmp_path / name
    encode(str(path), codec, tone)
    waveform = audio.read(path)
    # The coder works in blocks of 1024 samples and may keep those it began with.
    assert 0 <= len(waveform) - len(tone) <= 2048
    shift = len(waveform) - len(tone)
    errors = [relative_error(waveform[s : s + len(tone)], tone) for s in (0, min(1024, shift))]
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


def test_a_browser_recording_without_a_length_is_counted(tmp_path, tone):
    pipe = _Pipe()
    encode(pipe, "libopus", tone, format="webm")
    path = tmp_path / "live.webm"
    path.write_bytes(pipe.content)
    with av.open(str(path)) as container:
        assert container.duration is None
    assert audio.duration_s(path) == pytest.approx(2.0, abs=0.05)
    assert len(audio.read(path)) == pytest.approx(2 * RATE, abs=800)


def test_a_flac_that_does_not_know_its_length_is_read_whole(write, tone):
    path = write("piped.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO keeps the number of samples in these 36 bits; 0 = unknown
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert np.abs(audio.read(path) - tone).max() <= 2**-15
    assert audio.duration_s(path) == 2.0


def test_channels_are_averaged(write, tone):
    stereo = np.stack([tone, -0.5 * tone], axis=1)
    waveform = audio.read(write("stereo.wav", stereo, subtype="FLOAT"))
    np.testing.assert_allclose(waveform, 0.25 * tone, atol=1e-6)


def test_resampling_keeps_a_tone(write):
    def sine(rate):
        return (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)

    for rate in (8_000, 22_050, 44_100, 48_000):
        waveform = audio.read(write(f"{rate}.wav", sine(rate), rate, subtype="FLOAT"))
        assert len(waveform) == RATE
        middle = slice(500, -500)  # the filter rings at the ends
        assert relative_error(waveform[middle], sine(RATE)[middle]) < 1e-2


def test_an_odd_rate_is_resampled_without_an_endless_filter_bank(write):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 44_101).astype(np.float32)
    waveform = audio.read(write("odd.wav", noise, 44_101))
    assert len(waveform) == pytest.approx(RATE, abs=1)


def test_overshoots_are_clipped_at_full_scale(write):
    loud = np.array([1.5, -2.0, 0.5], dtype=np.float32)
    waveform = audio.read(write("loud.wav", loud, subtype="FLOAT"))
    np.testing.assert_array_equal(waveform, [1.0, -1.0, 0.5])


def test_a_part_is_what_lies_there_in_the_whole(write, tone):
    path = write("whole.wav", subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path, start_s=0.5, duration_s=0.25), tone[8000:12000])
    np.testing.assert_array_equal(audio.read(path, start_s=1.5), tone[24000:])
    np.testing.assert_array_equal(audio.read(path, start_s=1.5, duration_s=9), tone[24000:])


def test_a_part_of_a_file_that_ffmpeg_reads(tmp_path, tone):
    path = tmp_path / "tone.m4a"
    encode(str(path), "aac", tone)
    whole = audio.read(path)
    part = audio.read(path, start_s=0.5, duration_s=0.25)
    np.testing.assert_array_equal(part, whole[8000:12000])


def test_a_wav_with_a_slightly_wrong_length_is_read(write, tone):
    path = write("sloppy.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = (2 * len(tone) + 44).to_bytes(4, "little")  # counts its own header
    path.write_bytes(content)
    assert len(audio.read(path)) == len(tone)


def test_a_wav_written_into_a_pipe_is_read_to_its_end(write, tone):
    path = write("piped.wav")
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(audio.read(path)) == len(tone)


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


# --- what is refused


def test_a_missing_file_is_refused(tmp_path):
    for function in (audio.read, audio.duration_s):
        with pytest.raises(UserError, match=r"gone\.wav: no such file; check the path"):
            function(tmp_path / "gone.wav")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder, not an audio file"):
        audio.read(tmp_path)


def test_a_path_that_can_not_be_opened_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"could not be opened .*too long"):
        audio.read(tmp_path / ("x" * 300 + ".wav"))


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.wav").touch()
    for function in (audio.read, audio.duration_s):
        with pytest.raises(UserError, match=r"empty\.wav: is empty \(0 bytes\)"):
            function(tmp_path / "empty.wav")


@pytest.mark.parametrize("name", ["note.wav", "note.txt", "note.raw"])
def test_a_file_that_is_no_audio_is_refused(tmp_path, name):
    (tmp_path / name).write_text("not a sound\n" * 50)
    for function in (audio.read, audio.duration_s):
        # FFmpeg takes plain text for a film of characters.
        with pytest.raises(UserError, match=r"convert it to WAV or FLAC|holds no audio; choose"):
            function(tmp_path / name)


def cut(path, share: float):
    """Keep the first `share` of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("cut.wav", {}),
        ("cut.aiff", {}),
        ("cut.flac", {}),
        ("cut.mp3", {}),
        ("cut.ogg", {}),
        ("cut.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_half_a_recording_is_refused(write, name, format, share):
    path = cut(write(name, **format), share)
    with pytest.raises(UserError, match=r"is cut short|is damaged"):
        audio.read(path)


def test_a_cut_wav_says_how_many_bytes_are_missing(write):
    with pytest.raises(UserError, match=r"is cut short .its last 32022 bytes are missing"):
        audio.read(cut(write("cut.wav"), 0.5))


def test_a_cut_mp3_says_how_many_seconds_came(write):
    with pytest.raises(UserError, match=r"header promises 2\.00 s, .* s came.; copy or download"):
        audio.read(cut(write("cut.mp3"), 0.5))


def test_a_cut_flac_is_refused_even_where_only_its_end_is_wanted(write):
    with pytest.raises(UserError, match=r"is cut short|is damaged"):
        audio.read(cut(write("cut.flac"), 0.5), start_s=1.5)


@pytest.mark.parametrize(("name", "codec"), [("cut.m4a", "aac"), ("cut.mka", "aac")])
def test_half_a_recording_that_ffmpeg_reads_is_refused(tmp_path, tone, name, codec):
    encode(str(tmp_path / name), codec, tone)
    with pytest.raises(UserError, match=r"is cut short|is damaged"):
        audio.read(cut(tmp_path / name, 0.5))


def test_noise_inside_a_compressed_file_is_refused(tmp_path, write, tone):
    encode(str(tmp_path / "hit.m4a"), "aac", tone)
    for path in (tmp_path / "hit.m4a", write("hit.flac")):
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        noise = np.random.default_rng(1).integers(0, 256, 300, dtype=np.uint8)
        content[middle : middle + 300] = noise.tobytes()
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"not readable as audio .* is damaged"):
            audio.read(path)


def test_a_recording_without_samples_is_refused(write):
    with pytest.raises(UserError, match=r"none\.wav: holds no samples at all"):
        audio.read(write("none.wav", np.zeros(0, np.float32)))


def test_a_part_behind_the_end_is_refused(write):
    with pytest.raises(UserError, match=r"holds no samples from 5\.0 s on"):
        audio.read(write("tone.wav"), start_s=5.0)


@pytest.mark.parametrize("part", [{"start_s": -1.0}, {"duration_s": 0.0}])
def test_an_impossible_part_is_refused(write, part):
    with pytest.raises(UserError, match="start_s must be 0 or more and duration_s more than 0"):
        audio.read(write("tone.wav"), **part)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(write, tone, value):
    samples = tone.copy()
    samples[[5, 7]] = value
    path = write("bad.wav", samples, subtype="FLOAT")
    with pytest.raises(UserError, match="2 of 32000 samples are NaN or infinite; export it again"):
        audio.read(path)


def test_integers_written_as_floats_are_refused(write, tone):
    path = write("unscaled.wav", tone * 32768, subtype="FLOAT")
    with pytest.raises(
        UserError, match=r"floating-point audio lies in .* divide by the full scale"
    ):
        audio.read(path)


def test_another_rate_is_refused_where_resampling_is_off(write, tone):
    path = write("phone.wav", tone, 8_000)
    with pytest.raises(
        UserError, match=r"recorded at 8000 Hz, but this model listens at 16000 Hz\. Resample"
    ):
        audio.read(path, resample=False)
    assert len(audio.read(path, 8_000, resample=False)) == len(tone)


@pytest.mark.parametrize("rate", [1, 999_999])
def test_an_absurd_rate_is_refused(write, tone, rate):
    path = write("absurd.wav", tone, rate)
    for function in (audio.read, audio.duration_s):
        with pytest.raises(UserError, match=f"header claims {rate} samples a second"):
            function(path)


def test_a_film_without_sound_is_refused(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="holds no audio; choose a recording with sound"):
        audio.read(path)


def test_a_missing_pyav_is_named_with_its_install_command(tmp_path, tone, monkeypatch):
    encode(str(tmp_path / "tone.m4a"), "aac", tone)
    monkeypatch.setitem(sys.modules, "av", None)  # what Python does where it is not installed
    with pytest.raises(UserError, match="read with PyAV, which is missing; pip install av"):
        audio.read(tmp_path / "tone.m4a")
