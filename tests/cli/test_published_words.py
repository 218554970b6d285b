"""A phoneme model published with a language model and a lexicon: words without naming either."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import scripts.publish
import scripts.tune_decoder
import src.utils.published
from download_model import main as download
from scripts.publishing.golden import differences, read_golden
from scripts.write_lexicon import main as write_lexicon
from src.build.parts import build_recognizer, build_text, build_transcriber
from src.build.tuned import (
    chosen_decoder,
    files_beside,
    save_tuned,
    with_files,
    with_published,
)
from src.language_models import estimate, write_arpa
from src.trainer import load_checkpoint
from src.utils.errors import UserError
from src.utils.files import sha256
from src.utils.registry import read_registry
from tests.build.configs import tiny
from tests.cli.in_process import Outcome, call, untrained
from tests.conftest import REPOSITORY
from tests.recordings import siren, write

WORDS = ["no", "on", "now", "own"]
AUTO = {"_target_": "src.decoders.Auto"}
ENDINGS = [".arpa.gz", ".lexicon.gz"]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """A recording, and in pretrained/ the model "tiny" with all that it needs to write words."""
    folder = tmp_path_factory.mktemp("shelf")
    checkpoint = untrained(folder / "run/checkpoints/best.pt", "text=phonemes_cmu_open")
    write(folder / "my.wav", siren(1.0))
    write_arpa(estimate([WORDS, WORDS[::-1]], order=2), folder / "words.arpa.gz", digits=4)
    write_lexicon([str(folder / "words.arpa.gz"), "--out", str(folder / "words.lexicon.gz")])
    shutil.copytree(REPOSITORY / "tests/golden/clips", folder / "golden/clips")
    weights = ("--lm_weight", "0.6", "--bonus", "-0.5")
    publish(folder, checkpoint, *weights, "--golden", str(folder / "golden"))
    return folder


def publish(folder: Path, checkpoint: Path, *more: str) -> None:
    scripts.publish.main(
        [str(checkpoint), "--name", "tiny", "--out", str(folder / "pretrained"), "--default",
         "--input", str(folder / "my.wav"), "--language_model", str(folder / "words.arpa.gz"),
         "--lexicon", str(folder / "words.lexicon.gz"), *more]
    )  # fmt: skip


@pytest.fixture
def registry(shelf, monkeypatch) -> Path:
    path = shelf / "pretrained/registry.yaml"
    monkeypatch.setattr(src.utils.published, "REGISTRY", path)
    return path


def infer(checkpoint: Path | str, output: Path, *overrides: str) -> Outcome:
    """inference.py as people call it, no decoder named."""
    quick = ("device=cpu", "n_pictures=0", "loader.n_workers=0", f"output={output}")
    return call("inference", f"checkpoint={checkpoint}", *quick, *overrides)


def said(folder: Path) -> dict:
    [path] = folder.rglob("my.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_entry_and_card_tell_of_the_files(shelf):
    model = read_registry(shelf / "pretrained/registry.yaml").models["tiny"]
    assert list(model.companions) == ENDINGS
    for ending, file in model.companions.items():
        copy = shelf / f"pretrained/tiny{ending}"
        assert (file.size, file.sha256) == (copy.stat().st_size, sha256(copy))
        assert copy.read_bytes() == (shelf / f"words{ending}").read_bytes()
    assert model.task == "speech → words"
    assert model.all_bytes == sum(
        p.stat().st_size for p in (shelf / "pretrained").glob("tiny.[sal]*")
    )
    card = (shelf / "pretrained/tiny.md").read_text(encoding="utf-8")
    assert "| language model | `tiny.arpa.gz`, 0.0 MB |" in card and "`tiny.lexicon.gz`" in card
    assert "beam_lm with these, lm_weight 0.6, bonus -0.5 |" in card


@pytest.mark.parametrize("checkpoint", ["null", "tiny", "file"])
def test_words_are_read_as_if_all_were_named(shelf, registry, tmp_path, checkpoint):
    file = shelf / "pretrained/tiny.safetensors"
    checkpoint = file if checkpoint == "file" else checkpoint
    outcome = infer(checkpoint, tmp_path / "auto", f"input={shelf / 'my.wav'}")
    assert outcome.status == 0, outcome.stderr
    named = [
        "decoder=beam_lm",
        f"decoder.language_model={shelf / 'words.arpa.gz'}",
    ]
    named += ["decoder.beam_width=64", f"decoder.lexicon={shelf / 'words.lexicon.gz'}"]
    named += ["decoder.lm_weight=0.6", "decoder.bonus=-0.5"]
    assert infer(file, tmp_path / "named", f"input={shelf / 'my.wav'}", *named).status == 0
    found = said(tmp_path / "auto")
    assert found == said(tmp_path / "named")
    assert found["pred_word"] and set(found["pred_word"].split()) <= set(WORDS)
    assert f"my: {found['pred_word']}\n" in outcome.stdout  # words, not phonemes


def test_another_decoder_may_be_chosen(shelf, registry, tmp_path):
    sound = f"input={shelf / 'my.wav'}"
    assert infer("tiny", tmp_path / "greedy", sound, "decoder=greedy").status == 0
    assert "pred_word" not in said(tmp_path / "greedy")
    # What is named wins, what is not comes with the model.
    assert infer("tiny", tmp_path / "beam", sound, "decoder=beam_lm", "decoder.bonus=3").status == 0
    state = load_checkpoint(shelf / "pretrained/tiny.safetensors")
    config = {"_target_": "src.decoders.FusedBeam", "language_model": None, "lexicon": "mine"}
    chosen = chosen_decoder(config | {"lm_weight": None, "bonus": 3.0}, "tiny", state)
    assert chosen["language_model"] == str(shelf / "pretrained/tiny.arpa.gz")
    assert (chosen["lexicon"], chosen["lm_weight"], chosen["bonus"]) == ("mine", 0.6, 3.0)


def test_weights_tuned_here_come_before_those_published(shelf, tmp_path, monkeypatch):
    shutil.copytree(shelf / "pretrained", tmp_path / "pretrained")
    monkeypatch.setattr(src.utils.published, "REGISTRY", tmp_path / "pretrained/registry.yaml")
    sound = shutil.copy(shelf / "my.wav", tmp_path)
    (tmp_path / "my.txt").write_text("No. On!")
    scripts.tune_decoder.main(  # of the default model, with what came with it
        [f"input={sound}", "device=cpu", "loader.n_workers=0", "--rounds", "0"]
    )
    file = tmp_path / "pretrained/tiny.safetensors"
    [found] = json.loads((file.parent / "tiny.decoder.json").read_text()).values()
    assert found["metric"] == "word error"
    auto = chosen_decoder(AUTO, file, load_checkpoint(file))
    assert (auto["lm_weight"], auto["bonus"]) == (found["lm_weight"], found["bonus"])
    # Golden outputs know the published ones only, and what is published anew brings its own.
    kept = with_published(with_files(AUTO, file), load_checkpoint(file))
    assert (kept["lm_weight"], kept["bonus"]) == (0.6, -0.5)
    shutil.copytree(shelf / "run", tmp_path / "run")
    shutil.copy(shelf / "my.wav", tmp_path / "run")
    for ending in ENDINGS:
        shutil.copy(shelf / f"words{ending}", tmp_path)
    save_tuned(tmp_path / "run", tmp_path / "words.arpa.gz", {"lm_weight": 0.3, "bonus": 0.2})
    publish(tmp_path, tmp_path / "run")
    assert not (file.parent / "tiny.decoder.json").exists()
    auto = chosen_decoder(AUTO, file, load_checkpoint(file))
    assert (auto["lm_weight"], auto["bonus"]) == (0.3, 0.2)


def test_without_a_language_model_beside_it_auto_is_greedy(shelf, tmp_path):
    file = shutil.copy(shelf / "pretrained/tiny.safetensors", tmp_path)
    assert files_beside(file) == {}
    assert infer(file, tmp_path / "out", f"input={shelf / 'my.wav'}").status == 0
    assert "pred_word" not in said(tmp_path / "out")
    # A run of one's own may have one too.
    shutil.copy(shelf / "run/checkpoints/best.pt", tmp_path)
    for ending in ENDINGS:
        shutil.copy(shelf / f"words{ending}", tmp_path / f"best{ending}")
    assert infer(tmp_path / "best.pt", tmp_path / "run", f"input={shelf / 'my.wav'}").status == 0
    assert said(tmp_path / "run")["pred_word"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("damage", ["absent", "altered"])
def test_a_companion_that_is_not_what_was_published_is_told(
    shelf, tmp_path, monkeypatch, ending, damage
):
    shutil.copytree(shelf / "pretrained", tmp_path / "pretrained")
    monkeypatch.setattr(src.utils.published, "REGISTRY", tmp_path / "pretrained/registry.yaml")
    file = tmp_path / f"pretrained/tiny{ending}"
    content = file.read_bytes()
    file.unlink()
    if damage == "altered":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    outcome = infer("tiny", tmp_path / "out", f"input={shelf / 'my.wav'}")
    told = "is not there" if damage == "absent" else "wrong checksum"
    assert str(file) in outcome.refusal and told in outcome.refusal
    assert "it came with the repository" in outcome.refusal


def test_all_files_are_downloaded_and_read_together(shelf, tmp_path, capsys):
    content = yaml.safe_load((shelf / "pretrained/registry.yaml").read_text(encoding="utf-8"))
    entry = content["models"]["tiny"]
    file = shelf / "pretrained" / entry.pop("file")
    entry["urls"] = [file.as_uri()]
    for ending, companion in entry["companions"].items():
        companion["urls"] = [file.with_name(f"tiny{ending}").as_uri()]
    entry.pop("card")
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(content))
    options = ["--registry", str(tmp_path / "registry.yaml"), "--out", str(tmp_path / "models")]
    assert download(["tiny", *options]) == 0
    printed = capsys.readouterr().out
    for ending in (".safetensors", *ENDINGS):
        copy = tmp_path / f"models/tiny{ending}"
        assert copy.read_bytes() == file.with_name(copy.name).read_bytes()
        assert f"{copy}: {copy.stat().st_size:,} bytes, SHA-256 verified" in printed
    sound = f"input={shelf / 'my.wav'}"
    assert infer(tmp_path / "models/tiny.safetensors", tmp_path / "out", sound).status == 0
    assert said(tmp_path / "out")["pred_word"]


def test_golden_outputs_hold_the_words_too(shelf):
    kept = read_golden(shelf / "golden/tiny.json")["clips"]
    assert all(set(clip["read"].split()) <= set(WORDS) and clip["read"] for clip in kept.values())
    file = shelf / "pretrained/tiny.safetensors"
    assert differences(file, kept, shelf / "golden") == []
    kept["clips/seven.flac"]["read"] += " own"
    [line] = differences(file, kept, shelf / "golden")
    assert line.startswith("clips/seven.flac: read '")


def test_a_model_published_again_without_them_keeps_none_and_nothing_else_goes(
    shelf, tmp_path, capsys
):
    shutil.copytree(shelf / "pretrained", tmp_path / "pretrained")
    (tmp_path / "pretrained/tiny.arpa").write_text("somebody's own")
    scripts.publish.main(
        [str(shelf / "pretrained/tiny.safetensors"), "--name", "tiny",
         "--out", str(tmp_path / "pretrained"),
         "--input", str(shelf / "my.wav")]
    )  # fmt: skip
    left = sorted(path.name for path in (tmp_path / "pretrained").iterdir())
    assert left == ["registry.yaml", "tiny.arpa", "tiny.md", "tiny.safetensors"]
    printed = capsys.readouterr().out
    assert f"removed: {tmp_path / 'pretrained/tiny.arpa.gz'}\n" in printed
    state = load_checkpoint(tmp_path / "pretrained/tiny.safetensors")
    assert "decoder" not in state
    assert not read_registry(tmp_path / "pretrained/registry.yaml").models["tiny"].companions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lexicon", "words.lexicon.gz"], "--lexicon: goes with --language_model FILE"),
        (["--bonus", "4"], "--bonus: goes with --language_model FILE"),
        (["--language_model", "absent.arpa"], "absent.arpa: no such language model"),
        (["--language_model", "words.arpa.gz"], "name a lexicon with decoder.lexicon=FILE"),
    ],
)
def test_what_can_not_decode_is_not_published(shelf, tmp_path, words, message):
    paths = [str(shelf / word) if "." in word else word for word in words]
    with pytest.raises(SystemExit, match=message):
        scripts.publish.main(
            [str(shelf / "run"), "--name", "a", "--out", str(tmp_path), *paths,
             "--input", str(shelf / "my.wav")]
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_what_the_registry_does_not_list_is_not_read(shelf, tmp_path, monkeypatch):
    shutil.copytree(shelf / "pretrained", tmp_path / "pretrained")
    monkeypatch.setattr(src.utils.published, "REGISTRY", tmp_path / "pretrained/registry.yaml")
    (tmp_path / "pretrained/tiny.lexicon").write_text("no N OW\n")
    content = yaml.safe_load((tmp_path / "pretrained/registry.yaml").read_text(encoding="utf-8"))
    del content["models"]["tiny"]["companions"][".lexicon.gz"]
    (tmp_path / "pretrained/registry.yaml").write_text(yaml.safe_dump(content))
    assert files_beside("tiny") == {
        "language_model": str(tmp_path / "pretrained/tiny.arpa.gz"),
    }
    refusal = infer("tiny", tmp_path / "out", f"input={shelf / 'my.wav'}").refusal
    assert "name a lexicon" in refusal and "decoder=greedy goes without" in refusal
    # Without them a model still reads, as everything does that needs no words.
    (tmp_path / "pretrained/tiny.arpa.gz").unlink()
    keys = (f"input={shelf / 'my.wav'}", "decoder=greedy")
    assert infer("tiny", tmp_path / "out", *keys).status == 0


def test_training_decodes_greedily_under_auto():
    config = tiny("decoder=auto")
    transcriber = build_transcriber(build_recognizer(config, text := build_text(config)), text,
        config["decoder"], "float32")  # fmt: skip
    assert list(transcriber.decoders) == ["greedy"]


def test_what_is_no_number_is_passed_over_and_keys_of_auto_are_refused(shelf):
    file = shelf / "pretrained/tiny.safetensors"
    state = load_checkpoint(file) | {"decoder": {"lm_weight": "much", "bonus": True, "x": 1.0}}
    found = chosen_decoder(AUTO, file, state)
    assert (found["lm_weight"], found["bonus"]) == (None, None) and "x" not in found
    with pytest.raises(UserError, match=r"decoder.beam_width: decoder=auto has no keys; decoder="):
        chosen_decoder(AUTO | {"beam_width": 3}, file, state)
    with pytest.raises(UserError, match="no checkpoint there"):
        files_beside(shelf / "absent.pt")
