"""Who is trained on and who is held out, where a corpus has no official parts."""

import hashlib
from collections.abc import Sequence

from src.datasets.corpora.listing import SPLITS, Flaw, Row
from src.utils.errors import UserError

# Of fewer speakers or recordings one is too large a share; then utterances are held out instead.
FEW = 10


class HeldOut:
    """The split of each row: the corpus's own where it tells, else one that a hash decides.

    The hash is of the speaker's name; where that is unknown, of the recording that an utterance
    is a part of; else of the utterance's id. So nobody changes sides when others come or go, on
    any machine; only where a share catches nobody, the nearest hash is taken.

    Args:
        rows: all rows of the corpus.
        validation_share, test_share: 0 … 1, about which share of the training rows is held out.
            Not used where the corpus names such rows itself.

    Raises:
        UserError: the shares leave nothing to train on.
    """

    def __init__(self, rows: Sequence[Row], validation_share: float, test_share: float) -> None:
        _check(validation_share, test_share)
        official = {row.split for row in rows}
        shares = {"validation": validation_share, "test": test_share}
        self._shares = {k: 0.0 if k in official else share for k, share in shares.items()}
        free = [row for row in rows if row.split in ("", "train")]
        self._by_speaker = len({row.speaker for row in free} - {""}) >= FEW
        self._by_file = len({row.path for row in free if row.start_s is not None}) >= FEW
        places = sorted({hash_share(self._group(row)) for row in free})
        n_sides = 1 + sum(share > 0 for share in self._shares.values())
        enough = len(places) >= n_sides
        self._below = self._shares["validation"]
        self._from = 1 - self._shares["test"]
        if enough and self._below:
            self._below = max(self._below, (places[0] + places[1]) / 2)
        if enough and self._from < 1:
            self._from = min(self._from, places[-1])

    def split_of(self, row: Row | Flaw) -> str:
        """One of SPLITS."""
        if row.split in SPLITS[1:]:
            return row.split
        place = hash_share(self._group(row))
        if place < self._below:
            return "validation"
        return "test" if place >= self._from else "train"

    def _group(self, row: Row | Flaw) -> str:
        if self._by_speaker and row.speaker:
            return row.speaker
        is_part = isinstance(row, Row) and row.start_s is not None
        return row.path if self._by_file and is_part else row.id


def hash_share(name: str) -> float:
    """A number from 0 to 1 that depends on the name alone."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check(validation_share: float, test_share: float) -> None:
    for name, share in (("validation_share", validation_share), ("test_share", test_share)):
        if not 0 <= share < 1:
            raise UserError(f"{name}={share}: expected a share from 0 up, below 1, such as 0.05.")
    if validation_share + test_share >= 1:
        raise UserError(
            f"validation_share={validation_share} and test_share={test_share} leave nothing to "
            "train on; lower them."
        )
