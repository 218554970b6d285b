"""Spanish words as letters."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property

from src.text.characters import Characters
from src.text.normaliser import Normaliser
from src.utils.errors import UserError

ACCENTED = "áéíóúü"
ACCENTS = ("keep", "fold")
ENYES = ("keep", "ni")
LETTERS = " abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class SpanishNormaliser:
    """Transcripts as printed → plain Spanish words: "¡El Niño durmió!" → "el niño durmió".

    Small letters, no marks (¡ ¿ « » among them) and no apostrophes; single spaces, NFC form.

    Args:
        accents: "keep"; or "fold" them away, of all letters but ñ: "durmio", "pinguino".
        enye: "keep" ñ as a letter of its own, or write "ni": "ninio".
    """

    accents: str = "keep"
    enye: str = "keep"

    def __call__(self, text: str) -> str:
        words = self._plain(text)
        if self.enye == "ni":
            words = words.replace("ñ", "ni")
        if self.accents == "fold" and not words.isascii():
            words = unicodedata.normalize("NFC", "".join(map(_folded, words)))
            words = " ".join(words.split())  # an accent may have stood alone
        return words

    def describe(self) -> str:
        """What is done to the text, in words, for reports."""
        accents = "kept" if self.accents == "keep" else "folded"
        enye = "kept" if self.enye == "keep" else "written ni"
        return f"{self._plain.describe()}, accents {accents}, ñ {enye}"

    @cached_property
    def _plain(self) -> Normaliser:
        return Normaliser(keep_apostrophes=False)


class SpanishCharacters(Characters):
    """Spanish transcripts as character targets.

    The symbols are the space, a–z, then ñ and á é í ó ú ü where they are kept: 28 to 35 tokens
    with the blank. The letters k and w occur in loanwords, so they stay.

    Args:
        accents: "keep" or "fold".
        enye: "keep" or "ni".

    Raises:
        UserError: another value.
    """

    remedy = ""

    def __init__(self, accents: str = "keep", enye: str = "keep") -> None:
        for name, value, known in (("accents", accents, ACCENTS), ("enye", enye, ENYES)):
            if value not in known:
                raise UserError(f"text.{name}={value}: expected {' or '.join(known)}.")
        kept = "ñ" * (enye == "keep") + ACCENTED * (accents == "keep")
        super().__init__(LETTERS + kept)
        self.normalise = SpanishNormaliser(accents, enye)


def _folded(letter: str) -> str:
    """A letter without its accents; ñ stays."""
    if letter == "ñ":
        return letter
    parts = unicodedata.normalize("NFD", letter)
    return "".join(part for part in parts if not unicodedata.combining(part))
