"""python -m scripts.tune_decoder: what it finds, where it keeps it, who reads it."""

import json

import pytest
import torch

from scripts import tune_decoder
from scripts.tune_decoder import Point, best_of, search
from src.batch import Emissions
from src.build.tuned import save_tuned, with_tuned
from src.decoders import FusedBeam
from src.language_models import NeuralLM, estimate, write_arpa
from src.metrics import word_errors
from src.text import Vocabulary
from tests.cli.in_process import call, inference_arguments, untrained
from tests.recordings import TONE, siren, write


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "words.arpa"
    write_arpa(estimate([["on"], ["on"], ["on"], ["no"]], order=2), path)
    return path


@pytest.fixture
def checkpoint(tmp_path):
    return untrained(tmp_path / "run" / "checkpoints" / "best.pt", "text=characters")


def test_it_finds_the_weight_at_which_the_language_model_settles_what_was_heard(model):
    # Heard: "no" a little more than "on"; the text knows better.
    vocabulary = Vocabulary(("_", " ", "n", "o"))
    log_probs = torch.full((1, 3, 4), -12.0)
    log_probs[0, 0, 2], log_probs[0, 0, 3] = -0.5, -1.2
    log_probs[0, 1, 0] = 0.0
    log_probs[0, 2, 3], log_probs[0, 2, 2] = -0.5, -1.2
    heard = [Emissions(log_probs.log_softmax(-1), torch.tensor([3]))]
    decoder = FusedBeam(vocabulary, model)
    points = search(decoder, heard, ["on"], "WER", n_rounds=1)
    by_weight = {point.lm_weight: point.rate for point in points if point.bonus == 0.5}
    assert by_weight[0.2] == 1.0 and by_weight[2.2] == 0.0
    best = best_of(points)
    assert best.rate == 0.0 and len(points) == len(set(points)) > 20


def test_of_equal_rates_the_least_weight_is_best():
    points = [Point(1.0, 0.0, 0.3), Point(0.5, -1.0, 0.2), Point(0.5, 0.5, 0.2), Point(2, 0, 0.2)]
    assert best_of(points) == Point(0.5, 0.5, 0.2)


def test_what_is_found_is_kept_beside_the_checkpoint_and_read_with_that_model_only(
    checkpoint, model, tmp_path, capsys
):
    root = tmp_path / "talks"
    root.mkdir()
    for word in ("on", "no"):
        write(root / f"{word}.wav", TONE)
        (root / f"{word}.txt").write_text(word)
    tune_decoder.main(
        [
            *(f"checkpoint={checkpoint.parent.parent}", f"decoder.language_model={model}"),
            *(f"input={root}", "device=cpu", "loader.n_workers=0", "--rounds", "0"),
        ]
    )
    printed = capsys.readouterr().out
    stored = json.loads((checkpoint.parent / "decoder.json").read_text())
    [found] = stored.values()
    assert f"decoder.lm_weight={found['lm_weight']:g}" in printed and found["n"] == 2
    assert found["input"] == str(root) and "part" not in found
    assert (checkpoint.parent / "decoder.png").read_bytes().startswith(b"\x89PNG")

    chosen = {"language_model": str(model), "lm_weight": None, "bonus": None, "beam_width": 4}
    tuned = with_tuned(chosen, checkpoint)
    assert tuned == chosen | {"lm_weight": found["lm_weight"], "bonus": found["bonus"]}
    assert with_tuned(chosen | {"lm_weight": 3.0}, checkpoint)["lm_weight"] == 3.0
    other = tmp_path / "other.arpa"
    write_arpa(estimate([["no"]], order=1), other)
    assert with_tuned(chosen | {"language_model": str(other)}, checkpoint)["lm_weight"] is None


def test_with_a_lexicon_the_words_that_it_reads_decide(tmp_path, model, capsys):
    lexicon, root = tmp_path / "words.lexicon", tmp_path / "talks"
    lexicon.write_text("on AA N\nno N OW\n")
    checkpoint = untrained(tmp_path / "phonemes.pt", "text=phonemes_cmu_open")
    root.mkdir()
    write(root / "talk.wav", siren(1.0))
    (root / "talk.txt").write_text("No. On!")
    keys = [f"checkpoint={checkpoint}", f"input={root}", "device=cpu", "loader.n_workers=0"]
    keys += [f"decoder.language_model={model}", f"decoder.lexicon={lexicon}"]
    keys += ["decoder.n_tokens=null", "decoder.unknown=-30.0", "decoder.mbr_scale=1.0"]
    tune_decoder.main([*keys, "--rounds", "0"])
    [found] = json.loads((tmp_path / "decoder.json").read_text()).values()
    assert found["metric"] == "word error" and f"word error {100 * found['rate']:.2f} %" in (
        capsys.readouterr().out
    )
    arguments = inference_arguments(checkpoint, tmp_path / "out", f"input={root}", *keys[4:])
    assert call("inference", *arguments, "decoder=beam_lm").status == 0
    [path] = (tmp_path / "out").rglob("talk.json")
    record = json.loads(path.read_text("utf-8"))
    # inference.py takes the weights found, and makes as many errors.
    assert word_errors("no on", record["pred_word"]).rate == pytest.approx(found["rate"])


