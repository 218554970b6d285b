"""Judging a run on held-out speech, and remembering how it did."""

from collections.abc import Iterable, Sequence

from src.batch import Batch
from src.recognizer import Recognizer
from src.trainer.evaluate import Evaluation, evaluate
from src.trainer.showcase import show_examples
from src.utils.errors import UserError


class Validation:
    """Evaluates, logs `validation/…`, shows examples and answers with the monitored value.

    Args:
        read: emissions and their batch to predictions (`Transcriber.predict`).
        loss: the training loss.
        batches: held-out speech, in a fixed order.
        log: a logger of `src.logger`.
        monitor: the metric to answer with; "auto" takes WER, or PER for phonemes.
        n_examples: utterances in the table of examples; 0 shows nothing.
        rates: the error rates that `read` can give; None where nobody knows yet.

    Raises:
        UserError: `monitor` is neither "auto", nor the loss, nor one of `rates`.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        read,
        loss,
        batches: Iterable[Batch],
        log,
        *,
        monitor: str,
        precision: str,
        n_examples: int,
        rates: Sequence[str] | None = None,
    ) -> None:
        self.recognizer = recognizer
        self.read = read
        self.loss = loss
        self.batches = batches
        self.log = log
        self.monitor = monitor.removeprefix("validation/")
        self.precision = precision
        self.n_examples = n_examples
        if rates is not None and self.monitor != "auto":  # now, not after an epoch of training
            self._check(self.monitor, ["loss", *rates])

    def run(self, step: int) -> tuple[str, float, dict[str, float]]:
        """Name and value of the monitored metric, and all metrics, at `step`.

        Raises:
            UserError: the monitored metric is none of those measured.
        """
        result = evaluate(
            self.recognizer, self.read, self.loss, self.batches, precision=self.precision
        )
        self.log.scalars(step, {f"validation/{k}": v for k, v in result.metrics.items()})
        if self.n_examples and result.example:
            show_examples(self.log, step, result, self.recognizer, self.n_examples)
        name = self._monitored(result)
        return name, result.metrics[name], result.metrics

    def _monitored(self, result: Evaluation) -> str:
        name = self.monitor
        if name == "auto":
            name = "per" if "per" in result.metrics else "wer"
        self._check(name, result.metrics)
        return name

    def _check(self, name: str, known: Iterable[str]) -> None:
        if name not in known:
            raise UserError(
                f"trainer.monitor={self.monitor}: validation measures only {', '.join(known)}."
            )
