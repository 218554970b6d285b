"""A checkpoint of phonemes learns to write, from the command line; inference.py reads with it."""

import json
import re
import signal

import pytest
import torch

from scripts.train_bpe import main as train_bpe
from scripts.train_speller import main
from src.spelling import Written
from src.trainer import load_checkpoint
from tests.cli.in_process import call, untrained
from tests.recordings import TONE, write
from tests.scripts.interrupted import end

# Nothing learnt, so that every phoneme has about 1/41 everywhere.
SMALL = ("--threshold", 0.03, "--width", 16, "--n_layers", 1, "--batch_words", 20)
SMALL += ("--precision", "float32", "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Text, pieces, a checkpoint of phonemes and some speech."""
    folder = tmp_path_factory.mktemp("speller")
    sentences = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "page 7"]
    (folder / "text.txt").write_text("".join(f"n-{i} {sentences[i % 4]}\n" for i in range(80)))
    (folder / "letters.txt").write_text("\n".join(sentences[:3] * 9))
    train_bpe([str(folder / "letters.txt"), "--size", "40", "--out", str(folder / "bpe")])
    untrained(folder / "run" / "checkpoints" / "best.pt", "text=phonemes_cmu_open")
    (folder / "talks").mkdir()
    for i, words in enumerate([*sentences[:3], "a page"]):  # every sound is heard
        write(folder / "talks" / f"{i}.wav", TONE)
        (folder / "talks" / f"{i}.txt").write_text(words)
    return folder


def command(place, *words) -> list[str]:
    line = (place / "text.txt", "--drop-first-field", "--bpe", place / "bpe")
    line += ("--checkpoint", place / "run", *SMALL, *words)
    if "--speech" not in words:
        line += ("--speech", f"input={place / 'talks'}", "loader.n_workers=0")
    return [str(word) for word in line]


def test_it_hears_learns_and_writes_a_checkpoint_that_writes_words(place, tmp_path, capsys):
    out = tmp_path / "deep" / "spelled.pt"
    main(command(place, "--n_steps", 30, "--out", out))
    said = capsys.readouterr().out
    assert "340 words; 20 sentences left out" in said
    assert re.search(r"\d+ tokens heard; for [\d.]+ % nothing, and [\d.]+ % were misheard", said)
    assert re.search(r"step 30: loss [\d.]+ a segment, [\d,]+ words a second", said)
    assert f"{out}: " in said and [*out.parent.iterdir()] == [out]
    state, before = load_checkpoint(out), load_checkpoint(place / "run/checkpoints/best.pt")
    assert state["config"]["text"]["pieces"] == state["symbols"][1:]
    for name, tensor in before["recognizer"].items():
        name = name.replace("model.", "model.reader.", 1)
        assert torch.equal(tensor, state["recognizer"][name])
    outcome = call(
        "inference",
        *(f"checkpoint={out}", f"input={place / 'talks'}", f"output={tmp_path}", "name=read"),
        *("device=cpu", "loader.n_workers=0", "n_pictures=0", "decoder=greedy"),
    )
    assert outcome.status == 0, outcome.stderr
    read = [json.loads(path.read_text()) for path in (tmp_path / "read").glob("*.json")]
    assert len(read) == 4 and {prediction["unit"] for prediction in read} == {"character"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_was_ended_goes_on_where_it_was(place, tmp_path, number, capsys):
    out, kept = tmp_path / "spelled.pt", tmp_path / "spelled.pt.training"
    heard = tmp_path / "spelled.pt.heard"
    words = command(place, "--n_steps", 900, "--save_every_minutes", 0.001, "--out", out)
    end("train_speller", words, out, number)
    capsys.readouterr()
    main(words)
    said = capsys.readouterr().out
    step = re.search(r"goes on at step ([\d,]+)", said)
    assert f"{heard}: what was heard, from an earlier run" in said
    assert int(step[1].replace(",", "")) > 0 and not kept.exists() and not heard.exists()
    whole = tmp_path / "whole.pt"
    main(command(place, "--n_steps", 900, "--out", whole))
    a, b = (load_checkpoint(path)["recognizer"] for path in (out, whole))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def never(*_):
    """In place of the hearing: what fails before it costs nothing."""
    raise AssertionError("it heard")


def test_another_share_of_rare_words_is_another_training(place, tmp_path, monkeypatch):
    out, heard = tmp_path / "spelled.pt", tmp_path / "spelled.pt.heard"
    words = ("--n_steps", 900, "--save_every_minutes", 0.001, "--out", out)
    end("train_speller", command(place, *words), out, signal.SIGINT)
    before = heard.read_bytes()
    monkeypatch.setattr("scripts.train_speller.hear_once", never)
    for other in (("--rare", 0.9), ("--seed", 3), ("--threshold", 0.02)):
        with pytest.raises(SystemExit, match="belongs to a training with other text or settings"):
            main(command(place, *words, *other))
    assert heard.read_bytes() == before


def test_where_nothing_can_be_written_nothing_is_heard(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("scripts.train_speller.hear_once", never)
    with pytest.raises(SystemExit, match=r"x\.pt\.training: could not be written .*another folder"):
        main(command(place, "--out", tmp_path / "file" / "x.pt"))


def test_the_words_of_a_lexicon_are_learnt_whatever_their_case(
    place, tmp_path, monkeypatch, capsys
):
    taken = []

    class Watched(Written):
        def __init__(self, words, spell, between, listed, rare):
            listed = list(listed)
            taken.append((listed, rare))
            super().__init__(words, spell, between, listed, rare)

    monkeypatch.setattr("scripts.train_speller.Written", Watched)
    (tmp_path / "words").write_text("LOG L AO G\ncats K AE T S\nüber Y UW B ER\n")
    words = ("--lexicon", tmp_path / "words", "--rare", 0.2, "--n_steps", 1)
    main(command(place, *words, "--out", tmp_path / "spelled.pt"))
    assert taken == [(["log", "cats", "über"], 0.2)]
    assert "340 words, 1 more word of the lexicon; 20 sentences" in capsys.readouterr().out


def test_a_checkpoint_may_lie_in_a_folder_of_any_name(place, tmp_path):
    folder = tmp_path / 'René, "lr=0.1" {a}'
    folder.mkdir()
    (folder / "best.pt").write_bytes((place / "run/checkpoints/best.pt").read_bytes())
    out = tmp_path / "spelled.pt"
    main(command(place, "--checkpoint", folder / "best.pt", "--n_steps", 1, "--out", out))
    assert out.is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--precision", "fp16"], "fp16 would need its loss scaled"),
        (["--threshold", "0"], "expected a number above 0"),
        (["--threshold", "1"], "1: expected a number above 0 and below 1"),
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--speech", "part=test"], "--speech part=test: what is learnt from test speech"),
        (["--width", "20"], "--width 20: expected a multiple of 16"),
    ],
)
def test_what_can_t_be_is_told(place, tmp_path, words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command(place, *words, "--out", tmp_path / "x.pt"))
    assert told in capsys.readouterr().err + str(ended.value)
    assert not (tmp_path / "x.pt").exists()
