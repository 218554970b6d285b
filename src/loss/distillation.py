"""What another recogniser hears, learnt frame by frame (Hinton, Vinyals and Dean 2015)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from src.batch import Emissions, padding_mask
from src.loss.ctc import BLANK

NEVER = -1e4  # as good as ln 0, and 0 · NEVER is 0


class Merged(NamedTuple):
    """What several frames say together, one token or none."""

    log_probs: Tensor  # (B, T', V), each row sums to 1
    kept: Tensor  # (B, T'), the probability that it is no more than one token, 0 … 1


def distillation(student: Emissions, teacher: Emissions, n: int = 1) -> Tensor:
    """Σ_t w_t · KL(teacher_t ‖ student_t) over the frames of all utterances, in nats; a scalar.

    After "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531), section 2, at
    temperature 1, with a distribution for each frame. w_t is the probability that the teacher
    says no more than one token in what is one frame to the student: of two tokens a frame could
    learn but one, so that it is left to the transcript. No gradient reaches the teacher. Where its
    utterance ends before the student's, it is taken to say nothing.

    Args:
        student: emissions (B, T_out, V); padding may hold anything, in the teacher's too.
        n: frames of the teacher that last as long as one of the student.
    """
    says, kept = merged(teacher, n)
    n_frames = student.log_probs.shape[1]
    beyond = n_frames - says.shape[1]
    says = functional.pad(says, (0, 0, 0, beyond), value=torch.nan)
    kept = functional.pad(kept, (0, beyond), value=1.0)[:, :, None]
    says = _silent_where(says, padding_mask(-(-teacher.lengths // n), n_frames, says.device))
    padding = padding_mask(student.lengths, n_frames, says.device)[:, :, None]
    found = student.log_probs.to(says.dtype).masked_fill(padding, 0)
    return (kept * says.exp() * (says - found)).masked_fill(padding, 0).sum()


@torch.no_grad()
def merged(emissions: Emissions, n: int) -> Merged:
    """What each `n` frames say together, T' = ⌈T_out / n⌉.

    Σ of p over the paths through the `n` frames that CTC's collapsing maps to a token, or to
    nothing (Graves et al. 2006, equation 3). Paths of two tokens or more have no
    place in one frame: they are left out, and the rest sums to 1. After an utterance's end there
    are blanks.
    """
    log_probs, lengths = emissions
    log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
    log_probs = functional.pad(log_probs, (0, 0, 0, -log_probs.shape[1] % n))
    padding = padding_mask(lengths, log_probs.shape[1], log_probs.device)
    groups = _silent_where(log_probs, padding).unflatten(1, (-1, n))  # (B, T', n, V)
    silent = torch.zeros_like(groups[:, :, 0, :1])
    saying = torch.full_like(groups[:, :, 0, 1:], NEVER)  # the token in the latest frame
    said = saying.clone()  # the token, and a blank since
    for frame in groups.unbind(2):
        blank, tokens = frame[..., :1], frame[..., 1:]
        said = torch.logaddexp(said, saying) + blank
        saying = torch.logaddexp(saying, silent) + tokens
        silent = silent + blank
    together = torch.cat([silent, torch.logaddexp(said, saying)], dim=-1)
    return Merged(
        together.log_softmax(-1).clamp(min=NEVER), together.logsumexp(-1).exp().clamp(max=1.0)
    )


def _silent_where(log_probs: Tensor, padding: Tensor) -> Tensor:
    """Log-probabilities (B, T, V) that are sure of a blank where `padding` (B, T) is True."""
    silence = log_probs.new_full(log_probs.shape[2:], NEVER)
    silence[BLANK] = 0.0
    return torch.where(padding[:, :, None], silence, log_probs)
