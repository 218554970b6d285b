"""What every decoder checks before it reads emissions."""

import torch

from src.batch import Emissions, padding_mask
from src.utils.errors import UserError
from src.utils.tables import counted

BLANK = 0


def check_emissions(emissions: Emissions, n_tokens: int) -> None:
    """Refuse what no decoder could read; padding may hold anything.

    Raises:
        UserError: another vocabulary size than the decoder's, lengths beyond the frames,
            or a frame with NaN, with +inf, with values above 0, or without any finite value.
    """
    log_probs, lengths = emissions
    n_utterances, n_frames, width = log_probs.shape
    if width != n_tokens:
        raise UserError(
            f"The model emits {width} tokens a frame, but the decoder's vocabulary has {n_tokens}. "
            "Use the vocabulary that the model was trained with."
        )
    if n_utterances and not 0 <= int(lengths.min()) <= int(lengths.max()) <= n_frames:
        raise UserError(
            f"Emission lengths {lengths.tolist()} do not fit into {counted(n_frames, 'frame')}."
        )
    peaks = log_probs.amax(-1)  # NaN wins every comparison here, so it can't hide
    # Rounding may lift the log of a certain token a little above 0.
    sound = torch.isfinite(peaks) & (peaks < 1e-3)
    bad = (~sound & ~padding_mask(lengths, n_frames, sound.device)).nonzero()
    if len(bad):
        utterance, frame = bad[0].tolist()
        raise UserError(
            f"Utterance {utterance} of the batch, frame {frame}: the largest log-probability is "
            f"{float(peaks[utterance, frame])}, expected a finite number of at most 0. NaN means "
            "that the weights or the audio are broken, values above 0 that these are no "
            "log-probabilities; try an earlier checkpoint."
        )
