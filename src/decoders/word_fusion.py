"""Shallow fusion of a language model over words, spelt by a prefix tree."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from src.decoders.beam import States
from src.decoders.beam_search import Chosen, Memo
from src.decoders.emissions import BLANK
from src.decoders.fusion import FORBIDDEN, end_of_sentence, grown_or_not, weighted
from src.decoders.lexicon import ROOT, PrefixTree
from src.decoders.word_list import WordList
from src.language_models import UNK, NGram

LEAST = -1e30  # a number that sums survive


class Ended(NamedTuple):
    """Words that end in nodes of the tree; each tensor's first axis is that of homophones."""

    scores: Tensor  # what they add, −inf where there is none
    log_probs: Tensor  # the language model's natural logs, unweighted
    contexts: Tensor  # after them
    words: Tensor  # their numbers in the lexicon; −1 for one that it lacks


class WordFusion:
    """A language model over words, and a lexicon that spells them: a token stands between words, or
    some tokens begin them.

    A text of words w adds weight · log p(w) + bonus · |w|. Within a word the best word that it
    may become counts in advance, by its probability without context, and is taken back where the
    word ends: the beam then holds what is likely, not what is short. Where other words than the
    lexicon's are allowed, what leaves the tree stays in one node more, beside it.

    Args:
        words: the lexicon.
        model: n-grams of words.
        weight: of the language model's natural logs.
        bonus: natural log, added for each word.

    Of words that are spelt alike the search takes the likeliest after those before it, once and for
    all; what follows is heard when it has ended (see `read_words`).
    """

    def __init__(self, words: WordList, model: NGram, weight: float, bonus: float) -> None:
        self.model, self.boundary = model, words.boundary
        self._tree = tree = words.tree
        self.n_tokens = tree.children.shape[1]
        self.divides = torch.zeros(self.n_tokens, dtype=torch.bool)  # tokens that end a word
        self.divides[list(words.begins) if words.boundary is None else words.boundary] = True
        # ((n nodes + 1) · V,) int32
        self.children = _transitions(tree, words.boundary, self.divides)
        # (H, n nodes + 1), what ends in a node; −1, the last word, is any that the lexicon lacks.
        self.ends = functional.pad(tree.ends, (0, 0, 0, 1), value=-1).T.contiguous()
        # The node of a bare "▁": whoever reads the text sees no word there, so none may end.
        self.bare = ROOT if words.bare is None else int(tree.children[ROOT, words.bare])
        self._own_end = self.ends >= 0
        self._own_end[0] = True
        self._own_end[:, [ROOT, self.bare]] = False
        self.is_open = is_open = words.unknown is not None
        other = model.find(UNK) if is_open else -1
        in_model = functional.pad(words.in_model, (0, 1), value=other)
        self.words = in_model[self.ends].masked_fill_(~self._own_end, -1)  # (H, n nodes + 1)
        self._may_end = (self.words >= 0).any(0)  # (n nodes + 1,)
        self._alone, _ = model.score(torch.zeros_like(in_model), in_model)
        self._own = functional.pad(
            words.boosts, (0, 1), value=words.unknown if is_open else FORBIDDEN
        )
        self._shares = functional.pad(words.shares, (0, 1))
        self._numbers, self._logs = self.ends, self._shares  # the same where decoding goes on
        self.reweigh(weight, bonus)

    def reweigh(self, weight: float, bonus: float) -> None:
        """Take other weights: what is promised within words is reckoned anew."""
        self.weight = weight
        boosts = self._own + bonus + weight * self._shares
        alone = weighted(weight, self._alone) + boosts
        # Any word may yet turn out to be one that the lexicon lacks.
        promises = self._tree.best_below(alone[:-1]).clamp_(min=alone[-1])
        promises = torch.cat([promises, alone[-1:]])
        self.promises = promises - promises[ROOT]  # (n nodes + 1,), beside the root's
        self.boosts = boosts[self.ends].masked_fill_(~self._own_end, FORBIDDEN)

    def start(self, shape: tuple[int, int], device: torch.device) -> States:
        """See `Fusion`: node in the tree, what it promises, and the language model's context."""
        self.model = self.model.to(device)
        self.children, self.promises = self.children.to(device), self.promises.to(device)
        self.words, self.boosts = self.words.to(device), self.boosts.to(device)
        self.divides = self.divides.to(device)
        self._numbers, self._logs = self._numbers.to(device), self._logs.to(device)
        root = torch.full(shape, ROOT, device=device)
        return root, torch.zeros(shape, device=device), torch.full_like(root, self.model.start())

    def grow(self, states: States, rows: Tensor, tokens: Tensor) -> tuple[Tensor, Memo]:
        """See `Fusion`; the memo is each node and promise then, (N, W), and the context after the
        word that ends now, (B, W)."""
        nodes, promised, contexts = states
        after = nodes.index_select(0, rows).mul_(self.n_tokens).add_(tokens[:, None])
        after = self.children.take(after).long()
        promises = self.promises.take(after)
        scores = promises - promised.index_select(0, rows)
        divides = self.divides.take(tokens)  # (N,)
        if divides.device.type != "cpu":  # to ask would be to wait
            word_scores, ended = self._end_words(nodes, contexts)
            word_scores = word_scores.index_select(0, rows).masked_fill(~divides[:, None], 0.0)
            return scores + word_scores, (after, promises, ended)
        ends = divides.nonzero().squeeze(1)
        if len(ends):
            ending, place = rows.take(ends).unique(return_inverse=True)  # utterances
            word_scores, ended = self._end_words(
                nodes.index_select(0, ending), contexts.index_select(0, ending)
            )
            scores.index_add_(0, ends, word_scores.index_select(0, place))
            contexts = contexts.index_copy(0, ending, ended)
        return scores, (after, promises, contexts)

    def follow(self, states: States, memo: Memo, chosen: Chosen) -> States:
        """See `Fusion`."""
        nodes, promised, contexts = states
        after, promises, ended = memo
        # What could not go on has no probability; its node and its promise only have to exist.
        after = grown_or_not(nodes, after, chosen).clamp_(max=self.words.shape[1] - 1)
        promises = grown_or_not(promised, promises, chosen).clamp_(min=LEAST)
        contexts, ended = (x.gather(1, chosen.origin) for x in (contexts, ended))
        return after, promises, torch.where(self.divides.take(chosen.token), ended, contexts)

    def finish(self, states: States) -> Tensor:
        """See `Fusion`: a last word need not be followed by the boundary."""
        nodes, promised, contexts = states
        scores, after = _if_begun(nodes, contexts, *self._end_word(nodes, contexts))
        return scores - promised + weighted(self.weight, end_of_sentence(self.model, after))

    def ending(self, nodes: Tensor, contexts: Tensor) -> Ended:
        """All words that may end in `nodes` after `contexts`."""
        words, boosts, numbers = (_at(nodes, x) for x in (self.words, self.boosts, self._numbers))
        logs, after = self.model.score(contexts.expand_as(words), words)
        scores = weighted(self.weight, logs) + boosts
        return Ended(scores, logs + self._logs[numbers], after, numbers)

    def _end_word(self, nodes: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the likeliest word that ends in each of `nodes`, −inf where none does, and
        contexts then."""
        words, boosts = _at(nodes, self.words), _at(nodes, self.boosts)
        scores, after = self.model.score(contexts.expand_as(words), words)
        scores = weighted(self.weight, scores) + boosts
        if len(scores) == 1:
            return scores[0], after[0]
        scores, best = scores.max(0)
        return scores, after.gather(0, best[None])[0]

    def _end_words(self, nodes: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """The same where a token divides words, which the first that begins one need not."""
        of = self._end_some_words if nodes.device.type == "cpu" else self._end_word
        ended = of(nodes, contexts)
        return ended if self.boundary is not None else _if_begun(nodes, contexts, *ended)

    def _end_some_words(self, nodes: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """The same, where most nodes end none: only the others are looked up."""
        ends = self._may_end.take(nodes).flatten().nonzero().squeeze(1)
        scores, after = self._end_word(nodes.take(ends), contexts.take(ends))
        all_scores = torch.full(nodes.shape, FORBIDDEN)
        all_scores.view(-1).index_copy_(0, ends, scores)
        return all_scores, contexts.flatten().index_copy(0, ends, after).view(contexts.shape)


def _at(nodes: Tensor, table: Tensor) -> Tensor:
    """What a table (H, n nodes) holds of `nodes`; one axis more in front, of homophones."""
    return table.index_select(1, nodes.flatten()).view(len(table), *nodes.shape)


def _if_begun(
    nodes: Tensor, contexts: Tensor, scores: Tensor, after: Tensor
) -> tuple[Tensor, Tensor]:
    """Scores of the words that end in `nodes`, and contexts `after` them; where no word has begun
    nothing ends: 0, and the context as it was."""
    between = nodes == ROOT
    return scores.masked_fill(between, 0.0), torch.where(between, contexts, after)


def _transitions(tree: PrefixTree, boundary: int | None, divides: Tensor) -> Tensor:
    """The node after each node and token: with the blank the same, where words divide as from the
    root, and one more node where no word goes on, which only the end of the word leaves."""
    n_nodes = len(tree)
    children = torch.full((n_nodes + 1, tree.children.shape[1]), n_nodes, dtype=torch.int32)
    children[:-1] = torch.where(tree.children >= 0, tree.children, n_nodes)
    children[:-1, BLANK] = torch.arange(n_nodes)
    if boundary is not None:
        children[ROOT, boundary] = ROOT
    children[:, divides] = children[ROOT, divides]
    return children.flatten()
