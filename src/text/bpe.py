"""Words as pieces of words: byte-pair encoding.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2;
pieces are written as SentencePiece does (Kudo & Richardson 2018), "▁" standing before each word.
"""

import heapq
import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from src.text.characters import BLANK, Characters
from src.text.normaliser import Normaliser
from src.text.vocabulary import Vocabulary
from src.utils.errors import UserError

WORD_START = "▁"
N_SHOWN = 12  # pieces that messages name


class Pieces(Vocabulary):
    """Pieces in the order in which they were merged, single characters among them.

    A target string is words with single spaces. Its pieces are found as they were learnt: all
    characters by themselves, then again and again the neighbours whose union came first.
    """

    def decode(self, tokens: Sequence[int]) -> str:
        """The words of token indices; any sequence of pieces writes something.

        Raises:
            IndexError: an index outside 0 … len(self) − 1.
        """
        return " ".join(super().decode(tokens).replace(WORD_START, " ").split())

    def describe(self) -> str:
        """How many there are and the first of them, for messages."""
        return f"{len(self) - 1} pieces: {' '.join(self.symbols[1 : 1 + N_SHOWN])} …"

    def split(self, target: str) -> list[str]:
        """The pieces of a target string; characters that are none stand by themselves."""
        return [piece for word in target.split() for piece in self._pieces_of(word)]

    _split = split

    @cached_property
    def _known(self) -> dict[str, tuple[str, ...]]:
        return {}  # words met so far: a corpus says the same ones again and again

    def _pieces_of(self, word: str) -> tuple[str, ...]:
        if word not in self._known:
            self._known[word] = self._merged([*(WORD_START + word)])
        return self._known[word]

    def _merged(self, pieces: list[str]) -> tuple[str, ...]:
        """Neighbours united, the pair learnt first before others, of several the leftmost.

        A heap of pairs, since looking through all of them for each union takes time as the square
        of a word's length.
        """
        n = len(pieces)
        before, after = [*range(-1, n - 1)], [*range(1, n + 1)]
        pairs: list[tuple[int, int, str]] = []  # rank, place of the first, what they make

        def propose(at: int) -> None:
            if at >= 0 and after[at] < n:
                union = pieces[at] + pieces[after[at]]
                if union in self._index:
                    heapq.heappush(pairs, (self._index[union], at, union))

        for at in range(n):
            propose(at)
        while pairs:
            _, at, union = heapq.heappop(pairs)
            second = after[at]
            if not pieces[at] or second == n or pieces[at] + pieces[second] != union:
                continue  # one of the two has found another
            pieces[at], pieces[second] = union, ""
            after[at] = after[second]
            if after[at] < n:
                before[after[at]] = at
            propose(before[at])
            propose(at)
        return tuple(piece for piece in pieces if piece)

    def _check(self) -> None:
        if len(set(self.symbols)) != len(self.symbols) or not all(self.symbols):
            raise UserError("text.pieces: a piece is empty or stands there twice.")
        if WORD_START not in self.symbols:
            raise UserError(f"text.pieces: expected {WORD_START} among them, which begins words.")


class BPE(Characters):
    """Transcripts as pieces of words: "Don't stop" → "▁don 't ▁st op", whatever was learnt.

    Targets, texts and rates are words and characters; only the tokens are pieces.

    Args:
        model: SentencePiece model of type BPE, as scripts.train_bpe writes it. Its pieces are all
            that is taken from it, and they go into the checkpoint: inference asks for no file.
        pieces: the pieces themselves, in the model's order; a checkpoint has them instead of it.
        lower, keep_apostrophes, drop_punctuation: see Normaliser; as the model was trained.

    Raises:
        UserError: neither or both are given, or the file is no such model.
    """

    remedy = ", or train the pieces on text that has them"

    def __init__(
        self,
        model: str | None,
        pieces: Sequence[str] | None = None,
        lower: bool = True,
        keep_apostrophes: bool = True,
        drop_punctuation: bool = True,
    ) -> None:
        if (model is None) == (pieces is None):
            raise UserError(
                "text.model: expected a SentencePiece model, such as text.model=data/bpe500.model; "
                "python -m scripts.train_bpe learns one from text."
            )
        self.vocabulary = Pieces((BLANK, *(read_pieces(model) if pieces is None else pieces)))
        self.normalise = Normaliser(lower, keep_apostrophes, drop_punctuation)
        self._known = frozenset(self.vocabulary.symbols[1:]) - {WORD_START} | {" "}


def piece_spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Of each word that pieces spell, its first piece and the one after its last.

    A "▁" that nothing follows but the next word's spells none.
    """
    starts = [i for i, piece in enumerate(pieces) if i == 0 or piece.startswith(WORD_START)]
    spans = pairwise([*starts, len(pieces)])
    return [span for span in spans if "".join(pieces[slice(*span)]) != WORD_START]


def piece_confidence(confidences: Sequence[float], start: int, end: int) -> float:
    """Product of the confidences of a word's pieces, 0 … 1; what stands beside it is other words'.

    Args:
        confidences: of all tokens, 0 … 1.
        start, end: the word's first piece and the one after its last.
    """
    return math.prod(confidences[start:end])


def read_pieces(path: str | Path) -> list[str]:
    """The pieces of a SentencePiece model, without those that stand for no text.

    Raises:
        UserError: no such file, not such a model, or one of another type than BPE.
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise UserError("text.model needs sentencepiece: pip install sentencepiece") from error
    if not Path(path).is_file():
        raise UserError(
            f"text.model={path}: no such file; python -m scripts.train_bpe TEXT --out {path} "
            "learns one from text."
        )
    try:
        model = SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise UserError(f"text.model={path}: not a SentencePiece model; train it again.") from error
    ids = [i for i in range(len(model)) if not _stands_for_no_text(model, i)]
    if any(model.get_score(i) != ids[0] - i for i in ids):  # those of BPE are 0, −1, −2, …
        raise UserError(
            f"text.model={path}: its pieces are not in the order of their merging, so it is not a "
            "model of type BPE; learn one with python -m scripts.train_bpe."
        )
    return [model.id_to_piece(i) for i in ids]


def _stands_for_no_text(model, i: int) -> bool:
    return model.is_control(i) or model.is_unknown(i) or model.is_unused(i) or model.is_byte(i)
