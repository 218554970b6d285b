"""Bad recordings are refused in words that say what to do."""

import sys

import av
import numpy as np
import pytest

from src import audio
from src.utils.errors import UserError
from tests.recordings import TONE, encode, write


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
def test_half_a_recording_is_refused(tmp_path, name, format, share):
    path = cut(write(tmp_path / name, **format), share)
    with pytest.raises(UserError, match=r"is cut short|is damaged"):
        audio.read(path)


def test_a_cut_wav_says_how_many_bytes_are_missing(tmp_path):
    with pytest.raises(UserError, match=r"is cut short .its last 32022 bytes are missing"):
        audio.read(cut(write(tmp_path / "cut.wav"), 0.5))


def test_a_cut_mp3_says_how_many_seconds_came(tmp_path):
    with pytest.raises(UserError, match=r"header promises 2\.00 s, .* s came.; copy or download"):
        audio.read(cut(write(tmp_path / "cut.mp3"), 0.5))


def test_a_cut_flac_is_refused_even_where_only_its_end_is_wanted(tmp_path):
    with pytest.raises(UserError, match=r"is cut short|is damaged"):
        audio.read(cut(write(tmp_path / "cut.flac"), 0.5), start_s=1.5)


@pytest.mark.parametrize(("name", "codec"), [("cut.m4a", "aac"), ("cut.mka", "aac")])
def test_half_a_recording_that_ffmpeg_reads_is_refused(tmp_path, name, codec):
    encode(str(tmp_path / name), codec, TONE)
    with pytest.raises(UserError, match=r"is cut short|is damaged"):
        audio.read(cut(tmp_path / name, 0.5))


def test_noise_inside_a_compressed_file_is_refused(tmp_path):
    encode(str(tmp_path / "hit.m4a"), "aac", TONE)
    for path in (tmp_path / "hit.m4a", write(tmp_path / "hit.flac")):
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        noise = np.random.default_rng(1).integers(0, 256, 300, dtype=np.uint8)
        content[middle : middle + 300] = noise.tobytes()
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"not readable as audio .* is damaged"):
            audio.read(path)


def test_a_recording_without_samples_is_refused(tmp_path):
    path = write(tmp_path / "none.wav", np.zeros(0, np.float32))
    for function in (audio.read, audio.duration_s):
        with pytest.raises(UserError, match=r"none\.wav: holds no samples at all"):
            function(path)


def test_a_part_behind_the_end_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no samples from 5\.0 s on"):
        audio.read(write(tmp_path / "tone.wav"), start_s=5.0)


@pytest.mark.parametrize("part", [{"start_s": -1.0}, {"duration_s": 0.0}])
def test_an_impossible_part_is_refused(tmp_path, part):
    with pytest.raises(UserError, match="start_s must be 0 or more and duration_s more than 0"):
        audio.read(write(tmp_path / "tone.wav"), **part)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    samples = TONE.copy()
    samples[[5, 7]] = value
    path = write(tmp_path / "bad.wav", samples, subtype="FLOAT")
    with pytest.raises(UserError, match="2 of 32000 samples are NaN or infinite; export it again"):
        audio.read(path)


def test_integers_written_as_floats_are_refused(tmp_path):
    path = write(tmp_path / "unscaled.wav", TONE * 32768, subtype="FLOAT")
    with pytest.raises(
        UserError, match=r"floating-point audio lies in .* divide by the full scale"
    ):
        audio.read(path)


def test_another_rate_is_refused_where_resampling_is_off(tmp_path):
    path = write(tmp_path / "phone.wav", TONE, 8_000)
    with pytest.raises(
        UserError, match=r"recorded at 8000 Hz, but this model listens at 16000 Hz\. Resample"
    ):
        audio.read(path, resample=False)
    assert len(audio.read(path, 8_000, resample=False)) == len(TONE)


@pytest.mark.parametrize("rate", [1, 999_999])
def test_an_absurd_rate_is_refused(tmp_path, rate):
    path = write(tmp_path / "absurd.wav", TONE, rate)
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


def test_a_missing_pyav_is_named_with_its_install_command(tmp_path, monkeypatch):
    encode(str(tmp_path / "tone.m4a"), "aac", TONE)
    monkeypatch.setitem(sys.modules, "av", None)  # what Python does where it is not installed
    with pytest.raises(UserError, match="read with PyAV, which is missing; pip install av"):
        audio.read(tmp_path / "tone.m4a")


def changed(path, place: int, values: bytes):
    """Bytes written over others."""
    content = bytearray(path.read_bytes())
    content[place : place + len(values)] = values
    path.write_bytes(content)
    return path


def test_a_header_that_promises_more_than_memory_holds_takes_none(tmp_path):
    path = changed(write(tmp_path / "long.flac"), 22, b"\xff" * 4)  # 2³² − 1 samples: 17 GB
    assert audio.duration_s(path) > 200_000
    with pytest.raises(UserError, match=r"long\.flac: not readable as audio|is cut short"):
        audio.read(path)


def test_a_flac_of_other_samples_than_its_encoder_had_is_refused(tmp_path):
    path = changed(write(tmp_path / "x.flac"), 26, b"another checksum")
    with pytest.raises(UserError, match="its samples do not match their checksum"):
        audio.read(path)
    assert len(audio.read(path, duration_s=1.0)) == 16_000  # the checksum is of all samples


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_last_page_is_refused(tmp_path, subtype):
    path = write(tmp_path / "x.ogg", format="OGG", subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])
    for part in ({}, {"start_s": 0.5, "duration_s": 0.2}):
        with pytest.raises(UserError, match="its last page is missing"):
            audio.read(path, **part)


def test_sound_that_no_decoder_knows_is_refused(tmp_path):
    path = changed(write(tmp_path / "x.wav"), 20, b"\x99\x99")  # format tag of no codec
    with pytest.raises(UserError, match="FFmpeg does not know how its sound is coded"):
        audio.read(path)


def test_a_title_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "x.m4a"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "a fine title"
        stream = container.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(TONE[None, :16_000], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert len(audio.read(path)) >= 16_000
    changed(path, path.read_bytes().index(b"a fine title"), b"\xff\xfe")
    with pytest.raises(UserError, match="not readable as audio"):
        audio.read(path)


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile real.wav\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nreal.wav\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_is_no_recording_and_opens_no_other_file(tmp_path, playlist):
    write(tmp_path / "real.wav")
    (tmp_path / "x.m4a").write_text(playlist)
    for function in (audio.read, audio.duration_s):
        with pytest.raises(UserError, match="neither libsndfile nor FFmpeg knows it"):
            function(tmp_path / "x.m4a")


def test_a_colon_in_a_name_is_no_address(tmp_path, monkeypatch):
    encode(str(tmp_path / "x.m4a"), "aac", TONE)
    (tmp_path / "x.m4a").rename(tmp_path / "tcp:x.m4a")
    monkeypatch.chdir(tmp_path)
    assert len(audio.read("tcp:x.m4a")) == pytest.approx(len(TONE), abs=2048)
