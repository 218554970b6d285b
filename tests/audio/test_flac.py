"""The checksum that libFLAC wrote is found again in the decoded samples."""

import numpy as np
import pytest
import soundfile

from src.audio.flac import stream_info

NOISE = np.random.default_rng(1).uniform(-0.9, 0.9, (4_000, 2))


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_S8", 8), ("PCM_16", 16), ("PCM_24", 24)])
@pytest.mark.parametrize("rate", [16_000, 11_025])  # one coded in the frames, one spelt out
def test_a_whole_file_agrees_with_its_header(tmp_path, subtype, bits, rate):
    path = tmp_path / "x.flac"
    soundfile.write(path, NOISE, rate, subtype=subtype)
    info = stream_info(path)
    assert (info.rate, info.bits) == (rate, bits)
    assert info.frame_rate == (16_000 if rate == 16_000 else None)
    samples = soundfile.read(path, dtype="float32", always_2d=True)[0]
    assert info.damage(samples) == ""
    samples[1234, 1] += 2.0 ** (1 - bits)  # one bit of one sample
    assert info.damage(samples) == "its samples do not match their checksum"


def test_a_header_of_another_rate_is_noticed(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, NOISE, 16_000)
    content = bytearray(path.read_bytes())
    content[18] ^= 0x08  # bit 15 of the rate's 20
    path.write_bytes(content)
    damage = stream_info(path).damage(soundfile.read(path, dtype="float32", always_2d=True)[0])
    assert damage == f"its header says {16_000 ^ 1 << 15} Hz, its sound 16000 Hz"


def test_an_encoder_that_knew_no_checksum_is_believed(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, NOISE, 16_000)
    content = bytearray(path.read_bytes())
    content[26:42] = bytes(16)
    path.write_bytes(content)
    assert stream_info(path).damage(np.zeros((1, 2), np.float32)) == ""


@pytest.mark.parametrize("content", [b"", b"fLaC", b"RIFF" + bytes(60), b"fLaC\x84" + bytes(60)])
def test_other_files_have_no_stream_info(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert stream_info(tmp_path / "x") is None
