"""Recordings whose header does not say how long they are, or says it of something else."""

import io

import av
import numpy as np
import pytest

from src import audio
from src.utils.errors import UserError
from tests.recordings import RATE, TONE, encode, siren, write

LOUD_LAST = np.concatenate([siren(4) / 1000, siren(8)]).astype(np.float32)  # 12 s
LOUD_FIRST = LOUD_LAST[::-1].copy()


class Pipe(io.RawIOBase):
    """What is written into it can't be written again."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.content += data
        return len(data)


def piped(path, samples, bit_rate_of_its_own: bool):
    """An MP3 written into a pipe, so that nothing in it counts its frames."""
    pipe = Pipe()
    with av.open(pipe, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE)
        stream.layout = "mono"
        if bit_rate_of_its_own:  # of each frame
            stream.codec_context.flags |= 2  # as -q:a does
            stream.codec_context.global_quality = 4 * 118
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    path.write_bytes(pipe.content)
    return path


@pytest.mark.parametrize("samples", [LOUD_LAST, LOUD_FIRST], ids=["loud last", "loud first"])
@pytest.mark.parametrize("vbr", [True, False])
def test_an_mp3_that_counts_nothing_is_read_to_its_end(tmp_path, samples, vbr):
    path = piped(tmp_path / "piped.mp3", samples, vbr)
    heard = audio.read(path)
    assert len(heard) == pytest.approx(len(samples), abs=2 * 1152)  # a frame or two of padding
    assert audio.duration_s(path) == len(heard) / RATE
    quiet = [np.abs(part).max() < 0.01 for part in (heard[:60_000], heard[-60_000:])]
    assert quiet == [samples is LOUD_LAST, samples is LOUD_FIRST]


@pytest.mark.parametrize("vbr", [True, False])
def test_an_mp3_is_read_behind_its_tags(tmp_path, vbr):
    path = piped(tmp_path / "tagged.mp3", LOUD_LAST, vbr)
    tag = b"ID3\4\0\0" + bytes([0, 0, 2, 44]) + b"\xff\xfb" * 150  # 300 bytes that look like frames
    path.write_bytes(tag + path.read_bytes())
    assert len(audio.read(path)) == pytest.approx(len(LOUD_LAST), abs=2 * 1152)


def test_an_mp3_with_tags_whose_first_frame_counts_is_read_exactly(tmp_path):
    path = write(tmp_path / "tagged.mp3")
    tag = b"ID3\3\0\0" + bytes([0, 0, 2, 44]) + bytes(300)
    path.write_bytes(tag + path.read_bytes() + b"TAG" + bytes(125))
    assert len(audio.read(path)) == len(TONE)


@pytest.mark.parametrize("kind", ["mp3", "flac"])
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\0\0"])
def test_recordings_put_one_after_the_other_are_refused(tmp_path, kind, tag):
    one = write(tmp_path / f"one.{kind}").read_bytes()
    (tmp_path / f"two.{kind}").write_bytes(one + tag + one)
    with pytest.raises(UserError, match="several recordings follow one another in it; divide it"):
        audio.read(tmp_path / f"two.{kind}")


@pytest.mark.parametrize("samples", [LOUD_LAST, LOUD_FIRST], ids=["loud last", "loud first"])
def test_bare_aac_is_as_long_as_it_is_not_as_its_bit_rate_suggests(tmp_path, samples):
    encode(str(tmp_path / "x.aac"), "aac", samples, format="adts")
    heard = audio.read(tmp_path / "x.aac")
    assert len(heard) == pytest.approx(len(samples), abs=2048)
    assert audio.duration_s(tmp_path / "x.aac") == len(heard) / RATE


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_film_that_outlasts_its_sound_is_no_damage(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 16
        sound = container.add_stream("aac", rate=RATE)
        sound.layout = "mono"
        frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux([*sound.encode(frame), *sound.encode(None)])
        for i in range(50):  # 5 s
            image = av.VideoFrame.from_ndarray(np.full((16, 16, 3), i, np.uint8), format="rgb24")
            container.mux(picture.encode(image))
        container.mux(picture.encode(None))
    assert len(audio.read(tmp_path / name)) == pytest.approx(len(TONE), abs=2048)
    assert audio.duration_s(tmp_path / name) == pytest.approx(len(TONE) / RATE, abs=0.13)


@pytest.mark.parametrize(("layout", "rate"), [("stereo", RATE), ("mono", 44_100)])
def test_sound_whose_channels_or_rate_change_on_the_way_is_refused(tmp_path, layout, rate):
    path = tmp_path / "changing.aac"
    content = b""
    for its_layout, its_rate in (("mono", RATE), (layout, rate)):
        with av.open(str(path), "w", format="adts") as container:
            stream = container.add_stream("aac", rate=its_rate)
            stream.layout = its_layout
            samples = np.tile(TONE[None, :RATE], (2 if its_layout == "stereo" else 1, 1))
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=its_layout)
            frame.sample_rate = its_rate
            container.mux([*stream.encode(frame), *stream.encode(None)])
        content += path.read_bytes()
    path.write_bytes(content)
    for function in (audio.read, audio.duration_s):
        with pytest.raises(UserError, match="its channels or its rate change on the way"):
            function(path)
