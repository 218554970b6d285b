"""Headers promise bytes; a file either holds them or the missing ones are counted."""

import struct

import numpy as np
import pytest
import soundfile

from src.audio.containers import missing_bytes

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
FORMATS = {
    "x.wav": {},
    "x.aiff": {},
    "x.ogg": {"format": "OGG", "subtype": "VORBIS"},
    "x.opus": {"format": "OGG", "subtype": "OPUS"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_misses_nothing(tmp_path, name):
    soundfile.write(tmp_path / name, NOISE, 16_000, **FORMATS[name])
    assert missing_bytes(tmp_path / name) == 0


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n_missing", [65, 200, 1000])
def test_missing_bytes_are_counted(tmp_path, name, n_missing):
    path = tmp_path / name
    soundfile.write(path, NOISE, 16_000, **FORMATS[name])
    path.write_bytes(path.read_bytes()[:-n_missing])
    if name.endswith(("wav", "aiff")):
        assert missing_bytes(path) == n_missing
    else:  # a cut inside one of the last pages: that page's bytes
        assert 0 < missing_bytes(path) <= n_missing


def test_chunks_before_the_sound_are_stepped_over(tmp_path):
    path = tmp_path / "tagged.wav"
    soundfile.write(path, NOISE, 16_000)
    content = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"  # odd length, padded to even
    path.write_bytes(content[:36] + note + content[36:])
    assert missing_bytes(path) == 0
    path.write_bytes((content[:36] + note + content[36:])[:-500])
    assert missing_bytes(path) == 500


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000])
def test_a_length_that_a_pipe_left_open_promises_nothing(tmp_path, length):
    path = tmp_path / "piped.wav"
    soundfile.write(path, NOISE, 16_000)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", length)
    path.write_bytes(content)
    assert missing_bytes(path) == 0


def test_a_file_of_another_kind_promises_nothing(tmp_path):
    for content in (b"x", b"fLaC" + bytes(50), b"RIFF", b"OggS"):
        (tmp_path / "other").write_bytes(content)
        assert missing_bytes(tmp_path / "other") == 0
