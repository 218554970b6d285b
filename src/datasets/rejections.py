"""What a corpus loses, counted and named."""

from collections.abc import Mapping, Sequence

NO_AUDIO = "with a transcript but no audio"
NO_TRANSCRIPT = "with audio but no transcript"
LISTED_TWICE = "listed more than once, first line used"
EXTRA_AUDIO = "in a second audio file of an utterance"
N_NAMED = 3  # ids shown for each reason; the rest is a count


class Rejections:
    """Rows that can't be used, by reason, in the order in which the reasons were met."""

    def __init__(self, already: Mapping[str, Sequence[str]] | None = None) -> None:
        self.ids_by_reason: dict[str, list[str]] = {}
        self.explanations: dict[str, dict[str, str]] = {}  # reason → id → sentence
        self._n_unnamed: dict[str, int] = {}
        for reason, ids in (already or {}).items():
            self.ids_by_reason[reason] = list(ids)

    def add(self, reason: str, utterance_id: str, explanation: str = "") -> None:
        """Count one row; the first explanation of a reason is shown with it."""
        self.ids_by_reason.setdefault(reason, []).append(utterance_id)
        if explanation:
            self.explanations.setdefault(reason, {})[utterance_id] = explanation

    def add_many(self, reason: str, ids: Sequence[str], n: int, explanation: str = "") -> None:
        """Count `n` rows, of which `ids` are the first; the explanation is of the first."""
        for i, utterance_id in enumerate(ids):
            self.add(reason, utterance_id, explanation if i == 0 else "")
        self._n_unnamed[reason] = self._n_unnamed.get(reason, 0) + n - len(ids)

    def __len__(self) -> int:
        return sum(map(self._count, self.ids_by_reason))

    def __str__(self) -> str:
        """'40 longer than 16 s (a, b, c, …), 2 without audio (d, e)'."""
        return ", ".join(self._told(*item) for item in self.ids_by_reason.items() if item[1])

    def _count(self, reason: str) -> int:
        return len(self.ids_by_reason[reason]) + self._n_unnamed.get(reason, 0)

    def _told(self, reason: str, ids: list[str]) -> str:
        n = self._count(reason)
        names = ", ".join(ids[:N_NAMED]) + (", …" if n > N_NAMED else "")
        explanations = list(self.explanations.get(reason, {}).values())
        first = f"; first: {explanations[0]}" if explanations else ""
        return f"{n:,} {reason} ({names}{first})"
