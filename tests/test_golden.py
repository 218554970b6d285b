"""Published models say today what they said when they were published."""

import json
import shutil
from pathlib import Path

import pytest

import scripts.publish
from scripts.publishing.golden import TOLERANCE, differences, read_golden
from src.trainer import load_checkpoint, save_checkpoint
from src.utils.published import REGISTRY, file_of
from src.utils.registry import read_registry
from tests.cli.in_process import call, untrained

GOLDEN = Path(__file__).parent / "golden"
MODELS = read_registry(REGISTRY).models
NONE_YET = pytest.param(None, marks=pytest.mark.skip(reason="no model is published yet"))
each_model = pytest.mark.parametrize("name", list(MODELS) or [NONE_YET])


def differences_of(name: str, kind: str, folder: Path) -> list[str]:
    """Between a published model today and its golden file; skips where its weights are not here."""
    file = file_of(name, MODELS[name], REGISTRY)
    if not file.is_file():
        pytest.skip(f"{file} is not here; python download_model.py {name} fetches it")
    golden = read_golden(GOLDEN / f"{name}.json")
    assert golden["sha256"] == MODELS[name].sha256, "publish again with --golden tests/golden"
    if not golden[kind]:
        pytest.skip(f"{name} was published without golden outputs of {kind}")
    return differences(file, golden[kind], folder)


@each_model
def test_a_published_model_reads_our_clips_as_ever(name):
    assert differences_of(name, "clips", GOLDEN) == []


@each_model
def test_a_published_model_reads_real_speech_as_ever(name, shared_data):
    assert differences_of(name, "data", shared_data) == []


# The tester, tested on a small model.


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A folder with a run, and what `publish --golden` kept of its clips."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(GOLDEN / "clips", folder / "golden/clips")
    checkpoint = untrained(folder / "best.pt")
    options = ("--input", folder / "golden/clips", "--golden", folder / "golden")
    scripts.publish.main(
        [str(checkpoint), "--name", "small", "--out", str(folder), *map(str, options)]
    )
    return folder


def kept(folder: Path) -> dict:
    return read_golden(folder / "golden/small.json")["clips"]


def test_the_same_weights_say_the_same(small):
    clips = kept(small)
    assert sorted(clips) == ["clips/sentence.flac", "clips/seven.flac", "clips/stop.flac"]
    for clip in clips.values():
        assert clip["text"] and clip["n_frames"] > 10 and len(clip["log_probs"]) == 15
        assert all(value <= 0 for _, _, value in clip["log_probs"])
    assert differences(small / "small.safetensors", clips, small / "golden") == []


@pytest.mark.parametrize("part", ["model.head.bias", "model.head.weight", "first"])
def test_a_changed_weight_is_found(small, tmp_path, part):
    state = load_checkpoint(small / "small.safetensors")
    weights = state["recognizer"]
    name = next(n for n, t in weights.items() if t.dim() > 2) if part == "first" else part
    weights[name] = weights[name] * 1.5
    save_checkpoint(tmp_path / "a.pt", state)
    found = differences(tmp_path / "a.pt", kept(small), small / "golden")
    assert found and all(": frame " in line or ": text " in line for line in found)


def test_every_kind_of_difference_is_told(small):
    clips = json.loads(json.dumps(kept(small)))
    seven, stop = clips["clips/seven.flac"], clips["clips/stop.flac"]
    seven["text"] += " ZZ"
    seven["log_probs"][0][2] += 2 * TOLERANCE
    seven["log_probs"][1][2] += 0.5 * TOLERANCE
    stop["n_frames"] += 1
    found = differences(small / "small.safetensors", clips, small / "golden")
    assert len(found) == 3
    assert "text" in found[0] and "ZZ'" in found[0] and "frame 0, token" in found[1]
    assert "clips/stop.flac: n_frames" in found[2]


def test_a_recording_is_read_without_naming_a_model(tmp_path):
    """What the README promises of a fresh clone."""
    default = read_registry(REGISTRY).default
    if default is None:
        pytest.skip("no model is the default")
    assert file_of(default, MODELS[default], REGISTRY).is_file()
    clip = GOLDEN / "clips/sentence.flac"
    outcome = call("inference", "-cn=inference", f"input={clip}", f"output={tmp_path}")
    assert outcome.status == 0, outcome.stderr
    (said,) = tmp_path.rglob("*.json")
    assert len(json.loads(said.read_text())["pred_text"].split()) > 1
