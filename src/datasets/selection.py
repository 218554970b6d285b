"""Which rows of a corpus can be used, and an honest word about those that can't.

Every dataset passes its rows through `select` once, so limits mean the same everywhere and
whatever is left out is counted and named in one line of the log.
"""

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from src.utils.errors import UserError

logger = logging.getLogger(__name__)

SORTS = (None, "duration", "duration_desc")
UNREADABLE = "with unreadable audio"
N_NAMED = 3  # ids shown for each reason; the rest is a count


class Text(Protocol):
    """What datasets need of a text object from `src.text`."""

    def target(self, transcript: str) -> str: ...

    def encode(self, transcript: str) -> tuple[int, ...]: ...


class Rejections:
    """Rows that can't be used, by reason, in the order in which the reasons were met."""

    def __init__(self, already: Mapping[str, Sequence[str]] | None = None) -> None:
        self.ids_by_reason: dict[str, list[str]] = {}
        self.explanations: dict[str, dict[str, str]] = {}  # reason → id → sentence
        for reason, ids in (already or {}).items():
            self.ids_by_reason[reason] = list(ids)

    def add(self, reason: str, utterance_id: str, explanation: str = "") -> None:
        """Count one row; the first explanation of a reason is shown with it."""
        self.ids_by_reason.setdefault(reason, []).append(utterance_id)
        if explanation:
            self.explanations.setdefault(reason, {})[utterance_id] = explanation

    def __len__(self) -> int:
        return sum(map(len, self.ids_by_reason.values()))

    def __str__(self) -> str:
        """'40 longer than 16 s (a, b, c, …), 2 without audio (d, e)'."""
        return ", ".join(self._reason(*item) for item in self.ids_by_reason.items() if item[1])

    def _reason(self, reason: str, ids: list[str]) -> str:
        names = ", ".join(ids[:N_NAMED]) + (", …" if len(ids) > N_NAMED else "")
        explanations = list(self.explanations.get(reason, {}).values())
        first = f"; first: {explanations[0]}" if explanations else ""
        return f"{len(ids):,} {reason} ({names}{first})"


def select(
    corpus: str,
    ids: Sequence[str],
    durations_s: np.ndarray,
    transcripts: Sequence[str] | Iterable[str],
    text: Text | None,
    *,
    min_duration_s: float = 0.0,
    max_duration_s: float | None = None,
    max_text_length: int | None = None,
    limit: int | None = None,
    sort: str | None = None,
    already_rejected: Rejections | None = None,
) -> np.ndarray:
    """Indices of the rows worth keeping, int64; one log line tells of the others.

    Args:
        corpus: name for the log, such as "librispeech train".
        ids: names of the n rows.
        durations_s: (n,) seconds.
        transcripts: n transcripts, as the corpus gives them.
        text: encodes a transcript or raises UserError; None keeps rows unchecked.
        min_duration_s, max_duration_s: seconds, both ends kept; None is no upper limit.
        max_text_length: tokens of the target; None is no limit.
        limit: keep the first `limit` usable rows *in the corpus's order*, before sorting, so
            the order of a part never decides what is in it. None keeps all.
        sort: None (the corpus's order), "duration" (shortest first) or "duration_desc".
        already_rejected: rows that were lost before this call, such as transcripts without
            audio; told in the same log line.

    Raises:
        UserError: a limit makes no sense, or no row is left.
    """
    _check_limits(corpus, min_duration_s, max_duration_s, max_text_length, limit, sort)
    rejections = copy.deepcopy(already_rejected) if already_rejected else Rejections()
    kept = []
    for row, (name, seconds, transcript) in enumerate(
        zip(ids, durations_s, transcripts, strict=True)
    ):
        problem = _duration_problem(float(seconds), min_duration_s, max_duration_s)
        explanation = ""
        if problem is None and text is not None:
            problem, explanation = _text_problem(transcript, text, max_text_length)
        if problem is None:
            kept.append(row)
        else:
            rejections.add(problem, name, explanation)
    _report(corpus, len(kept), rejections, limit)
    return _order(np.array(kept[:limit], dtype=np.int64), durations_s, sort)


def _check_limits(
    corpus: str,
    min_duration_s: float,
    max_duration_s: float | None,
    max_text_length: int | None,
    limit: int | None,
    sort: str | None,
) -> None:
    if max_duration_s is not None and max_duration_s < min_duration_s:
        raise UserError(
            f"{corpus}: min_duration_s={min_duration_s:g} is above max_duration_s="
            f"{max_duration_s:g}, so nothing could be kept; swap or change them."
        )
    for name, value in (("max_text_length", max_text_length), ("limit", limit)):
        if value is not None and value < 1:
            raise UserError(f"{corpus}: {name}={value}; expected null or a number from 1 up.")
    if sort not in SORTS:
        raise UserError(f"{corpus}: sort={sort}; expected null, duration or duration_desc.")


def _duration_problem(seconds: float, minimum: float, maximum: float | None) -> str | None:
    if not seconds > 0:
        return "empty"
    if seconds < minimum:
        return f"shorter than {minimum:g} s"
    if maximum is not None and seconds > maximum:
        return f"longer than {maximum:g} s"
    return None


def _text_problem(
    transcript: str, text: Text, max_text_length: int | None
) -> tuple[str | None, str]:
    try:
        tokens = text.encode(transcript)
    except UserError as error:
        return "whose transcript the vocabulary can't write", str(error)
    if not tokens:
        return "with an empty transcript", ""
    if max_text_length is not None and len(tokens) > max_text_length:
        return f"with more than {max_text_length} tokens", ""
    return None, ""


def _report(corpus: str, n_kept: int, rejections: Rejections, limit: int | None) -> None:
    n_rows = n_kept + len(rejections)
    if n_kept == 0:
        why = f"; {rejections}" if rejections else " because it has no rows at all"
        raise UserError(f"{corpus}: none of {n_rows:,} utterances can be used{why}.")
    summary = f"{corpus}: kept {n_kept:,} of {n_rows:,} utterances"
    if limit is not None and limit < n_kept:
        summary += f", of which the first {limit:,} are used (limit={limit})"
    if rejections:
        logger.warning("%s; %s can't be used: %s", summary, f"{len(rejections):,}", rejections)
    else:
        logger.info(summary)


def _order(kept: np.ndarray, durations_s: np.ndarray, sort: str | None) -> np.ndarray:
    if sort is None:
        return kept
    seconds = np.asarray(durations_s)[kept]
    # A stable sort keeps the corpus's order among equals, on every machine.
    return kept[np.argsort(seconds if sort == "duration" else -seconds, kind="stable")]
