"""python -m scripts.show_augment and benchmark_augment, on recordings."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from scripts import benchmark_augment, show_augment
from src.audio import read
from tests.recordings import TONE, write


@pytest.fixture
def talk(tmp_path):
    return write(tmp_path / "talk.wav", TONE)


def test_each_version_can_be_heard_and_seen(talk, tmp_path, capsys):
    noisy = ["augment=waveform", "augment.waveform.noise.probability=1", "transform=logmel40"]
    out = tmp_path / "heard"
    show_augment.main([str(talk), *noisy, "--n", "2", "--out", str(out)])
    assert {file.name for file in out.iterdir()} == {
        *(f"talk_{i}.wav" for i in range(3)),
        "talk.png",
    }
    versions = [read(out / f"talk_{i}.wav") for i in range(3)]
    np.testing.assert_allclose(versions[0], read(talk), atol=1 / 32768)
    assert np.abs(versions[1] - versions[2]).max() > 0.01 < np.abs(versions[1] - TONE).max()
    with Image.open(out / "talk.png") as picture:
        assert picture.width > 500 and len(picture.getcolors(10**6)) > 100
    told = capsys.readouterr().out
    assert told.count("2.00") == 3 and told.count("noise") == 2 and "the recording" in told
    level_db = 10 * np.log10(np.mean(read(talk) ** 2))
    assert f"{level_db:.1f}  the recording" in told


def test_what_was_changed_is_told_and_the_seed_decides(talk, tmp_path, capsys):
    everything = ["augment=everything", "augment.waveform.speed.min_factor=1.1"]
    heard = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / name
        show_augment.main(
            [str(talk), *everything, "--n", "1", "--seed", str(seed), "--out", str(out)]
        )
        heard.append((out / "talk_1.wav").read_bytes())
    assert heard[0] == heard[1] != heard[2]
    assert "1: speed" in capsys.readouterr().out
    assert soundfile.info(tmp_path / "a" / "talk_1.wav").frames != len(TONE)


def test_without_augmentation_every_version_is_the_recording(talk, tmp_path, capsys):
    out = tmp_path / "plain"
    show_augment.main([str(talk), "augment=none", "--n", "1", "--out", str(out)])
    assert (out / "talk_0.wav").read_bytes() == (out / "talk_1.wav").read_bytes()
    assert "waveform as it was" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.wav"], "nowhere.wav: no such file"),
        (["TALK", "augment=noisi"], "augment=noisi: no such choice; did you mean noisy"),
        (["TALK", "model=lstm"], "model=lstm: expected keys of augment or transform"),
        (["TALK", "augment=noisy", "augment.waveform.gain.probability=7"], "probability=7: exp"),
    ],
)
def test_mistakes_are_told_in_a_line(words, told, talk):
    with pytest.raises(SystemExit, match=r"^show_augment: ") as leaving:
        show_augment.main([str(talk) if word == "TALK" else word for word in words])
    assert told in leaving.value.code


def test_the_benchmark_times_every_step_and_preset(monkeypatch, capsys):
    monkeypatch.setattr(benchmark_augment, "BATCHES", ((2, 1), (1, 2)))
    benchmark_augment.main(["--n", "1", "augment.waveform.gain.max_gain_db=1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "milliseconds a batch" and "2 × 1 s" in lines[0]
    times = {line.split("  ")[0]: [float(v) for v in line.split()[-2:]] for line in lines[2:]}
    assert {"front end logmel80", "tempo", "gain", "time_warp", "augment=everything"} <= set(times)
    assert "recorded_noise" not in times and len(times) >= 20
    assert all(value >= 0 for row in times.values() for value in row)
    assert sum(times["tempo"]) > sum(times["gain"])
