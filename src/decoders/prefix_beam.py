"""CTC prefix beam search: sums over the alignments of each text instead of taking one path."""

from dataclasses import replace

import torch
from torch import Tensor

from src.batch import Emissions, Hypothesis
from src.decoders.beam_search import Found, Fusion, Spelt, search, spell
from src.decoders.emissions import check_emissions
from src.decoders.minimum_risk import check_scale, least_risk_first
from src.decoders.paths import with_times
from src.decoders.worthwhile import read_frames
from src.text import Vocabulary
from src.text.words_within import spell_words
from src.utils.errors import UserError


class PrefixBeam:
    """Keep the `beam_width` likeliest token prefixes from frame to frame, of a batch at once.

    A hypothesis' score is the natural log of the summed probability of its alignments, as far
    as they stayed in the beam (exact once the beam is wide enough, else a lower bound), plus what
    fusion adds. Frames and confidences (largest posterior in a token's run) come from the best
    alignment; only the first hypothesis has them, as they cost as much as the search.

    Args:
        vocabulary: symbols of the emissions.
        beam_width: prefixes kept after each frame.
        n_best: hypotheses returned; fewer where the emissions allow fewer.
        token_threshold: natural log. A token less probable than this in a frame begins nowhere
            in that frame; the frame's best token always may. None tries every token.
        blank_threshold: natural log. A frame whose blank is more probable is passed over as if
            nothing else could be: of the probability of all texts together, each such frame loses
            at most 1 − exp(blank_threshold). None reads every frame.
        n_tokens: at most so many tokens begin in a frame, the likeliest; None = all.
        mbr_scale: of the scores, where the first of the n-best is to be the one with the fewest
            errors to be expected (see `least_risk_first`), counted in words where the vocabulary
            has a space or pieces of words, else in tokens; None = the one with the best score.

    With no threshold and n_tokens=None, nothing but the beam's width is approximate.
    """

    fusion: Fusion | None = None  # a language model's say

    def __init__(
        self,
        vocabulary: Vocabulary,
        beam_width: int = 16,
        n_best: int = 5,
        token_threshold: float | None = -10.0,
        blank_threshold: float | None = -0.001,
        n_tokens: int | None = None,
        mbr_scale: float | None = None,
    ) -> None:
        check_whole("beam_width", beam_width, "the beam must hold at least 1 prefix", 16)
        if type(n_best) is not int or not 1 <= n_best <= beam_width:
            raise UserError(
                f"decoder.n_best is {n_best}; a beam of {beam_width} gives 1 to {beam_width} "
                "hypotheses. Lower decoder.n_best or raise decoder.beam_width."
            )
        _check_log("token_threshold", token_threshold, "-10 leaves out what is below 0.005 %")
        _check_log("blank_threshold", blank_threshold, "-0.001 passes over blanks above 99.9 %")
        if n_tokens is not None:
            check_whole("n_tokens", n_tokens, "at least 1 token may begin in a frame", 8)
        check_scale(mbr_scale)
        self.vocabulary = vocabulary
        self.beam_width = beam_width
        self.n_best = self.n_judged = n_best
        self.token_threshold = token_threshold
        self.blank_threshold = blank_threshold
        self.n_tokens = n_tokens or len(vocabulary)
        self.mbr_scale = mbr_scale

    @torch.no_grad()
    def __call__(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """The n-best of each utterance, best first; one empty hypothesis where no frame is.

        With an mbr_scale the first is the chosen one, and the others follow by their scores.

        Raises:
            UserError: emissions that can't be read (see `check_emissions`).
        """
        check_emissions(emissions, len(self.vocabulary))
        if not len(emissions.lengths):
            return []
        log_probs = emissions.log_probs.float()
        lengths = emissions.lengths.to(log_probs.device)
        frames = read_frames(
            log_probs,
            lengths,
            token_threshold=self.token_threshold,
            blank_threshold=self.blank_threshold,
            n_tokens=self.n_tokens,
        )
        found = search(frames, self.beam_width, self.fusion)
        acoustic, added = self._scores(found)
        totals, places = (acoustic + added).sort(dim=1, descending=True, stable=True)
        places, totals = places[:, : self.n_judged], totals[:, : self.n_judged]
        scores = torch.stack([acoustic.gather(1, places), added.gather(1, places), totals], 1)
        order = found.order.tolist()
        rows = zip(
            order, spell(found, places), scores.tolist(), frames.places.tolist(), strict=True
        )
        n_bests = {i: self._hypotheses(*texts) for i, *texts in rows}
        n_bests = self.judged([n_bests[i] for i in range(len(order))])
        if self.mbr_scale is not None:
            words = spell_words(self.vocabulary.symbols)
            n_bests = [least_risk_first(n_best, self.mbr_scale, words) for n_best in n_bests]
        firsts = [n_best[0] for n_best in n_bests]
        firsts = with_times(firsts, log_probs.cpu(), lengths.cpu())
        return [
            [first, *(replace(other, frames=()) for other in n_best[1 : self.n_best])]
            for first, n_best in zip(firsts, n_bests, strict=True)
        ]

    def judged(self, n_bests: list[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance, best first, after a second look at them."""
        return n_bests

    def _scores(self, found: Found) -> tuple[Tensor, Tensor]:
        """Of each prefix of the last beam, (B, W) float64: log-probability of its alignments, and
        what fusion adds. A text that may not end so counts only where no other may."""
        acoustic = found.beam.acoustic.double() + found.offset[:, None]
        added = found.beam.bonus.double()
        if self.fusion:
            last = self.fusion.finish(found.beam.states).double()
            possible = (acoustic + last).isfinite().any(1, keepdim=True)
            added = added + torch.where(possible, last, 0.0)
            if self.fusion.boundary is not None:
                acoustic = found.beam.without_boundary(acoustic, self.fusion.boundary)
        return acoustic, added

    def _hypotheses(
        self, texts: list[Spelt], scores: list[list[float]], places: list[int]
    ) -> list[Hypothesis]:
        """Those of one utterance that are possible, with the frames in which tokens were added.

        Args:
            scores: acoustic, added, and in all, of each.
            places: of each frame that was searched, its place among all.
        """
        n = sum(total > -torch.inf for total in scores[-1])
        if not n:  # fusion forbade every text
            return [Hypothesis(text="", tokens=(), frames=(), score=-torch.inf)]
        if self.fusion and self.fusion.boundary is not None:
            texts = [text.without_last(self.fusion.boundary) for text in texts]
        return [
            Hypothesis(
                text=self.vocabulary.decode(text.tokens),
                tokens=text.tokens,
                frames=tuple(places[start] for start in text.starts),
                score=total,
                acoustic=acoustic,
                language=added,
            )
            for text, acoustic, added, total in zip(texts[:n], *scores, strict=False)
        ]


def check_whole(key: str, value: object, why: str, good: int) -> None:
    """Refuse a key of the decoder that is no whole number from 1 up."""
    if type(value) is not int or value < 1:
        raise UserError(
            f"decoder.{key} is {value}; {why} (a whole number, {good} is a good start)."
        )


def _check_log(key: str, value: float | None, example: str) -> None:
    if value is not None and not (isinstance(value, int | float) and value < 0):
        raise UserError(
            f"decoder.{key} is {value}; it is the log of a probability, so below 0 ({example}), "
            "or null for no limit."
        )
