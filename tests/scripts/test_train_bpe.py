"""Pieces learnt from the command line, and models over them."""

import lzma

import pytest
from sentencepiece import SentencePieceProcessor

from scripts.train_bpe import main
from scripts.train_lm import main as train_lm
from src.language_models import BOS, EOS, UNK, NGram
from src.text import BPE

TEXT = "The cat SAT; that hat!\n\nthe cats chat at the heath\nshe sells a hatch, Señor\n"


def run(*words: object) -> None:
    main([str(word) for word in words])


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_pieces_are_learnt_of_the_normalised_text_and_told(text, tmp_path, capsys):
    run(text, "--size", 40, "--out", tmp_path / "out" / "small.model")
    told = capsys.readouterr().out
    vocabulary = BPE(str(tmp_path / "out" / "small.model")).vocabulary
    assert len(vocabulary) == 41
    assert {*"abcdefghijklmnopqrstuvwxyz'ñ▁"} < {*vocabulary.symbols}
    assert not {*"TS;!,"} & {*"".join(vocabulary.symbols[1:])}
    assert "hold ñ" in told and "text=bpe text.model=" in told
    sentences = ["the cat sat that hat", "the cats chat at the heath", "she sells a hatch señor"]
    theirs = SentencePieceProcessor(model_file=str(tmp_path / "out" / "small.model"))
    n_pieces = sum(len(theirs.encode(sentence)) for sentence in sentences)
    rows = dict(line.rsplit(maxsplit=1) for line in told.splitlines() if line[-1:].isdigit())
    assert (rows["sentences"], rows["words"], rows["pieces"]) == ("3", "16", str(n_pieces))


def test_lists_of_transcripts_and_packed_files_are_read(text, tmp_path):
    run(text, "--size", 40, "--out", tmp_path / "a.model")
    listed = "".join(f"id-{i} {line}\n" for i, line in enumerate(TEXT.split("\n")) if line)
    (tmp_path / "listed.xz").write_bytes(lzma.compress(listed.encode()))
    out = tmp_path / "b.model"
    run(tmp_path / "listed.xz", "--drop-first-field", "--size", 40, "--out", out)
    assert BPE(str(out)).vocabulary == BPE(str(tmp_path / "a.model")).vocabulary


def test_a_size_that_the_text_does_not_give_is_refused(text, tmp_path):
    with pytest.raises(SystemExit, match="train_bpe: --size 4000: does not suit this text"):
        run(text, "--size", 4000, "--out", tmp_path / "a.model")
    assert not (tmp_path / "a.model").exists()


def test_text_without_a_sentence_and_folders_are_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n ... \n")
    with pytest.raises(SystemExit, match="no sentence in there"):
        run(tmp_path / "empty.txt", "--out", tmp_path / "a.model")
    with pytest.raises(SystemExit, match="is a folder"):
        run(tmp_path / "empty.txt", "--out", tmp_path)


def test_a_language_model_is_learnt_over_the_pieces(text, tmp_path, capsys):
    run(text, "--size", 40, "--out", tmp_path / "small.model")
    words = [text, "--unit", "piece", "--bpe", tmp_path / "small.model", "--order", 3]
    train_lm([str(word) for word in (*words, "--out", tmp_path / "pieces.lm")])
    pieces = set(NGram.load(tmp_path / "pieces.lm").words) - {BOS, EOS, UNK}
    vocabulary = BPE(str(tmp_path / "small.model")).vocabulary
    assert pieces == set(vocabulary.split("the cat sat that hat the cats chat at the heath")) | set(
        vocabulary.split("she sells a hatch señor")
    )
    assert "pieces, 0 of them" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        train_lm([str(text), "--unit", "piece", "--out", str(tmp_path / "x.lm")])
    assert "--unit piece and --bpe MODEL belong together" in capsys.readouterr().err
