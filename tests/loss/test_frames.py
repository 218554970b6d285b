"""Frame-wise cross-entropy, label by label."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.loss import FrameCrossEntropy


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 25)), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_each_label_is_compared_with_the_frame_at_its_time(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    n_frames, n_labels = (max(column) for column in zip(*sizes, strict=True))
    log_probs = torch.randn(len(sizes), n_frames, 4, generator=generator).log_softmax(-1)
    tokens = torch.randint(-1, 4, (len(sizes), n_labels), generator=generator)
    expected, judged, impossible = [], 0, []
    for row, (n, s) in enumerate(sizes):
        impossible.append(n == 0 and s > 0)
        total = 0.0
        for label in range(s if n else 0):
            token = int(tokens[row, label])
            if token >= 0:
                total -= float(log_probs[row, int((label + 0.5) / s * n), token])
                judged += 1
        expected.append(total)
    lengths, token_lengths = torch.tensor(sizes).T
    log_probs[torch.arange(n_frames)[None] >= lengths[:, None]] = float("nan")
    found = FrameCrossEntropy()(Emissions(log_probs, lengths), tokens, token_lengths)
    assert found.per_utterance.tolist() == pytest.approx(expected, abs=1e-4)
    assert float(found.total) == pytest.approx(sum(expected), abs=1e-3)
    assert int(found.n_tokens) == judged and found.impossible.tolist() == impossible


def test_gradients_reach_judged_frames_only():
    log_probs = torch.zeros(1, 3, 2).requires_grad_()
    labels = torch.tensor([[1, 1, -1, -1, 0, 0]])
    found = FrameCrossEntropy()(Emissions(log_probs, torch.tensor([3])), labels, torch.tensor([6]))
    found.total.backward()
    assert log_probs.grad[0].tolist() == [[0.0, -2.0], [0.0, 0.0], [-2.0, 0.0]]
