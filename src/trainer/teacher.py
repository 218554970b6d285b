"""A trained recogniser that another one learns from."""

import torch
from torch import Tensor, nn

from src.batch import Emissions
from src.loss import distillation
from src.recognizer import Recognizer
from src.utils.devices import autocast


class Teacher(nn.Module):
    """Hears the waveforms that the student hears, without masks and dropout, and never changes.

    Args:
        recognizer: on the student's device, of the same vocabulary.
        share: of the loss that what it says has beside the transcripts, above 0 to 1.
        n_frames: its frames that last as long as one of the student.
        precision: "float32", "bf16" or "fp16".
    """

    def __init__(
        self,
        recognizer: Recognizer,
        share: float,
        n_frames: int = 1,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.recognizer = recognizer.eval().requires_grad_(False)
        self.share = share
        self.n_frames = n_frames
        self.precision = precision

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor) -> Emissions:
        """Waveforms (B, N) and their lengths (B,) in samples to emissions (B, T_out, V)."""
        with autocast(waveforms.device, self.precision):
            return self.recognizer(waveforms, lengths)

    def distillation(self, student: Emissions, heard: Emissions, impossible: Tensor) -> Tensor:
        """Divergence of the student from what was heard, in nats over all frames; a scalar.

        Args:
            student: emissions (kB, T_out, V) of k views of each utterance, which count as their
                mean.
            impossible: (B,) bool, utterances that count nothing.
        """
        n_views = len(student.lengths) // len(heard.lengths)
        lengths = student.lengths.masked_fill(impossible.repeat(n_views), 0)
        heard = Emissions(heard.log_probs.repeat(n_views, 1, 1), heard.lengths.repeat(n_views))
        student = Emissions(student.log_probs, lengths)
        return distillation(student, heard, self.n_frames) / n_views
