"""The readable prefix beam search: one utterance, one frame, one step after another, in float64."""

from typing import NamedTuple

import numpy as np
import torch

from src.batch import Emissions, Hypothesis
from src.decoders.emissions import BLANK, check_emissions
from src.decoders.paths import best_alignment, collapse
from src.text import Vocabulary
from src.utils.errors import UserError

ROOT = 0  # trie node of the empty prefix


class ReferenceBeam:
    """Keep the `beam_width` likeliest token prefixes from frame to frame.

    Source: Graves 2012, section 7.5.3; Hannun et al. 2014 (arXiv 1408.2873), algorithm 1,
    without the language model. Runs in float64 on the CPU, each utterance by itself.

    A hypothesis' score is the natural log of the summed probability of its alignments, as far
    as they stayed in the beam: exact once the beam is wide enough, else a lower bound. Its
    frames and confidences (largest posterior in a token's run) come from its best alignment.

    Args:
        vocabulary: symbols of the emissions.
        beam_width: prefixes kept after each frame.
        n_best: hypotheses returned; fewer where the emissions allow fewer.
        token_threshold: natural log. A token less probable than this in a frame begins nowhere
            in that frame; the frame's best token always may. None tries every token, which is
            exact and slower.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        beam_width: int = 16,
        n_best: int = 5,
        token_threshold: float | None = -10.0,
    ) -> None:
        if not isinstance(beam_width, int) or beam_width < 1:
            raise UserError(
                f"decoder.beam_width is {beam_width}; the beam must hold at least 1 prefix "
                "(a whole number, 16 is a good start)."
            )
        if not isinstance(n_best, int) or not 1 <= n_best <= beam_width:
            raise UserError(
                f"decoder.n_best is {n_best}; a beam of {beam_width} gives 1 to {beam_width} "
                "hypotheses. Lower decoder.n_best or raise decoder.beam_width."
            )
        if token_threshold is not None and not token_threshold < 0:
            raise UserError(
                f"decoder.token_threshold is {token_threshold}; it is the log of a probability, so "
                "below 0 (-10 leaves out what is less likely than 0.005 %), or null for no limit."
            )
        self.vocabulary = vocabulary
        self.beam_width = beam_width
        self.n_best = n_best
        self.token_threshold = -np.inf if token_threshold is None else float(token_threshold)

    @torch.no_grad()
    def __call__(self, emissions: Emissions) -> list[list[Hypothesis]]:
        """The n-best of each utterance, best first; one empty hypothesis where no frame is.

        Raises:
            UserError: emissions that can't be read (see `check_emissions`).
        """
        check_emissions(emissions, len(self.vocabulary))
        log_probs = emissions.log_probs.float().cpu()
        lengths = emissions.lengths.tolist()
        return [self._n_best(x[:n]) for x, n in zip(log_probs, lengths, strict=True)]

    def _n_best(self, log_probs: torch.Tensor) -> list[Hypothesis]:
        """Hypotheses of one utterance from its (T, V) log-probabilities."""
        found = self._search(log_probs.double().numpy())[: self.n_best]
        paths = torch.stack([best_alignment(log_probs, tokens) for tokens, _ in found])  # (n, T)
        on_path = log_probs.gather(1, paths.T).T
        lengths = torch.full((len(found),), len(log_probs))
        return [
            Hypothesis(
                text=self.vocabulary.decode(tokens),
                tokens=tokens,
                frames=spelling.frames,
                ends=spelling.ends,
                score=score,
                confidences=spelling.confidences,
            )
            for (tokens, score), spelling in zip(
                found, collapse(paths, on_path, lengths), strict=True
            )
        ]

    def _search(self, log_probs: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
        """Token sequences and their scores, best first, from (T, V) log-probabilities."""
        trie = _Trie()
        beam = _Beam.start()
        for frame in log_probs:
            beam = self._advance(beam, frame, trie)
        scores = beam.scores
        order = np.argsort(-scores, kind="stable")
        return [(trie.spell(int(beam.nodes[w])), float(scores[w])) for w in order]

    def _advance(self, beam: "_Beam", frame: np.ndarray, trie: "_Trie") -> "_Beam":
        """The beam after one more frame of (V,) log-probabilities.

        Each prefix either stays (a blank, or its last token held on) or grows by a token. A
        grown prefix that is in the beam already is the same text, so its probability moves there.
        """
        before = beam.scores
        stay_blank = before + frame[BLANK]
        stay_token = beam.ends_in_token + frame[beam.lasts]

        tokens = self._tokens_worth_trying(frame)
        start = np.full_like(frame, -np.inf)
        start[tokens] = frame[tokens]
        grow = before[:, None] + start  # (W, V)
        # A token right after itself is a new one only across a blank.
        grow[np.arange(len(before)), beam.lasts] = beam.ends_in_blank + start[beam.lasts]

        child, parent = np.nonzero(beam.parents[:, None] == beam.nodes)
        merged = (parent, beam.lasts[child])
        stay_token[child] = np.logaddexp(stay_token[child], grow[merged])
        grow[merged] = -np.inf

        stay = np.logaddexp(stay_blank, stay_token)
        candidates = np.concatenate([stay, grow[:, tokens].ravel()])
        best = _largest(candidates, self.beam_width)
        kept = best[best < len(stay)]
        row, column = np.divmod(best[best >= len(stay)] - len(stay), max(len(tokens), 1))
        grown = _Beam.of_children(trie, beam.nodes[row], tokens[column], grow[row, tokens[column]])
        return beam.stay(kept, stay_blank, stay_token).join(grown)

    def _tokens_worth_trying(self, frame: np.ndarray) -> np.ndarray:
        """Tokens that may begin in this frame, (K,) indices without the blank."""
        worthy = frame >= min(self.token_threshold, frame.max())
        worthy[BLANK] = False
        return np.flatnonzero(worthy)


class _Beam(NamedTuple):
    """W prefixes; log-probabilities are summed over all alignments seen so far."""

    nodes: np.ndarray  # (W,) trie node, one for each prefix
    parents: np.ndarray  # (W,) trie node of the prefix without its last token, −1 at the root
    lasts: np.ndarray  # (W,) last token, blank at the root
    ends_in_blank: np.ndarray  # (W,) alignments whose last frame is blank
    ends_in_token: np.ndarray  # (W,) alignments whose last frame is the last token

    @classmethod
    def start(cls) -> "_Beam":
        """Before the first frame: the empty prefix, for certain."""
        return cls(*map(np.array, ([ROOT], [-1], [BLANK], [0.0], [-np.inf])))

    @classmethod
    def of_children(
        cls, trie: "_Trie", parents: np.ndarray, tokens: np.ndarray, scores: np.ndarray
    ) -> "_Beam":
        """Prefixes grown by one token each."""
        pairs = zip(parents.tolist(), tokens.tolist(), strict=True)
        nodes = np.array([trie.child(*pair) for pair in pairs], dtype=np.int64)
        return cls(nodes, parents, tokens, np.full_like(scores, -np.inf), scores)

    @property
    def scores(self) -> np.ndarray:
        """(W,) log-probability of each prefix."""
        return np.logaddexp(self.ends_in_blank, self.ends_in_token)

    def stay(self, kept: np.ndarray, blank: np.ndarray, token: np.ndarray) -> "_Beam":
        """The prefixes `kept`, unchanged, with new log-probabilities."""
        same = (self.nodes[kept], self.parents[kept], self.lasts[kept])
        return _Beam(*same, blank[kept], token[kept])

    def join(self, other: "_Beam") -> "_Beam":
        """Both sets of prefixes in one beam."""
        return _Beam(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class _Trie:
    """Gives each token sequence one number, however often it leaves and re-enters the beam."""

    def __init__(self) -> None:
        self.origins: list[tuple[int, int]] = [(-1, BLANK)]  # node → (parent, token)
        self.children: dict[tuple[int, int], int] = {}

    def child(self, parent: int, token: int) -> int:
        """Node of the sequence `parent` followed by `token`."""
        node = self.children.setdefault((parent, token), len(self.origins))
        if node == len(self.origins):
            self.origins.append((parent, token))
        return node

    def spell(self, node: int) -> tuple[int, ...]:
        """Tokens from the root to `node`."""
        tokens = []
        while node != ROOT:
            node, token = self.origins[node]
            tokens.append(token)
        return tuple(reversed(tokens))


def _largest(scores: np.ndarray, n: int) -> np.ndarray:
    """Indices of the `n` largest scores without the impossible ones; a tie goes to the first."""
    best = np.argsort(-scores, kind="stable")[:n]
    return best[scores[best] > -np.inf]
