"""Two models in a row: one hears, of few hours of speech; one spells, of any amount of text."""

import torch
from torch import Tensor, nn

from src.batch import Emissions, padding_mask
from src.models.parts.checks import check_share
from src.models.parts.segments import BLANK, segments
from src.models.speller import Speller
from src.utils.errors import UserError

NEVER = -20.0  # natural log of what is not written in a frame without a segment


class Spelled(nn.Module):
    """A CTC model of phonemes, and a speller that writes pieces of words where it heard something.

    Each segment of what the reader emits (see `segments`) writes one token or none, in the frame
    where it was heard; all other frames are blank. So the result is a CTC model of its own, with
    the reader's frames: greedy decoding writes words, and a beam with a language model can read
    it too. scripts.train_speller makes one from a checkpoint and text.

    Args:
        n_features: feature bins, the same as of the reader.
        n_tokens: tokens to write, with the blank.
        reader: the model that hears, with its own number of tokens.
        n_heard: that number, with the blank.
        threshold: posterior from which a token counts as heard, above 0, below 1.
        width, n_layers, n_heads, kernel_size, dropout: see `Speller`.

    Raises:
        UserError: a value outside its range.
    """

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        reader: nn.Module,
        n_heard: int,
        threshold: float = 0.1,
        width: int = 256,
        n_layers: int = 4,
        n_heads: int = 4,
        kernel_size: int = 7,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_share("model.threshold", threshold)
        if threshold == 0:
            raise UserError("model.threshold=0: no frame would be silent; try 0.1.")
        self.reader = reader
        self.speller = Speller(n_heard, n_tokens, width, n_layers, n_heads, kernel_size, dropout)
        self.threshold = threshold

    @property
    def time_stride(self) -> int:
        """Feature frames for each emitted one."""
        return self.reader.time_stride

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64."""
        return self.reader.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, T_out, V)."""
        heard = self.reader(features, lengths)
        found = segments(heard.log_probs, heard.lengths, self.threshold)
        written = self.speller(found.posteriors, found.lengths)
        n_tokens = written.shape[2]
        blank = torch.arange(n_tokens, device=written.device) == BLANK
        silence = torch.where(blank, 0.0, NEVER).log_softmax(-1)  # (V,)
        no_segment = padding_mask(found.lengths, written.shape[1], written.device)[..., None]
        written = torch.where(no_segment, silence, written)
        places = found.frames[..., None].expand_as(written)
        frames = silence.expand(*heard.log_probs.shape[:2], n_tokens)
        return Emissions(frames.scatter(1, places, written), heard.lengths)
