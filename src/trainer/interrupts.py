"""Ctrl-C and SIGTERM as a wish to stop after this step, not as an accident."""

import logging
import signal
from types import FrameType

logger = logging.getLogger(__name__)


class Interrupts:
    """While entered, the first SIGINT or SIGTERM only sets `signal`; a second one acts at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.getsignal(number) for number in self.SIGNALS}
        for number in self.SIGNALS:
            signal.signal(number, self._remember)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_status(self) -> int:
        """What a shell expects of a process that a signal ended: 128 + its number."""
        return 128 + self.signal if self.signal else 0

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        name = signal.Signals(number).name
        logger.warning("%s: saving after this step, then leaving. Once more leaves at once.", name)
        for again in self.SIGNALS:
            signal.signal(again, self._before[again] or signal.SIG_DFL)
