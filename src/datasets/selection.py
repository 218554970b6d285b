"""Which rows of a corpus can be used, and an honest word about those that can't.

Every dataset passes its rows through `select` once, so limits mean the same everywhere and
whatever is left out is counted and named in one line of the log.
"""

import copy
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tqdm import tqdm

from src.datasets.rejections import N_NAMED, Rejections
from src.utils.errors import NotInstalled, UserError
from src.utils.tables import counted

logger = logging.getLogger(__name__)

SORTS = (None, "duration", "duration_desc")
UNREADABLE = "with unreadable audio"
UNWRITABLE = "whose transcript the vocabulary can't write"
WITHOUT_WORDS = "with an empty transcript"


class Text(Protocol):
    """What datasets need of a text object from `src.text`."""

    def target(self, transcript: str) -> str: ...

    def encode(self, transcript: str) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows worth keeping, and what to say of them."""

    rows: np.ndarray  # (n,) int64
    summary: str  # "corpus: kept 2 of 3 utterances; …"
    complete: bool  # nothing had to be left out

    def tell(self) -> None:
        """The summary as a line of the log, a warning where rows were left out."""
        logger.log(logging.INFO if self.complete else logging.WARNING, self.summary)


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
        UserError: a limit makes no sense, no row is left, or `text` needs what is not installed.
    """
    selection = choose(
        *(corpus, ids, durations_s, transcripts, text),
        min_duration_s=min_duration_s,
        max_duration_s=max_duration_s,
        max_text_length=max_text_length,
        limit=limit,
        sort=sort,
        already_rejected=already_rejected,
    )
    selection.tell()
    return selection.rows


def choose(
    corpus: str,
    ids: Sequence[str],
    durations_s: np.ndarray,
    transcripts: Sequence[str] | Iterable[str],
    text: Text | None,
    *,
    min_duration_s: float,
    max_duration_s: float | None,
    max_text_length: int | None,
    limit: int | None,
    sort: str | None,
    already_rejected: Rejections | None,
) -> Selection:
    """`select` without its log line, which stands in the answer."""
    check_limits(corpus, min_duration_s, max_duration_s, max_text_length, limit, sort)
    durations_s = np.asarray(durations_s)
    problems = _duration_problems(durations_s, min_duration_s, max_duration_s)
    unusable = np.zeros(len(durations_s), bool)
    for rows, _, _ in problems:
        unusable[rows] = True
    if text is not None:
        if not isinstance(transcripts, Sequence):
            transcripts = list(transcripts)
        rows = np.flatnonzero(~unusable)
        found = _text_problems(corpus, rows, transcripts, text, max_text_length)
        for rows, _, _ in found:
            unusable[rows] = True
        problems += found
    rejections = copy.deepcopy(already_rejected) if already_rejected else Rejections()
    for rows, reason, explanation in sorted(problems, key=lambda problem: problem[0][0]):
        rejections.add_many(reason, [ids[row] for row in rows[:N_NAMED]], len(rows), explanation)
    kept = np.flatnonzero(~unusable)
    summary = _summary(corpus, len(kept), rejections, limit)
    return Selection(_order(kept[:limit], durations_s, sort), summary, not rejections)


def check_limits(
    corpus: str,
    min_duration_s: float,
    max_duration_s: float | None,
    max_text_length: int | None,
    limit: int | None,
    sort: str | None,
) -> None:
    """Raises UserError where a limit of `select` makes no sense."""
    for name, value in (("min_duration_s", min_duration_s), ("max_duration_s", max_duration_s)):
        if value is not None and math.isnan(value):  # no duration is above it, and none below
            raise UserError(f"{corpus}: {name}={value}; expected a number of seconds.")
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


# Rows that can't be used for one reason, the reason, and a sentence about the first of them.
_Problem = tuple[np.ndarray, str, str]


def _duration_problems(
    durations_s: np.ndarray, minimum: float, maximum: float | None
) -> list[_Problem]:
    empty = ~(durations_s > 0)  # NaN too
    masks = {"empty": empty, f"shorter than {minimum:g} s": ~empty & (durations_s < minimum)}
    if maximum is not None:
        masks[f"longer than {maximum:g} s"] = durations_s > maximum
    return [(np.flatnonzero(mask), reason, "") for reason, mask in masks.items() if mask.any()]


def _text_problems(
    corpus: str,
    rows: np.ndarray,
    transcripts: Sequence[str],
    text: Text,
    max_text_length: int | None,
) -> list[_Problem]:
    """What is wrong with the transcripts of `rows`, an array of rows for each reason."""
    reasons = (UNWRITABLE, WITHOUT_WORDS, f"with more than {max_text_length} tokens")
    verdicts = np.zeros(len(rows), np.uint8)  # 1 + index of the reason
    explanation = ""
    bar = tqdm(rows, f"{corpus}: transcripts", unit="row", disable=None, delay=5)
    for i, row in enumerate(bar):
        try:
            n_tokens = len(text.encode(transcripts[row]))
        except NotInstalled:
            raise
        except UserError as error:
            explanation = explanation or str(error)
            verdicts[i] = 1
            continue
        if n_tokens == 0:
            verdicts[i] = 2
        elif max_text_length is not None and n_tokens > max_text_length:
            verdicts[i] = 3
    found = [(rows[verdicts == i + 1], reason) for i, reason in enumerate(reasons)]
    return [(r, reason, explanation * (reason == UNWRITABLE)) for r, reason in found if len(r)]


def _summary(corpus: str, n_kept: int, rejections: Rejections, limit: int | None) -> str:
    n_rows = n_kept + len(rejections)
    if n_kept == 0:
        why = f"; {rejections}" if rejections else " because it has no rows at all"
        raise UserError(f"{corpus}: none of {counted(n_rows, 'utterance')} can be used{why}.")
    summary = f"{corpus}: kept {n_kept:,} of {counted(n_rows, 'utterance')}"
    if limit is not None and limit < n_kept:
        summary += f", of which the first {limit:,} are used (limit={limit})"
    if rejections:
        summary += f"; {len(rejections):,} can't be used: {rejections}"
    return summary


def _order(kept: np.ndarray, durations_s: np.ndarray, sort: str | None) -> np.ndarray:
    if sort is None:
        return kept
    seconds = durations_s[kept]
    # A stable sort keeps the corpus's order among equals, on every machine.
    return kept[np.argsort(seconds if sort == "duration" else -seconds, kind="stable")]
