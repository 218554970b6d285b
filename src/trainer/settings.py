"""What a person decides about a run; configs/trainer/default.yaml says it in YAML."""

import math
from dataclasses import dataclass

from src.utils.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Keys of `trainer` in the config.

    Attributes:
        n_epochs: epochs to train.
        epoch_len: optimizer steps called an epoch; None = one pass over the data.
        accumulate: batches that share one optimizer step.
        validate_every_epochs: validate after so many epochs; None = not by epochs.
        validate_every_steps: validate after so many steps as well; None = not by steps.
        monitor: metric whose lowest value is best, such as "wer" or "loss"; "auto" takes WER
            for characters and PER for phonemes.
        patience: validations without a new best before stopping; None = never stop early.
        keep_top_k: best checkpoints kept beside last.pt and best.pt; 0 = none.
        save_every_minutes: how much work a power cut may cost; 0 = a step.
        log_every: optimizer steps between two log lines.
        max_grad_norm: gradients are scaled down to this L2 norm; infinity = never.
        ema_decay: of the moving average of the weights, which is then what is validated, saved
            for inference and kept as best; None = none.
        intermediate: share λ of the loss that layers before the last have, where the model reads
            them too (`model.intermediate`, `src.loss.Intermediate`).
        consistency: weight α of the consistency of two views of each utterance, whose masks and
            dropout differ (`src.loss.Consistent`); None = one view.
        teacher: checkpoint of a trained model whose opinion of each frame is learnt beside the
            transcripts (`src.loss.distillation`); None = they alone are.
        teacher_share: of the loss that this opinion has, where there is a teacher.
        precision: "float32", "bf16", "fp16" (with loss scaling), or "auto": bf16 where the device
            computes it natively, else float32.
        non_finite: "skip" a step whose loss or gradient is not finite, or "stop" the run.
        max_skipped_in_a_row: failed steps in a row that end the run whatever the policy.
        n_examples: utterances in the table of examples, 0 or more; the first is also shown and
            played.

    Raises:
        UserError: a value outside its range.
    """

    n_epochs: int
    epoch_len: int | None
    accumulate: int
    validate_every_epochs: int | None
    validate_every_steps: int | None
    monitor: str
    patience: int | None
    keep_top_k: int
    save_every_minutes: float
    log_every: int
    max_grad_norm: float
    ema_decay: float | None
    intermediate: float
    consistency: float | None
    teacher: str | None
    teacher_share: float
    precision: str
    non_finite: str
    max_skipped_in_a_row: int
    n_examples: int

    def __post_init__(self) -> None:
        # Each condition tells what is right, since NaN fails it: of NaN no comparison is true.
        for name in ("n_epochs", "accumulate", "log_every", "max_skipped_in_a_row"):
            if not getattr(self, name) >= 1:
                raise UserError(f"trainer.{name}={getattr(self, name)}: expected 1 or more.")
        for name in ("keep_top_k", "save_every_minutes", "n_examples"):
            if not getattr(self, name) >= 0:
                raise UserError(f"trainer.{name}={getattr(self, name)}: expected 0 or more.")
        for name in ("epoch_len", "validate_every_epochs", "validate_every_steps", "patience"):
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise UserError(f"trainer.{name}={value}: expected 1 or more, or null.")
        if not self.max_grad_norm > 0:
            raise UserError(f"trainer.max_grad_norm={self.max_grad_norm}: expected above 0.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise UserError(
                f"trainer.ema_decay={self.ema_decay}: expected a number between 0 and 1, such as "
                "0.999, or null."
            )
        if not 0 < self.intermediate < 1:
            raise UserError(
                f"trainer.intermediate={self.intermediate}: expected a number between 0 and 1, "
                "such as 0.3."
            )
        if self.consistency is not None and not 0 < self.consistency < math.inf:
            raise UserError(
                f"trainer.consistency={self.consistency}: expected a number above 0, such as "
                "0.2, or null."
            )
        if not 0 < self.teacher_share <= 1:
            raise UserError(
                f"trainer.teacher_share={self.teacher_share}: expected a number above 0 and at "
                "most 1, such as 0.5."
            )
        if self.non_finite not in ("skip", "stop"):
            raise UserError(f"trainer.non_finite={self.non_finite}: expected skip or stop.")
        if self.precision not in ("auto", "float32", "bf16", "fp16"):
            raise UserError(
                f"trainer.precision={self.precision}: expected auto, float32, bf16 or fp16."
            )
