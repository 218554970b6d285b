"""python -m scripts.publish: what it writes, counts and refuses."""

import json
import re

import pytest
import torch
import yaml

from scripts.publish import main
from scripts.publishing.card import measured, read_figures
from scripts.publishing.comparison import compare
from scripts.publishing.entries import write_entry
from scripts.publishing.golden import clips_of
from scripts.publishing.runs import without_places
from src.batch import Utterance
from src.build import load_recognizer
from src.trainer import load_checkpoint, save_checkpoint
from src.utils.errors import UserError
from src.utils.files import sha256
from src.utils.registry import read_registry
from tests.cli.in_process import untrained
from tests.recordings import siren, write

TRAINED_ON = {"_target_": "src.datasets.SpeechCommands", "path": "data/commands.h5"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder whose validation speech is one recording."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    untrained(folder / "checkpoints/best.pt")
    sound = write(folder.parent / "yes.wav", siren(1.0))
    (folder.parent / "yes.txt").write_text("yes")
    validation = {"_target_": "src.datasets.AudioFiles", "input": str(sound)}
    config = {"dataset": {"train": TRAINED_ON, "validation": validation}, "init_from": None}
    config["model"] = {"_target_": "src.models.ConvNet", "weights": "/srv/w/enc.safetensors"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = "/home/ann/.venv/bin/python train.py -cn=convnet dataset.root=/srv/speech/Libri"
    (folder / "environment.json").write_text(json.dumps({"command": command}))
    (folder / "summary.json").write_text(json.dumps({"audio_s": 7200.0}))
    return folder


@pytest.fixture
def predictions(tmp_path):
    """Two utterances: 1 error of 3 words, 0 of 1."""
    folder = tmp_path / "test-clean"
    folder.mkdir()
    for name, said, read in (("a", "one two three", "one too three"), ("b", "four", "four")):
        text = json.dumps({"pred_text": read, "text": said})
        (folder / f"{name}.json").write_text(text)
    return folder


def test_file_card_and_entry_tell_the_same(run, predictions, tmp_path, capsys):
    (tmp_path / "more.md").write_text("## Thanks\n\nTo those who spoke.\n")
    out = tmp_path / "out"
    words = [run, "--name", "tiny", "--out", out, "--predictions", predictions]
    main([*map(str, words), "--default", "--card_from", str(tmp_path / "more.md")])
    printed = capsys.readouterr().out
    assert "greedy texts of 1 utterance: none changed" in printed
    file = out / "tiny.safetensors"
    registry = read_registry(out / "registry.yaml")
    entry = registry.models["tiny"]
    assert registry.default == "tiny"
    assert (entry.size, entry.sha256) == (file.stat().st_size, sha256(file))
    assert (entry.file, entry.card) == ("tiny.safetensors", "tiny.md")
    assert entry.task == "spoken commands → phonemes"
    assert re.fullmatch(r"WER 25\.0 % \[0\.0, \d+\.\d\] on test-clean", entry.figure)
    page = (out / "tiny.md").read_text()
    n = sum(p.numel() for p in load_recognizer(run)[1].parameters())
    assert f"| parameters | {n:,} |" in page and f"{file.stat().st_size / 1e6:.1f} MB" in page
    assert f"| test-clean | 2 | WER | {entry.figure[4:].removesuffix(' on test-clean')} |" in page
    for told in ("CC BY 4.0", "arXiv:1804.03209", "enc.safetensors", "2.0 h", "## Limits",
                 "python train.py -cn=convnet dataset.root=Libri", "checkpoint=tiny",
                 "changes none of 1 greedy texts: PER", "To those who spoke."):  # fmt: skip
        assert told in page, told
    assert "/home" not in page and "/srv" not in page


def test_a_second_model_leaves_the_first_and_the_head(run, tmp_path):
    registry = tmp_path / "registry.yaml"
    registry.write_text("# One.\n# Two.\ndefault: null\nmodels: {}\n")
    for name in ("a", "b", "a"):
        main([str(run), "--name", name, "--out", str(tmp_path)])
    assert registry.read_text().startswith("# One.\n# Two.\ndefault: null\n")
    assert list(read_registry(registry).models) == ["a", "b"]
    files = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_an_entry_that_could_not_be_read_is_not_written(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text("default: null\nmodels: {}\n")
    with pytest.raises(UserError, match="model a: "):
        write_entry(path, "a", {"file": "a"}, default=True)
    assert path.read_text() == "default: null\nmodels: {}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["registry.yaml"]


def test_changed_texts_are_found_and_rates_counted(run, tmp_path):
    text, before, _ = load_recognizer(run)
    state = load_checkpoint(run)
    state["recognizer"]["model.head.bias"][0] = 100.0  # nothing but blanks
    save_checkpoint(tmp_path / "deaf.pt", state)
    _, after, _ = load_recognizer(tmp_path / "deaf.pt")
    target = text.target("yes")
    speech = [Utterance(name, siren(1.0), "yes", target) for name in ("a", "b")]
    found = compare(text, before, after, speech)
    assert found.n == 2 and [name for name, _, _ in found.changed] == ["a", "b"]
    assert all(read and not deaf for _, read, deaf in found.changed)
    assert found.rates["per"][1] == 1.0 and found.largest > 50  # every phoneme deleted
    same = compare(text, before, before, speech)
    assert same.changed == [] and same.largest == 0.0


@pytest.mark.parametrize(
    ("command", "clean"),
    [
        ("/v/bin/python3 train.py -cn=x a=/srv/b/c", "python train.py -cn=x a=c"),
        ("python train.py 'a=[/x/y/z,/x/w]'", "python train.py 'a=[z,w]'"),
        ("python train.py root=~/data/Libri r=data/L", "python train.py root=Libri r=data/L"),
        ("python train.py optimizer.lr=1e-3", "python train.py optimizer.lr=1e-3"),
    ],
)
def test_places_of_a_machine_are_taken_off_a_command(command, clean):
    assert without_places(command) == clean


def test_figures_come_from_what_calc_wer_cer_prints(predictions, tmp_path, capsys):
    import calc_wer_cer

    calc_wer_cer.main(["--dir_path", str(predictions), "--json"])
    (tmp_path / "f.json").write_text(capsys.readouterr().out)
    read, scored = read_figures(tmp_path / "f.json"), measured(predictions)
    assert read == scored and scored.n == 2 and scored.scores["wer"]["rate"] == 0.25
    (tmp_path / "f.json").write_text('{"scores": []}')
    with pytest.raises(UserError, match=r"not what calc_wer_cer.py --json prints"):
        read_figures(tmp_path / "f.json")
    (predictions / "c.json").write_text("{}")
    with pytest.raises(UserError, match=r"1 of its files can't be scored .*c.json"):
        measured(predictions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "../x"], "use letters, digits"),
        (["--name", "x", "--input", "nowhere"], "nowhere"),
        (["--name", "x", "--card_from", "nowhere.md"], "nowhere.md: can't be read"),
        (["--name", "x", "--predictions", "nowhere"], "nowhere"),
        (["--name", "x", "--golden", "nowhere"], "no .flac files"),
    ],
)
def test_a_mistake_writes_nothing_and_ends_in_one_line(run, tmp_path, options, message):
    with pytest.raises(SystemExit) as refused:
        main([str(run), "--out", str(tmp_path / "out"), *options])
    assert message in refused.value.code and refused.value.code.startswith("publish: ")
    assert not (tmp_path / "out").exists()


def test_without_a_run_recordings_must_be_named(tmp_path):
    checkpoint = untrained(tmp_path / "a.pt")
    with pytest.raises(SystemExit) as refused:
        main([str(checkpoint), "--name", "x", "--out", str(tmp_path / "out")])
    assert "name recordings with --input" in refused.value.code


def test_weights_beyond_float16_are_published_as_they_are_when_asked(run, tmp_path):
    state = load_checkpoint(run)
    state["recognizer"]["model.head.weight"][1, 0] = 1e5
    save_checkpoint(tmp_path / "a.pt", state)
    words = [tmp_path / "a.pt", "--name", "x", "--out", tmp_path, "--input", run.parent / "yes.wav"]
    with pytest.raises(SystemExit) as refused:
        main([*map(str, words)])
    assert "--precision float32" in refused.value.code
    main([*map(str, words), "--precision", "float32"])
    weights = load_checkpoint(tmp_path / "x.safetensors")["recognizer"]
    assert all(torch.equal(weights[name], t) for name, t in state["recognizer"].items())


def test_absent_real_clips_are_named(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.flac").touch()
    with pytest.raises(UserError, match=r"lacks .*103-1240-0000.opus"):
        clips_of(tmp_path, tmp_path)
