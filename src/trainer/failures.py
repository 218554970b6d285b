"""What becomes of a run whose step failed."""

import logging

from src.trainer.progress import Progress
from src.trainer.reports import StepReport
from src.trainer.settings import Settings
from src.utils.errors import UserError
from src.utils.tables import counted

logger = logging.getLogger(__name__)
WHAT = {"non-finite": "loss or gradient not finite", "out of memory": "out of memory"}


def tell_failure(report: StepReport, step: int, progress: Progress, settings: Settings) -> None:
    """Warn of a skipped step, by its utterances, or end the run by the policy of `settings`.

    Args:
        step: which it was; the run may have come further since.

    Raises:
        UserError: `non_finite` is "stop", or too many steps in a row have failed.
    """
    ids = ", ".join(report.ids[:8]) + (", …" if len(report.ids) > 8 else "")
    message = f"step {step}: {WHAT[report.skipped]}, utterances {ids}"
    if report.skipped == "non-finite" and settings.non_finite == "stop":
        raise UserError(
            f"{message}. The weights are as before this step; look at these recordings, lower "
            "optimizer.lr, or set trainer.non_finite=skip."
        )
    if progress.skipped_in_a_row >= settings.max_skipped_in_a_row:
        raise UserError(
            f"{message}. That is {counted(progress.skipped_in_a_row, 'failed step')} in a row: "
            "lower optimizer.lr, or loader.batch_size where memory ran out."
        )
    logger.warning("%s; the step is skipped and counted.", message)
