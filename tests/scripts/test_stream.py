"""scripts.stream reads what inference.py reads, however the sound is cut."""

import json
import re
from pathlib import Path

import pytest
import torch

from scripts.stream import main
from src.transforms import FeatureStatistics
from tests.cli.in_process import infer, untrained
from tests.recordings import siren, write

CAUSAL = ["model=causal", "model.width=16", "model.n_channels=4", "model.n_rnn_layers=2"]


def checkpoint(folder: Path, text: str) -> Path:
    """An untrained model that streams, with statistics of invented features."""
    statistics, generator = FeatureStatistics(80), torch.Generator().manual_seed(0)
    features = 5 * torch.randn(1, 50, 80, generator=generator) - 5
    statistics.update(features, torch.tensor([50]))
    statistics.save(folder / "stats.json")
    use = f"transform.normalise.statistics={folder / 'stats.json'}"
    overrides = (f"text={text}", "transform=logmel80_stored", use)
    return untrained(folder / f"{text}.pt", *overrides, model=CAUSAL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A recording, and checkpoints that read it as letters and as phonemes."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / "in").mkdir()
    write(folder / "in" / "talk.wav", siren(2.3))
    for text in ("characters", "phonemes"):
        checkpoint(folder, text)
    return folder


def stream(*words: object) -> None:
    main([str(word) for word in words])


@pytest.mark.parametrize("chunk_ms", [7, 40, 320, 60_000])
@pytest.mark.parametrize("text", ["characters", "phonemes"])
def test_it_reads_what_inference_reads_however_the_sound_is_cut(folder, text, chunk_ms, capsys):
    model, talk = folder / f"{text}.pt", folder / "in" / "talk.wav"
    assert infer(model, folder / text, f"input={talk}").status == 0
    expected = json.loads((folder / text / "talk" / "talk.json").read_text("utf-8"))["pred_text"]
    assert len(expected) > 5
    stream(f"checkpoint={model}", f"input={talk}", f"chunk_ms={chunk_ms}", "device=cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == expected
    assert re.search(r"^2\.30 s heard in .*: real-time factor \d+\.\d+", lines[-1])
    pieces = [re.fullmatch(r" *([\d.]+) s  (.*)", line).groups() for line in lines[:-3]]
    assert "".join(new for _, new in pieces) == expected
    seconds = [float(until) for until, _ in pieces]
    assert seconds == sorted(seconds) and seconds[-1] <= 2.3
    assert len(pieces) > (3 if chunk_ms < 100 else 0)


def test_models_and_features_that_do_not_stream_are_refused(folder, tmp_path):
    talk = f"input={folder / 'in' / 'talk.wav'}"
    both_ways = untrained(tmp_path / "convnet.pt")
    with pytest.raises(SystemExit, match=r"stream: This model hears whole.*model=causal"):
        stream(f"checkpoint={both_ways}", talk)
    by_utterance = untrained(tmp_path / "causal.pt", "transform=logmel80", model=CAUSAL)
    with pytest.raises(SystemExit, match=r"normalised by the whole utterance"):
        stream(f"checkpoint={by_utterance}", talk)
    with pytest.raises(SystemExit, match=r"no\.wav"):
        stream(f"checkpoint={folder / 'characters.pt'}", "input=no.wav")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["input=a.wav"], "checkpoint= is missing"),
        (["checkpoint=a.pt", "inputs=a.wav"], "inputs=a.wav: there is no such key; did you mean"),
        (["checkpoint=a.pt", "input=a.wav", "chunk_ms=0"], "milliseconds from 1"),
        (["checkpoint=a.pt", "input=a.wav", "chunk_ms=fast"], "milliseconds from 1"),
    ],
)
def test_a_mistaken_command_line_is_told_what_is_wrong(words, told, capsys):
    with pytest.raises(SystemExit):
        stream(*words)
    assert told in capsys.readouterr().err
