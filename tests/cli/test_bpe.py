"""text=bpe from the command line: read with greedy and beam, with and without a language model."""

import json
from pathlib import Path

import pytest

from scripts.align import main as align
from scripts.train_bpe import learn
from src.language_models import estimate, write_arpa
from src.text import BPE
from src.trainer import load_checkpoint
from tests.cli.in_process import call, inference_arguments, untrained
from tests.recordings import siren, write

SENTENCES = ("the cat sat", "that hat", "the cats chat at the heath", "she sells a hatch")
LIVELY = ["model=causal", "model.width=16", "model.n_channels=4"]  # reads many tokens, untrained
SAID = "the cat sat at the hatch"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint that reads pieces, whose model file is gone, a recording and what it says."""
    folder = tmp_path_factory.mktemp("bpe")
    model = folder / "small.model"
    model.write_bytes(learn(SENTENCES, 40))
    untrained(folder / "model.pt", "text=bpe", f"text.model={model}", model=LIVELY)
    pieces = [BPE(str(model)).vocabulary.split(sentence) for sentence in SENTENCES]
    write_arpa(estimate(pieces, order=2), folder / "pieces.arpa")
    write_arpa(estimate([s.split() for s in SENTENCES], order=2), folder / "words.arpa")
    model.unlink()
    (folder / "in").mkdir()
    write(folder / "in" / "talk.wav", siren(3.0))
    (folder / "in" / "talk.txt").write_text(SAID)
    return folder


def read(folder: Path, out: Path, *keys: str) -> dict:
    arguments = inference_arguments(folder / "model.pt", out, *keys)
    result = call("inference", *arguments, f"input={folder / 'in'}")
    assert result.status == 0, result.stderr
    [path] = out.rglob("talk.json")
    return json.loads(path.read_text("utf-8"))


def test_a_checkpoint_holds_the_pieces_and_no_path(folder):
    state = load_checkpoint(folder / "model.pt")
    assert state["config"]["text"]["model"] is None
    assert ["<blank>", *state["config"]["text"]["pieces"]] == state["symbols"]
    assert str(folder) not in str(state["config"])


@pytest.mark.parametrize(
    "decoder",
    [
        ["decoder=greedy"],
        ["decoder=beam"],
        ["decoder=beam_lm", "decoder.language_model=PIECES", "decoder.bonus=3.0"],
        ["decoder=beam_lm", "decoder.language_model=WORDS", "decoder.bonus=3.0"],
    ],
    ids=["greedy", "beam", "pieces", "words"],
)
def test_pieces_are_read_as_words_whose_times_and_confidences_are_those_of_their_pieces(
    folder, tmp_path, decoder
):
    files = {"PIECES": str(folder / "pieces.arpa"), "WORDS": str(folder / "words.arpa")}
    keys = [f"{key}={files.get(value, value)}" for key, value in (k.split("=") for k in decoder)]
    record = read(folder, tmp_path, *keys)
    tokens = record["tokens"]
    assert len(tokens) > 2
    spelt = "".join(token["token"] for token in tokens).replace("▁", " ")
    assert record["pred_text"] == " ".join(spelt.split())
    assert record["text"] == SAID
    assert [word["word"] for word in record["words"]] == record["pred_text"].split()
    # Word by word: each takes pieces until the next one begins.
    remaining = list(tokens)
    for word in record["words"]:
        own = [remaining.pop(0)]
        while own[-1]["token"] == "▁" and remaining and remaining[0]["token"][0] == "▁":
            own = [remaining.pop(0)]  # a lone ▁ before another spells nothing
        while remaining and not remaining[0]["token"].startswith("▁"):
            own.append(remaining.pop(0))
        assert "".join(piece["token"] for piece in own).removeprefix("▁") == word["word"]
        assert (word["start_s"], word["end_s"]) == (own[0]["start_s"], own[-1]["end_s"])
        product = 1.0
        for piece in own:
            product *= piece["confidence"]
        assert word["confidence"] == pytest.approx(product, abs=1e-4)


def test_with_a_language_model_of_words_its_words_alone_come_out(folder, tmp_path):
    keys = ("decoder=beam_lm", f"decoder.language_model={folder / 'words.arpa'}")
    record = read(folder, tmp_path, *keys)
    listed = {word for sentence in SENTENCES for word in sentence.split()}
    assert record["pred_text"] and {*record["pred_text"].split()} <= listed


def test_words_are_aligned_by_their_pieces(folder, tmp_path, capsys):
    align([str(folder / "model.pt"), str(folder / "in"), "--out", str(tmp_path), "--device=cpu"])
    record = json.loads((tmp_path / "talk.json").read_text("utf-8"))
    assert [word["word"] for word in record["words"]] == SAID.split()
    starts = [t["start_s"] for t in record["tokens"] if t["token"].startswith("▁")]
    assert [word["start_s"] for word in record["words"]] == starts
