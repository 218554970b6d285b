"""Neural language models learnt from the command line, as a person would."""

import re
import signal

import pytest
import torch

from scripts.train_bpe import main as train_bpe
from scripts.train_neural_lm import main
from src.language_models import NeuralLM
from tests.scripts.interrupted import end

SMALL = ("--width", 16, "--n_layers", 1, "--precision", "float32")


@pytest.fixture
def text(tmp_path):
    """Sentences with names before them, and pieces learnt from them."""
    path = tmp_path / "text.txt"
    sentences = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "page 7"]
    lines = [f"name-{i} {sentences[i % 4]}\n" for i in range(80)]
    path.write_text("".join(lines))
    letters = tmp_path / "letters.txt"
    letters.write_text("".join(line for line in lines if "page" not in line))
    train_bpe([str(letters), "--drop-first-field", "--size", "50", "--out", str(tmp_path / "bpe")])
    return path


def command(text, *words) -> list[str]:
    bpe = text.parent / "bpe"
    return [str(word) for word in (text, "--drop-first-field", "--bpe", bpe, *SMALL, *words)]


def test_it_learns_tells_and_writes(text, tmp_path, capsys):
    heldout = tmp_path / "heldout.txt"
    heldout.write_text("x-1 the cat sat on the log\n")
    out = tmp_path / "deep" / "neural.safetensors"
    words = ("--n_epochs", 12, "--batch_tokens", 40, "--lr", 0.02, "--heldout", heldout)
    main(command(text, *words, "--out", out))
    said = capsys.readouterr().out
    assert re.search(r"0\.0 M weights, \d+ steps, float32 on cpu", said)
    found = re.findall(r"pass (\d+): loss [\d.]+ .* perplexity of held-out .* ([\d.]+)", said)
    assert [int(n) for n, _ in found] == [*range(1, 13)]
    assert float(found[-1][1]) < 4 < float(found[0][1])  # each word leaves two or three to follow
    assert f"{out}: 0.0 MB" in said and [*out.parent.iterdir()] == [out]
    model = NeuralLM.load(out)
    assert model.settings == {"width": 16, "n_layers": 1, "dropout": 0.1}
    assert "7" not in "".join(model.pieces) and "left out: 20 sentences with signs" in said


def weights(path) -> list[torch.Tensor]:
    return list(NeuralLM.load(path).state_dict().values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_was_ended_goes_on_where_it_was(text, tmp_path, number, capsys):
    out, kept = tmp_path / "neural.safetensors", tmp_path / "neural.safetensors.training"
    settings = ("--n_epochs", 400, "--batch_tokens", 60, "--save_every_minutes", 0.001)
    words = command(text, *settings, "--out", out)
    end("train_neural_lm", words, out, number)
    capsys.readouterr()

    main(words)
    step = re.search(r"goes on at step ([\d,]+)", capsys.readouterr().out)
    assert int(step[1].replace(",", "")) > 0 and not kept.exists()
    main(command(text, *settings, "--out", tmp_path / "whole.safetensors"))
    for a, b in zip(weights(out), weights(tmp_path / "whole.safetensors"), strict=True):
        assert torch.equal(a, b)


def test_what_belongs_to_another_training_or_is_damaged_is_left_alone(text, tmp_path, capsys):
    kept = tmp_path / "neural.safetensors.training"
    words = ("--n_epochs", 1, "--out", tmp_path / "neural.safetensors")
    torch.save({"of": {"seed": 1}, "model": {}, "optimizer": {}, "step": 3}, kept)
    before = kept.read_bytes()
    with pytest.raises(SystemExit, match="belongs to a training with other text or settings"):
        main(command(text, *words))
    assert kept.read_bytes() == before
    kept.write_bytes(before[:50])
    with pytest.raises(SystemExit, match=r"\.training: damaged .*; delete it to start over"):
        main(command(text, *words))
    assert kept.read_bytes() == before[:50]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--precision", "fp16"], "fp16 would need its loss scaled"),
        (["--dropout", "1"], "expected a number above"),
        (["--width", "4"], "not a whole number from 8"),
        (["--device", "tpu"], "device=tpu: unknown"),
    ],
)
def test_what_can_t_be_is_told(text, tmp_path, words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command(text, *words, "--out", tmp_path / "x"))
    assert told in capsys.readouterr().err + str(ended.value)


def test_text_that_is_missing_empty_or_unspellable_is_told(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--bpe", str(tmp_path / "bpe"), "--out", str(tmp_path / "x")])
    assert "name at least one TEXT, or --books" in capsys.readouterr().err
    (tmp_path / "digits").write_text("a-1 7 8\n\n")
    with pytest.raises(SystemExit, match="No sentence in that text can be written"):
        main(command(tmp_path / "digits", "--out", tmp_path / "x"))
    with pytest.raises(SystemExit, match="is a folder; name a file"):
        main(command(text, "--out", tmp_path))
    with pytest.raises(SystemExit, match="digits: has no words, so it has no perplexity"):
        main(command(text, "--heldout", tmp_path / "digits", "--out", tmp_path / "x"))