def test_weights_of_other_models_stay(checkpoint, model, tmp_path):
    other = tmp_path / "other.arpa"
    write_arpa(estimate([["no"]], order=1), other)
    save_tuned(checkpoint, model, {"lm_weight": 1.0, "bonus": 0.0})
    save_tuned(checkpoint, other, {"lm_weight": 2.0, "bonus": 0.0})
    for path, weight in ((model, 1.0), (other, 2.0)):
        decoder = {"language_model": str(path), "lm_weight": None, "bonus": None}
        assert with_tuned(decoder, checkpoint)["lm_weight"] == weight


def test_weights_with_a_neural_model_stand_beside_those_without(checkpoint, model, tmp_path):
    neural = tmp_path / "neural.safetensors"
    NeuralLM(("▁", "n", "o"), width=8, n_layers=1).save(neural)
    save_tuned(checkpoint, model, {"lm_weight": 1.0, "bonus": 0.0})
    save_tuned(checkpoint, model, {"lm_weight": 2.0, "bonus": 0.0}, neural)
    decoder = {"language_model": str(model), "lm_weight": None, "bonus": None}
    assert with_tuned(decoder, checkpoint)["lm_weight"] == 1.0
    assert with_tuned(decoder | {"rescorer": None}, checkpoint)["lm_weight"] == 1.0
    assert with_tuned(decoder | {"rescorer": str(neural)}, checkpoint)["lm_weight"] == 2.0
    missing = decoder | {"rescorer": str(tmp_path / "nowhere")}
    assert with_tuned(missing, checkpoint) == missing


def test_it_tunes_beside_a_neural_model(checkpoint, model, tmp_path):
    root = tmp_path / "talks"
    root.mkdir()
    write(root / "on.wav", TONE)
    (root / "on.txt").write_text("on")
    neural = tmp_path / "neural.safetensors"
    NeuralLM(("▁", "n", "o"), width=8, n_layers=1).save(neural)
    keys = [f"checkpoint={checkpoint}", f"input={root}", "device=cpu", "loader.n_workers=0"]
    keys += [f"decoder.language_model={model}", f"decoder.rescorer={neural}"]
    tune_decoder.main([*keys, "--rounds", "0"])
    [found] = json.loads((checkpoint.parent / "decoder.json").read_text()).values()
    assert found["rescorer"] == "neural.safetensors" and found["language_model"] == model.name


def test_published_models_side_by_side_have_weights_of_their_own(model, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    save_tuned(tmp_path / "a.safetensors", model, {"lm_weight": 1.0, "bonus": 0.0})
    decoder = {"language_model": str(model), "lm_weight": None, "bonus": None}
    assert with_tuned(decoder, tmp_path / "a.safetensors")["lm_weight"] == 1.0
    assert with_tuned(decoder, tmp_path / "b.safetensors") == decoder


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": 3}', ""])
def test_a_damaged_file_of_weights_is_passed_over(checkpoint, model, damage):
    (checkpoint.parent / "decoder.json").write_text(damage)
    decoder = {"language_model": str(model), "lm_weight": None, "bonus": None}
    assert with_tuned(decoder, checkpoint) == decoder


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("part=test", "part=test: weights tuned on test speech"),
        ("decoder=greedy", "only decoder=beam_lm has weights"),
        ("n_pictures=0", "Nobody knows what was said"),
        ("checkpoint=nowhere", "nowhere: no checkpoint there"),
    ],
)
def test_a_mistake_gives_one_line(checkpoint, model, tmp_path, override, message):
    write(tmp_path / "talk.wav", TONE)
    keys = [f"checkpoint={checkpoint}", f"input={tmp_path}", "device=cpu", "loader.n_workers=0"]
    keys += [] if override == "decoder=greedy" else [f"decoder.language_model={model}"]
    with pytest.raises(SystemExit, match=message) as ended:
        tune_decoder.main([*keys, override])
    assert "\n" not in str(ended.value)
