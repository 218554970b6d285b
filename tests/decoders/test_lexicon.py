"""The prefix tree against a dictionary of prefixes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.decoders.lexicon import PrefixTree
from src.utils.errors import UserError

N_TOKENS = 4
SPELLINGS = st.lists(
    st.lists(st.integers(1, N_TOKENS - 1), min_size=1, max_size=5).map(tuple),
    min_size=1,
    max_size=30,
)


def walk(tree: PrefixTree, spelling: tuple[int, ...]) -> int:
    node = 0
    for token in spelling:
        node = int(tree.children[node, token])
        if node < 0:
            return -1
    return node


@settings(max_examples=80, deadline=None)
@given(spellings=SPELLINGS, data=st.data())
def test_it_knows_every_prefix_and_no_other(spellings, data):
    words = data.draw(st.lists(st.integers(0, 8), min_size=len(spellings), max_size=len(spellings)))
    tree = PrefixTree(spellings, words, N_TOKENS)
    prefixes = {spelling[:n] for spelling in spellings for n in range(len(spelling) + 1)}
    nodes = {prefix: walk(tree, prefix) for prefix in prefixes}
    assert len(tree) == len(prefixes) == len(set(nodes.values()))
    assert (tree.children >= 0).sum() == len(prefixes) - 1
    for prefix, node in nodes.items():
        ends = {w for s, w in zip(spellings, words, strict=True) if s == prefix}
        assert set(tree.ends[node].tolist()) - {-1} == ends
        if prefix:
            assert tree.parents[node] == nodes[prefix[:-1]]


@settings(max_examples=50, deadline=None)
@given(spellings=SPELLINGS, seed=st.integers(0, 2**31))
def test_the_best_word_below_a_node_is_found(spellings, seed):
    scores = torch.randn(len(spellings), generator=torch.Generator().manual_seed(seed))
    tree = PrefixTree(spellings, range(len(spellings)), N_TOKENS)
    best = tree.best_below(scores)
    for spelling in spellings:
        for n in range(len(spelling) + 1):
            below = [i for i, other in enumerate(spellings) if other[:n] == spelling[:n]]
            assert best[walk(tree, spelling[:n])] == scores[below].max()


@pytest.mark.parametrize("spellings", [[], [(1, 2), ()]])
def test_words_without_tokens_are_refused(spellings):
    with pytest.raises(UserError, match="each word at least one token"):
        PrefixTree(spellings, range(len(spellings)), N_TOKENS)
