"""What a recogniser read in an utterance, as a file shows it and as it is scored."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from src.batch import Hypothesis
from src.metrics import (
    ErrorCounts,
    character_errors,
    corpus_rate,
    phoneme_errors,
    rank_all,
    ranking_lines,
    summarise,
    text_pair,
    word_errors,
)
from src.text.bpe import WORD_START
from src.text.words_within import spell_words, words_within
from src.utils.means import geometric_mean
from src.utils.tables import percent, table


@dataclass(frozen=True, slots=True)
class Prediction:
    """One utterance, read by every decoder of the run; the last decoder has the last word."""

    id: str
    unit: str  # "character" or "phoneme"
    readings: dict[str, list[Hypothesis]]  # decoder name → n-best, best first
    symbols: Sequence[str]  # vocabulary, to show tokens by name
    frame_s: float  # seconds from one emitted frame to the next
    duration_s: float
    target: str | None = None  # None where nobody knows what was said
    word: str | None = None
    read_word: str | None = None  # chosen through the closed lexicon
    word_posterior: float | None = None

    @property
    def best(self) -> Hypothesis:
        """First choice of the last decoder."""
        return list(self.readings.values())[-1][0]

    def to_dict(self) -> dict[str, Any]:
        """The prediction file of this utterance: plain values only."""
        best = self.best
        record: dict[str, Any] = {"id": self.id, "pred_text": best.text}
        if self.target is not None:
            record["text"] = self.target
        record["unit"] = self.unit
        record |= {f"{name}_text": n_best[0].text for name, n_best in self.readings.items()}
        if self.read_word is not None:
            record |= {"pred_word": self.read_word, "word_posterior": _short(self.word_posterior)}
            if self.word is not None:
                record["word"] = self.word
        n_best = list(self.readings.values())[-1]
        return record | {
            "score": _short(best.score),
            "confidence": _short(utterance_confidence(best)),
            "duration_s": _short(self.duration_s),
            "tokens": self.token_times(),
            **({"words": self.word_times()} if self._tells_words() else {}),
            "n_best": [_scored(h) for h in n_best],
        }

    def token_times(self) -> list[dict[str, Any]]:
        """Token, seconds from which and until which it is seen, and confidence, in order; None
        where the decoder tells no frames, or no confidences."""
        best = self.best
        nothing = (None,) * len(best.tokens)
        frames, confidences = best.frames or nothing, best.confidences or nothing
        ends = best.ends or [None if frame is None else frame + 1 for frame in frames]
        return [
            {
                "token": self.symbols[token],
                "start_s": self._seconds(start),
                "end_s": self._seconds(end),
                "confidence": _short(confidence),
            }
            for token, start, end, confidence in zip(
                best.tokens, frames, ends, confidences, strict=True
            )
        ]

    def _seconds(self, frame: int | None) -> float | None:
        """When a frame begins, at the latest when the recording ends."""
        return None if frame is None else round(min(frame * self.frame_s, self.duration_s), 3)

    def _tells_words(self) -> bool:
        return self.best.words is not None or spell_words(self.symbols)

    def word_times(self) -> list[dict[str, Any]]:
        """Word, seconds from its first token to the end of its last, and confidence (see
        `word_confidence`), in order; for tokens that a space divides into words, for pieces
        of words (see `piece_confidence`), and for phonemes in which a lexicon reads words."""
        tokens, confidences = self.token_times(), self.best.confidences
        names = [token["token"] for token in tokens]
        spans, sure = words_within(names, pieces=WORD_START in self.symbols)
        words = self.best.words or ["".join(names[start:end]) for start, end in spans]
        return [
            {
                "word": word.removeprefix(WORD_START),
                "start_s": tokens[start]["start_s"],
                "end_s": tokens[end - 1]["end_s"],
                "confidence": _short(sure(confidences, start, end)) if confidences else None,
            }
            for word, (start, end) in zip(words, spans, strict=True)
        ]


def utterance_confidence(hypothesis: Hypothesis) -> float | None:
    """Geometric mean of the token confidences, 0 … 1; None where nothing was read."""
    if not hypothesis.confidences:
        return None
    return geometric_mean(hypothesis.confidences)


def error_counts(predictions: Iterable[Prediction]) -> dict[str, list[ErrorCounts]]:
    """Error counts of each utterance by metric: greedy as "wer", other decoders as "wer_beam".

    Characters give "wer" and "cer"; phonemes give "per" and, where a closed lexicon names
    a word, "word_error". Utterances without a known text are left out.
    """
    counts: dict[str, list[ErrorCounts]] = {}
    for prediction in predictions:
        if prediction.target is None:
            continue
        for decoder, n_best in prediction.readings.items():
            suffix = "" if decoder == "greedy" else f"_{decoder}"
            for name, count in _text_errors(prediction, n_best[0].text).items():
                counts.setdefault(name + suffix, []).append(count)
        if prediction.word is not None and prediction.read_word is not None:
            words = word_errors(prediction.word, prediction.read_word)
            counts.setdefault("word_error", []).append(words)
    return counts


def rate_names(unit: str, decoders: Iterable[str], of_words: bool) -> list[str]:
    """All that `error_counts` can tell of predictions in this unit that these decoders read.

    Args:
        of_words: whether words are read in the tokens, through a lexicon.
    """
    suffixes = ["" if decoder == "greedy" else f"_{decoder}" for decoder in decoders]
    rates = ("per",) if unit == "phoneme" else ("wer", "cer")
    return [*(rate + suffix for suffix in suffixes for rate in rates), *["word_error"] * of_words]


def corpus_rates(predictions: Iterable[Prediction]) -> dict[str, float]:
    """Summed errors over summed reference length for each metric of `error_counts`."""
    return {name: corpus_rate(counts) for name, counts in error_counts(predictions).items()}


def readings(predictions: Sequence[Prediction], n: int = 10) -> str:
    """The first `n` texts by id, each after it.

    Phonemes are shown with the one word that they mean; words of a language model for themselves.
    """
    lines = []
    for prediction in sorted(predictions, key=lambda prediction: prediction.id)[:n]:
        text = prediction.best.text
        if prediction.best.words is not None:
            text = " ".join(prediction.best.words)
        elif prediction.read_word:
            text += f"  ({prediction.read_word})"
        lines.append(f"{prediction.id}: {text}")
    more = [f"… and {len(predictions) - n:,} more"] if len(predictions) > n else []
    return "\n".join([*lines, *more])


def closing_table(predictions: Sequence[Prediction]) -> str:
    """Each rate with its 95 % bootstrap interval and its errors, or why there is none; and how
    well confidences rank the errors of the last decoder."""
    rows = []
    for name, counts in error_counts(predictions).items():
        total = summarise(counts)
        errors = total.counts
        rows.append(
            (
                _title(name),
                percent(total.rate, (total.low, total.high)),
                errors.substitutions,
                errors.deletions,
                errors.insertions,
                errors.reference_length,
            )
        )
    if not rows:
        return "No reference texts, so no error rates."
    header = ("rate", "value [95 % interval]", "sub", "del", "ins", "reference units")
    # As calc_wer_cer reads them from their files.
    files = [p.to_dict() for p in predictions if p.target is not None]
    rankings = rank_all([text_pair(file, file["id"]) for file in files], str)
    return "\n".join([table(rows, header), *(["", ranking_lines(rankings)] if rankings else [])])


def _text_errors(prediction: Prediction, text: str) -> dict[str, ErrorCounts]:
    if prediction.unit == "phoneme":
        return {"per": phoneme_errors(prediction.target, text)}
    return {
        "wer": word_errors(prediction.target, text),
        "cer": character_errors(prediction.target, text),
    }


def _scored(hypothesis: Hypothesis) -> dict[str, Any]:
    """Text and score, and what the score is made of where a decoder tells."""
    record = {"text": hypothesis.text, "score": _short(hypothesis.score)}
    if hypothesis.words is not None:
        record["words"] = " ".join(hypothesis.words)
    if hypothesis.language:
        parts = {"acoustic": hypothesis.acoustic, "language": hypothesis.language}
        record |= {name: _short(part) for name, part in parts.items()}
    return record


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 5)


def _title(metric: str) -> str:
    """ "wer_beam" → "WER beam", "word_error" → "word error"."""
    words = metric.split("_")
    return " ".join(word.upper() if word in ("wer", "cer", "per") else word for word in words)
