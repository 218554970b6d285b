"""Phonemes with their times, as label tracks give them: one label for each 10 ms."""

import itertools
import re
from collections.abc import Iterable

from src.text.dictionaries import CMU_PHONEMES, CSR_PHONEMES
from src.text.phonemes import BLANK
from src.text.vocabulary import Vocabulary, shown
from src.utils.errors import UserError

LABEL_S = 0.01  # seconds of one label
SILENCE, UNKNOWN = "SIL", "oov"
NOT_JUDGED = -1  # token of a label that nobody learns from
_PHONEMES = {"cmu": CMU_PHONEMES, "csr": CSR_PHONEMES}
_RUN = re.compile(r"(\S+?)[012]?\*(\d+)")


class FrameLabels:
    """Transcripts that say what is heard when: "SIL*31 HH*8 EH*12 oov*4".

    A run is a phoneme and for how many labels of 10 ms it lasts. SIL is token 0, the blank: so a
    model trained on labels is decoded like one trained by CTC. What is labelled "oov" is not
    judged.

    Args:
        dictionary: whose phonemes: "cmu" (39, stress marks are dropped) or "csr" (44).

    Raises:
        UserError: an unknown dictionary.
    """

    unit = "phoneme"
    lexicon = None

    def __init__(self, dictionary: str = "cmu") -> None:
        if dictionary not in _PHONEMES:
            raise UserError(
                f"text.dictionary={dictionary}: there is no such dictionary; choose one of "
                f"{', '.join(_PHONEMES)}."
            )
        self.vocabulary = Vocabulary((BLANK, *_PHONEMES[dictionary]), separator=" ")
        self._tokens = {symbol: i for i, symbol in enumerate(self.vocabulary.symbols)}
        self._tokens |= {SILENCE: 0, UNKNOWN: NOT_JUDGED}

    def normalise(self, transcript: str) -> str:
        """Words: a label track names none."""
        return ""

    def target(self, transcript: str) -> str:
        """The phonemes in their order, without silence and what is not judged.

        Raises:
            UserError: no label track, or a phoneme of another dictionary.
        """
        tokens = [token for token, _ in itertools.groupby(self._runs(transcript), lambda r: r[0])]
        return self.vocabulary.decode(token for token in tokens if token > 0)

    def encode(self, transcript: str) -> tuple[int, ...]:
        """The token of each 10 ms, −1 where it is not judged; raises as `target` does."""
        runs = self._runs(transcript)
        return tuple(itertools.chain(*([token] * length for token, length in runs)))

    def _runs(self, transcript: str) -> list[tuple[int, int]]:
        runs = []
        for run in transcript.split():
            match = _RUN.fullmatch(run)
            symbol = match and match[1]
            if not match or symbol not in self._tokens:
                raise UserError(
                    f"{shown(transcript)}: {run!r} is no label; expected phonemes with their "
                    f"lengths such as AH*12, {SILENCE}*30 or {UNKNOWN}*5, of "
                    f"{self.vocabulary.describe()}."
                )
            runs.append((self._tokens[symbol], int(match[2])))
        return runs


def length_s(transcript: str) -> float:
    """Seconds from the beginning of a transcript's first label to the end of its last."""
    return LABEL_S * sum(int(length) for length in re.findall(r"\*(\d+)(?!\S)", transcript))


def written(labels: Iterable[tuple[float, float, str]]) -> str:
    """Labels (start, end in seconds, symbol), ascending, as a transcript; gaps are silence."""
    runs, until = [], 0
    for start_s, end_s, symbol in labels:
        start, end = round(start_s / LABEL_S), round(end_s / LABEL_S)
        runs.append((SILENCE, start - until))
        runs.append((symbol, end - max(start, until)))
        until = max(until, end)
    return " ".join(f"{symbol}*{length}" for symbol, length in runs if length > 0)
