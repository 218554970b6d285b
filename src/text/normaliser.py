"""Transcripts as corpora print them → plain words, the same way everywhere."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property

# Every sign that is printed where English writes an apostrophe.
_APOSTROPHES = frozenset("'‘’‛ʼʹ´`′＇")
# Before NFKC, which would make a space and an accent of ´, and several primes of the others.
_BEFORE_NFKC = str.maketrans({"´": "'", "″": '"', "‴": '"', "⁗": '"'})
# Punctuation by Unicode's account, but read aloud: dropping it would drop a word.
_SPOKEN = frozenset("&%@#")


@dataclass(frozen=True)
class Normaliser:
    """Call it with a transcript. What is left has single spaces and NFKC form.

    Letters, digits and spoken signs ("&", "%", "$") are never dropped: what the vocabulary does
    not know must be met there by name, not vanish here.

    Args:
        lower: upper case becomes lower case.
        keep_apostrophes: "don't" stays; otherwise it becomes "dont". Curly and other
            look-alike apostrophes become ' either way.
        drop_punctuation: marks become spaces ("twenty-one" → "twenty one").
    """

    lower: bool = True
    keep_apostrophes: bool = True
    drop_punctuation: bool = True

    def __call__(self, text: str) -> str:
        plain = text.isascii()
        if not plain:
            text = unicodedata.normalize("NFKC", text.translate(_BEFORE_NFKC))
        if self.lower:
            text = text.lower()
        text = text.translate(self._table)
        if not plain:  # lower case and dropped signs can leave pairs that compose
            text = unicodedata.normalize("NFKC", text)
        return " ".join(text.split())

    def describe(self) -> str:
        """What is done to the text, in words, for reports."""
        steps = ["Unicode NFKC, spaces collapsed"]
        steps += ["lower case"] * self.lower
        steps += ["punctuation dropped"] * self.drop_punctuation
        steps += ["apostrophes " + ("kept" if self.keep_apostrophes else "dropped")]
        return ", ".join(steps)

    @cached_property
    def _table(self) -> "_Translation":
        return _Translation(self.keep_apostrophes, self.drop_punctuation)


class _Translation(dict):
    """str.translate's table, filled in as characters are met."""

    def __init__(self, keep_apostrophes: bool, drop_punctuation: bool) -> None:
        super().__init__()
        self._apostrophe = "'" if keep_apostrophes else None
        self._drop_punctuation = drop_punctuation

    def __missing__(self, code: int) -> int | str | None:
        self[code] = value = self._translate(code)
        return value

    def _translate(self, code: int) -> int | str | None:
        character = chr(code)
        if character in _APOSTROPHES:
            return self._apostrophe
        category = unicodedata.category(character)
        if category == "Cf":  # invisible: byte-order marks, soft hyphens, zero-width joiners
            return None
        if category[0] == "P" and self._drop_punctuation and character not in _SPOKEN:
            return " "
        return code
