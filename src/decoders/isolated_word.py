"""One word out of a closed list, chosen through its pronunciations."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss
from torch.nn.utils.rnn import pad_sequence

from src.batch import Emissions
from src.decoders.emissions import BLANK, check_emissions
from src.text import Vocabulary
from src.utils.errors import UserError


class IsolatedWord:
    """The lexicon's most probable word, given that each utterance is exactly one of its words.

    CTC gives the probability of a phoneme string, log p(string | audio), summed over its
    alignments. A word's probability is the sum over its distinct pronunciations; divided by the
    sum over the lexicon it is the posterior. Homophones share theirs; the first one listed wins.

    Args:
        lexicon: word → pronunciations in vocabulary units, such as {"down": ("D AW N",)}.
        vocabulary: symbols of the emissions.

    Raises:
        UserError: an empty lexicon, a word without pronunciation, an unknown phoneme.
    """

    def __init__(self, lexicon: Mapping[str, Sequence[str]], vocabulary: Vocabulary) -> None:
        if not lexicon:
            raise UserError("The lexicon is empty; a word can only be chosen from a list of words.")
        self.vocabulary = vocabulary
        self.words = tuple(lexicon)
        spoken = [self._pronunciations(word, lexicon[word]) for word in self.words]
        targets = [torch.tensor(tokens) for pronunciations in spoken for tokens in pronunciations]
        self.targets = pad_sequence(targets, batch_first=True)  # (P, S)
        self.target_lengths = torch.tensor([len(target) for target in targets])  # (P,)
        numbers = iter(range(len(targets)))
        rows = [torch.tensor([next(numbers) for _ in pronunciations]) for pronunciations in spoken]
        # (W, most pronunciations of a word): which of the P are the word's; P itself is none.
        self.table = pad_sequence(rows, batch_first=True, padding_value=len(targets))

    def _pronunciations(self, word: str, targets: Sequence[str]) -> list[tuple[int, ...]]:
        """Distinct token sequences of a word."""
        encoded = {tuple(self.vocabulary.encode(target)) for target in targets} - {()}
        if not encoded:
            raise UserError(f"The lexicon has no pronunciation for {word!r}; add one.")
        return sorted(encoded)

    @torch.no_grad()
    def __call__(self, emissions: Emissions) -> list[tuple[str, float]]:
        """(word, posterior) of each utterance; ("", 0.0) where no word fits into the frames.

        Raises:
            UserError: emissions that can't be read (see `check_emissions`).
        """
        check_emissions(emissions, len(self.vocabulary))
        scores = self.log_likelihoods(emissions)  # (B, W)
        posteriors, best = scores.softmax(1).max(1)
        return [
            (self.words[word], posterior) if possible else ("", 0.0)
            for word, posterior, possible in zip(
                best.tolist(),
                posteriors.tolist(),
                scores.isfinite().any(1).tolist(),
                strict=True,
            )
        ]

    def log_likelihoods(self, emissions: Emissions) -> Tensor:
        """log p(word | audio) before division by the lexicon's sum, (B, W) float64."""
        log_probs = emissions.log_probs.double().cpu()
        lengths = emissions.lengths.tolist()
        rows = [self._words(x[:n]) for x, n in zip(log_probs, lengths, strict=True)]
        return torch.stack(rows) if rows else torch.empty(0, len(self.words)).double()

    def _words(self, log_probs: Tensor) -> Tensor:
        """(W,) log-likelihoods of the words for one utterance's (T, V) log-probabilities."""
        n_frames, n_pronunciations = len(log_probs), len(self.targets)
        if not n_frames:
            return torch.full((len(self.words),), -torch.inf).double()
        losses = ctc_loss(
            log_probs[:, None].expand(-1, n_pronunciations, -1),
            self.targets,
            torch.full((n_pronunciations,), n_frames),
            self.target_lengths,
            blank=BLANK,
            reduction="none",
        )
        scores = torch.cat([-losses, torch.tensor([-torch.inf])])
        return scores[self.table].logsumexp(1)
