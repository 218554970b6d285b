"""Target strings to token indices and back. Knows no audio and no tensors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from src.utils.errors import UserError


@dataclass(frozen=True)
class Vocabulary:
    """The symbols a model may emit; their places in `symbols` are the token indices.

    A target string is its symbols joined by `separator`: "" for characters ("cat"), " " for
    phonemes ("K AE T"). `encode` and `decode` are each other's inverse.

    Args:
        symbols: symbol 0 is the blank of CTC; its name is only ever shown, never encoded.
        separator: "" demands symbols of one character, anything else symbols without it.

    Raises:
        UserError: a symbol that occurs twice, or one that could not be read back.
    """

    symbols: tuple[str, ...]
    separator: str = ""
    blank: ClassVar[int] = 0

    def __init__(self, symbols: Iterable[str], separator: str = "") -> None:
        object.__setattr__(self, "symbols", tuple(symbols))
        object.__setattr__(self, "separator", separator)
        self._check()

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, target: str) -> tuple[int, ...]:
        """Token indices of a target string; () for the empty one.

        Raises:
            UserError: a symbol outside the vocabulary, or the blank.
        """
        symbols = self._split(target)
        try:
            return tuple(map(self._index.__getitem__, symbols))
        except KeyError as error:
            raise UserError(
                f"{shown(target)}: {error.args[0]!r} is not among the {len(self) - 1} symbols of "
                f"the vocabulary ({self.describe()}). Clean the transcript, or choose a text= "
                "config which has this symbol."
            ) from None

    def decode(self, tokens: Sequence[int]) -> str:
        """The target string of token indices (any iterable of ints); blanks write nothing.

        Raises:
            IndexError: an index outside 0 … len(self) − 1.
        """
        tokens = [int(token) for token in tokens]
        if tokens and not 0 <= min(tokens) <= max(tokens) < len(self):
            raise IndexError(f"token outside 0 … {len(self) - 1}: {min(tokens)} … {max(tokens)}")
        return self.separator.join(self.symbols[token] for token in tokens if token != self.blank)

    def describe(self) -> str:
        """The symbols in one line, for messages."""
        return " ".join("space" if symbol == " " else symbol for symbol in self.symbols[1:])

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: index for index, symbol in enumerate(self.symbols) if index != self.blank}

    def _split(self, target: str) -> Sequence[str]:
        if not self.separator:
            return target
        return target.split(self.separator) if target else ()

    def _check(self) -> None:
        if len(self.symbols) < 2:
            raise UserError("A vocabulary needs the blank and at least one more symbol.")
        if len(set(self.symbols)) != len(self.symbols):
            twice = next(s for s in self.symbols if self.symbols.count(s) > 1)
            raise UserError(f"The vocabulary names {twice!r} twice; every symbol needs one index.")
        for symbol in self.symbols[1:]:
            if not symbol or (len(symbol) > 1 if not self.separator else self.separator in symbol):
                raise UserError(
                    f"The vocabulary's symbol {symbol!r} can't be told from its neighbours in a "
                    f"target joined by {self.separator!r}; name it differently."
                )


def shown(text: str, length: int = 80) -> str:
    """`text` quoted and cut to `length` characters, for messages."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")
