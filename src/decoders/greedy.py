"""Best-path decoding: the likeliest token of each frame."""

import torch

from src.batch import Emissions, Hypothesis, padding_mask
from src.decoders.emissions import check_emissions
from src.decoders.paths import collapse
from src.text import Vocabulary


class Greedy:
    """Take the best token of each frame, merge repeats, drop blanks.

    The score is the log-probability of that one path: a lower bound on that of the text, which
    sums over all its paths. A token's confidence is the largest posterior in its run of frames.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @torch.no_grad()
    def __call__(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """One hypothesis for each utterance, in a list of its own; empty where no frame is.

        Raises:
            UserError: emissions that can't be read (see `check_emissions`).
        """
        check_emissions(emissions, len(self.vocabulary))
        best, paths = (x.cpu() for x in emissions.log_probs.float().max(-1))  # (B, T_out)
        lengths = emissions.lengths.cpu()
        padding = padding_mask(lengths, paths.shape[1])
        scores = best.double().masked_fill(padding, 0.0).sum(1).tolist()
        return [
            [
                Hypothesis(
                    text=self.vocabulary.decode(spelling.tokens),
                    tokens=spelling.tokens,
                    frames=spelling.frames,
                    ends=spelling.ends,
                    score=score,
                    confidences=spelling.confidences,
                )
            ]
            for spelling, score in zip(collapse(paths, best, lengths), scores, strict=True)
        ]
