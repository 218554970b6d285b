"""Utterances that can't be read while a run goes on: left out and counted, up to a limit."""

import logging

from src.utils.errors import UserError
from src.utils.tables import counted

logger = logging.getLogger(__name__)

POLICIES = ("skip", "stop")
FEW = 10  # so many may always be left out, however small their share allowed


class Unreadable:
    """Decides for each utterance that can't be read whether the run goes on without it.

    Args:
        n_utterances: of the dataset.
        policy: "skip" names each once in the log and counts it, "stop" raises its reason.
        max_share: of the utterances that may be skipped, 0 … 1; `FEW` always may, unless that
            is all there is. Where more are gone, it isn't the recordings but the disk.
        left_out: where given, it takes id and reason of any number of utterances, and the caller
            tells of them.

    Attributes:
        reasons: id → reason of each utterance met so far.

    Raises:
        UserError: an argument makes no sense.
    """

    def __init__(
        self, n_utterances: int, policy: str, max_share: float, left_out: dict[str, str] | None
    ) -> None:
        if policy not in POLICIES:
            raise UserError(f"unreadable={policy}: expected one of {', '.join(POLICIES)}.")
        if not 0 <= max_share <= 1:
            raise UserError(
                f"max_unreadable={max_share:g}: expected a share between 0 and 1, such as 0.01."
            )
        self.reasons: dict[str, str] = {} if left_out is None else left_out
        self._told_by_caller = left_out is not None
        self._policy = policy
        self._n_utterances = n_utterances
        self._max_share = max_share
        self._most = min(max(FEW, int(max_share * n_utterances)), n_utterances - 1)

    def note(self, utterance_id: str, reason: str) -> None:
        """Leave an utterance out.

        Raises:
            UserError: the policy is "stop", or too many have been left out.
        """
        if self._told_by_caller:
            self.reasons[utterance_id] = reason
            return
        if self._policy == "stop":
            raise UserError(reason)
        if utterance_id not in self.reasons:
            self.reasons[utterance_id] = reason
            logger.warning("%s is left out: %s", utterance_id, reason)
        if len(self.reasons) > self._most:
            raise UserError(
                f"{len(self.reasons):,} of {counted(self._n_utterances, 'utterance')} could not be "
                f"read, more than loader.max_unreadable={self._max_share:g} allows. Is the disk "
                f"still there? The last: {reason}"
            )
