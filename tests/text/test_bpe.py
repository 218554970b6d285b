"""Pieces of words: merged as by hand and as by SentencePiece itself."""

import itertools
import lzma
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from scripts.train_bpe import learn
from src.text import BPE
from src.text.bpe import Pieces
from src.utils.errors import UserError

# In the order of merging: t+h, ▁+th, ▁th+e, a+t, then the letters themselves.
BY_HAND = ("th", "▁th", "▁the", "at", "▁", "a", "c", "e", "h", "t")
SENTENCES = ("the cat sat", "that hat", "the cats chat at the heath", "she sells a hatch")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bpe") / "small.model"
    path.write_bytes(learn(SENTENCES, 40))
    return path


def test_pieces_are_merged_in_their_order_by_hand():
    pieces = Pieces(("<blank>", *BY_HAND))
    # ▁ t h e → ▁ th e → ▁th e → ▁the; ▁ t h a t → ▁th a t → ▁th at; c and ▁ join nothing
    assert pieces.split("the that cat") == ["▁the", "▁th", "at", "▁", "c", "at"]
    assert pieces.encode("the that cat") == (3, 2, 4, 5, 7, 4)
    assert pieces.split("tht") == ["▁th", "t"]
    assert pieces.split("") == []


def merged_one_after_another(symbols: tuple[str, ...], word: str) -> list[str]:
    """Section 3.2 to the letter: all pairs are looked at before each union."""
    pieces = ["▁", *word]
    while True:
        unions = [a + b for a, b in itertools.pairwise(pieces)]
        known = [(symbols.index(union), at) for at, union in enumerate(unions) if union in symbols]
        if not known:
            return pieces
        _, at = min(known)
        pieces[at : at + 2] = [unions[at]]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.text("ab▁", min_size=2, max_size=5), unique=True, max_size=12),
    st.text("ab", min_size=1, max_size=40),
)
def test_pairs_on_a_heap_unite_as_they_do_one_after_another(learnt, word):
    symbols = ("<blank>", *learnt, "▁", "a", "b")
    assert Pieces(symbols).split(word) == merged_one_after_another(symbols, word)


def test_a_word_without_end_costs_no_square_of_its_length():
    pieces = Pieces(("<blank>", *BY_HAND))
    assert pieces.split("that" * 50_000) == ["▁th", "at"] + ["th", "at"] * 49_999


def test_tokens_write_words_with_single_spaces_whatever_was_read():
    pieces = Pieces(("<blank>", *BY_HAND))
    assert pieces.decode((3, 0, 2, 4, 5, 7, 4)) == "the that cat"
    assert pieces.decode((4, 6, 5, 5, 3, 5)) == "ata the"  # begins within a word, empty words
    assert pieces.decode(()) == ""
    with pytest.raises(IndexError):
        pieces.decode((11,))


def test_a_transcript_is_cleaned_and_what_is_no_piece_is_named():
    text = BPE(model=None, pieces=BY_HAND)
    assert text.target("The CAT!") == "the cat"
    assert text.encode("The CAT!") == (3, 5, 7, 4)
    with pytest.raises(UserError, match=r"no 'b', 'o'; it knows 10 pieces: th ▁th ▁the.*train the"):
        text.encode("boat")
    with pytest.raises(UserError, match="no '▁'"):
        text.target("a ▁ cat")


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (("a", "a", "▁"), "twice"),
        (("a", "", "▁"), "empty"),
        (("a", "b"), "expected ▁ among them"),
    ],
)
def test_pieces_that_could_not_be_read_back_are_refused(pieces, told):
    with pytest.raises(UserError, match=told):
        BPE(model=None, pieces=pieces)


@settings(max_examples=100, deadline=None)
@given(words=st.lists(st.text("theacsl'q", min_size=1, max_size=9), max_size=5))
def test_any_words_are_cut_as_sentencepiece_cuts_them_and_read_back(model, words):
    text, theirs, sentence = BPE(str(model)), SentencePieceProcessor(model_file=str(model)), words
    sentence = " ".join(words)
    assert text.vocabulary.split(sentence) == theirs.encode(sentence, out_type=str)
    assert text.vocabulary.decode(text.vocabulary.encode(sentence)) == sentence


def test_librispeech_is_cut_as_sentencepiece_cuts_it(shared_data, tmp_path):
    with lzma.open(shared_data / "text" / "train-clean-100.text.xz", "rt") as file:
        transcripts = [line.split(" ", 1)[1].strip().lower() for line in file][::20]
    path = tmp_path / "bpe300.model"
    path.write_bytes(learn(transcripts[:700], 300))
    text, theirs = BPE(str(path)), SentencePieceProcessor(model_file=str(path))
    assert len(text.vocabulary) == 301
    for transcript in transcripts[700:]:
        tokens = text.encode(transcript)
        pieces = [text.vocabulary.symbols[token] for token in tokens]
        assert pieces == theirs.encode(transcript, out_type=str)
        assert text.vocabulary.decode(tokens) == transcript


def test_the_pieces_alone_make_the_same_vocabulary(model):
    from_file = BPE(str(model))
    stored = list(from_file.vocabulary.symbols[1:])
    from_pieces = BPE(model=None, pieces=stored)
    assert from_pieces.vocabulary.symbols == from_file.vocabulary.symbols
    assert from_pieces.encode(SENTENCES[2]) == from_file.encode(SENTENCES[2])
    assert set("abcdefghijklmnopqrstuvwxyz'▁") <= set(stored)  # any word can be spelt


def test_it_travels_to_other_processes_after_use(model):
    text = BPE(str(model))
    tokens = text.encode(SENTENCES[0])
    assert pickle.loads(pickle.dumps(text)).encode(SENTENCES[0]) == tokens


def test_files_that_are_no_model_of_merged_pieces_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"text.model=.*none.model: no such file; .*train_bpe"):
        BPE(str(tmp_path / "none.model"))
    (tmp_path / "text.model").write_text("the cat sat\n" * 9)
    with pytest.raises(UserError, match="not a SentencePiece model"):
        BPE(str(tmp_path / "text.model"))
    (tmp_path / "unigram.model").write_bytes(unigram())
    with pytest.raises(UserError, match="not a model of type BPE"):
        BPE(str(tmp_path / "unigram.model"))
    for keys in ({"model": None}, {"model": "x.model", "pieces": ["▁"]}):
        with pytest.raises(UserError, match=r"text.model=data/bpe500.model; python -m scripts"):
            BPE(**keys)


def unigram() -> bytes:
    """A SentencePiece model of its usual type."""
    import io

    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, vocab_size=18, minloglevel=2
    )
    return model.getvalue()
