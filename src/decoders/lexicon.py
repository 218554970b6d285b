"""A closed list of words as a prefix tree in tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from src.utils.errors import UserError

ROOT = 0
NOTHING = -1


class PrefixTree:
    """Which token may follow within a word, and which word ends where.

    Args:
        spellings: token indices of each entry; several entries may be the same word.
        words: (n,) the word that each entry spells, a number of the caller's; −1 where it spells
            none, but is to have a node.
        n_tokens: size of the vocabulary, blank included.

    Attributes:
        children: (n nodes, n_tokens) int64, −1 where no word goes on so; node 0 is the root.
        ends: (n nodes, H) int64, words that end here, −1 where there are fewer than H.
        parents: (n nodes,) int64; a node's number is higher than its parent's.

    Raises:
        UserError: an empty list, or a word without a token.
    """

    def __init__(
        self, spellings: Sequence[tuple[int, ...]], words: Sequence[int], n_tokens: int
    ) -> None:
        lengths = np.array([len(spelling) for spelling in spellings], dtype=np.int64)
        if not len(lengths) or not lengths.min():
            raise UserError("A lexicon needs words, and each word at least one token.")
        flat = np.array([token for spelling in spellings for token in spelling], dtype=np.int64)
        firsts = np.cumsum(lengths) - lengths
        nodes = np.zeros(len(lengths), np.int64)  # that each entry has come to
        n_nodes, edges = 1, []
        for depth in range(int(lengths.max())):
            goes_on = np.flatnonzero(lengths > depth)
            keys = nodes[goes_on] * n_tokens + flat[firsts[goes_on] + depth]
            keys, rows = np.unique(keys, return_inverse=True)
            nodes[goes_on] = n_nodes + rows
            edges.append(keys)
            n_nodes += len(keys)
        keys = np.concatenate(edges)
        children = np.full(n_nodes * n_tokens, NOTHING)
        children[keys] = np.arange(1, n_nodes)
        self.children = torch.from_numpy(children.reshape(n_nodes, n_tokens))
        self.parents = torch.from_numpy(np.concatenate([[NOTHING], keys // n_tokens]))
        self.ends = torch.from_numpy(_ends(nodes, np.asarray(words), n_nodes))

    def __len__(self) -> int:
        return len(self.parents)

    def best_below(self, scores: Tensor) -> Tensor:
        """(n nodes,) the best of `scores` (n words,) among the words that pass through a node."""
        ends = self.ends.to(scores.device)
        best = torch.where(ends >= 0, scores[ends.clamp(min=0)], -torch.inf).amax(1).numpy()
        parents = self.parents.numpy()
        # Numbers grow with depth, so a run of equal depth is a run of nodes; from the last up.
        for start, stop in reversed(self._levels()):
            np.maximum.at(best, parents[start:stop], best[start:stop])
        return torch.from_numpy(best)

    def _levels(self) -> list[tuple[int, int]]:
        """First node and the one after the last of each depth, from depth 1."""
        levels, start = [], 1
        parents = self.parents.numpy()
        while start < len(parents):
            # The next depth begins with the first node whose parent is of this depth.
            stop = start + int(np.searchsorted(parents[start:], start))
            levels.append((start, stop))
            start = stop
        return levels


def _ends(nodes: np.ndarray, words: np.ndarray, n_nodes: int) -> np.ndarray:
    """Words by the node that they end in, (n nodes, H), −1 where there is none."""
    pairs = np.unique(np.stack([nodes, words]), axis=1)  # sorted by node
    nodes, words = pairs
    place = np.arange(len(nodes)) - np.searchsorted(nodes, nodes)
    ends = np.full((n_nodes, int(place.max()) + 1), NOTHING)
    ends[nodes, place] = words
    return ends
