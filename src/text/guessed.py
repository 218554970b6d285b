"""Pronunciations of words that no dictionary lists, by eSpeak NG's American English rules."""

import re
from functools import cache

# eSpeak's phonemes in IPA, as its American English writes them, and ARPAbet's without stress.
_TABLE = """
    b B, d D, dʒ JH, f F, h HH, j Y, k K, l L, m M, n N, p P, r R, s S, t T, tʃ CH, v V, w W, z Z,
    ð DH, ŋ NG, ɡ G, ɬ L, ɲ N Y, ɹ R, ɾ T, ʃ SH, ʒ ZH, ʔ T, θ TH, x K, n̩ AH N,
    a AA, aɪ AY, aɪə AY AH, aɪɚ AY ER, aʊ AW, e EY, eɪ EY, i IY, iə IY AH, o OW, oʊ OW, u UW, æ AE,
    ɐ AH, ɑ AA, ɑ̃ AA N, ɔ AO, ɔ̃ AO N, ɔɪ OY, ə AH, əl AH L, ɚ ER, ɛ EH, ɜ ER, ɪ IH, ʊ UH, ʌ AH, ᵻ IH
"""
_ARPABET = dict(pair.strip().split(" ", 1) for pair in _TABLE.split(","))
_PIECES = re.compile("|".join(sorted(_ARPABET, key=len, reverse=True)))
_MARKS = str.maketrans("", "", "ˈˌːʲ")  # stress, length, palatalisation


@cache  # a corpus says the same words again and again
def guessed_pronunciation(word: str) -> str:
    """How `word` might be said, in ARPAbet without stress: "kaikobad" → "K AY K AH B AE D".

    "" where eSpeak says nothing of it either, as of a lone apostrophe. Needs `espeakng-loader`.

    Raises:
        NotInstalled: eSpeak NG is missing. A model of guesses is read without.
    """
    ipa = _espeak().phonemes(word).translate(_MARKS)
    spelt = " ".join(_ARPABET[piece] for piece in _PIECES.findall(ipa))
    return re.sub(r"\b(E?R) R\b", r"\1", spelt)  # "ferrari": F ER AA R IY in the CMU dictionary


@cache  # one a process: the library keeps one global state
def _espeak():
    from src.utils.espeak import Espeak  # numpy and a shared library: not to score a file

    return Espeak()
