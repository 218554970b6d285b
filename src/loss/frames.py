"""Cross-entropy frame by frame, for speech whose phonemes have times."""

import torch
from torch import Tensor, nn

from src.batch import Emissions, padding_mask
from src.loss.ctc import CTCLoss

NOT_JUDGED = -1


class FrameCrossEntropy(nn.Module):
    """Sum of −ln p(label | its frame) over the labels, in float32 whatever autocast does.

    Labels stand at equal distances over the utterance, and so do emitted frames; label s of S is
    compared with frame ⌊(s + ½) · T / S⌋ of T. Labels of −1 count nothing. An utterance with
    labels but without a frame is flagged as `CTC` flags one that has no alignment.
    """

    def forward(self, emissions: Emissions, tokens: Tensor, token_lengths: Tensor) -> CTCLoss:
        """Emissions (B, T_out, V), labels (B, S) int64, their lengths (B,) to the batch's loss."""
        log_probs, lengths = emissions.log_probs.float(), emissions.lengths.cpu()
        impossible = (lengths == 0) & (token_lengths > 0)
        places = torch.arange(tokens.shape[1])[None]
        frames = (2 * places + 1) * lengths[:, None] // (2 * token_lengths[:, None].clamp(min=1))
        frames = frames.minimum((lengths[:, None] - 1).clamp(min=0))  # of padding: any that exists
        judged = (tokens != NOT_JUDGED) & ~padding_mask(token_lengths, tokens.shape[1])
        judged &= ~impossible[:, None]
        device = log_probs.device
        of_labels = _cells(log_probs, frames.to(device), tokens.clamp(min=0).to(device))
        nats = -of_labels.masked_fill(~judged.to(device), 0.0)
        per_utterance = nats.sum(1)
        return CTCLoss(per_utterance.sum(), per_utterance, judged.sum(), impossible)


def _cells(log_probs: Tensor, frames: Tensor, tokens: Tensor) -> Tensor:
    """log_probs[b, frames[b, s], tokens[b, s]], (B, S)."""
    n_utterances, n_frames, n_tokens = log_probs.shape
    if not n_frames:
        return log_probs.new_zeros(tokens.shape)
    rows = torch.arange(n_utterances, device=log_probs.device)[:, None] * n_frames
    return log_probs.reshape(-1).take((rows + frames) * n_tokens + tokens)
