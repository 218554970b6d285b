"""A stream says what the whole says, however it is cut."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.models import Causal
from tests.models.zoo import stir, utterances

N_FRAMES = 60


def causal(kind: str = "gru", **keys) -> Causal:
    torch.manual_seed(0)
    keys = {"n_rnn_layers": 2, "n_channels": 3, "width": 6} | keys
    return stir(Causal(20, 7, kind, **keys)).double().eval()


def streamed(model: Causal, features: torch.Tensor, cuts: list[int]) -> list[torch.Tensor]:
    """Log-probabilities of each piece of features (B, T, F), cut before the frames `cuts`."""
    bounds, state, said = [0, *cuts, features.shape[1]], None, []
    for start, stop in pairwise(bounds):
        emissions, state = model.stream(features[:, start:stop], state)
        assert emissions.lengths.tolist() == [emissions.log_probs.shape[1]] * len(features)
        said.append(emissions.log_probs)
    return said


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["gru", "lstm", "rnn"]),
    n_frames=st.integers(1, N_FRAMES),
    cuts=st.lists(st.integers(0, N_FRAMES), max_size=12).map(sorted),
)
def test_every_way_of_chunking_gives_the_emissions_of_the_whole(kind, n_frames, cuts):
    model, features = causal(kind), torch.stack(utterances(n_frames, n_frames, n_features=20))
    features = features.double()
    with torch.no_grad():
        whole = model(features, torch.tensor([n_frames, n_frames]))
    pieces = streamed(model, features, [min(cut, n_frames) for cut in cuts])
    # In float64, where log-softmax alone rounds to float32.
    torch.testing.assert_close(torch.cat(pieces, 1), whole.log_probs, rtol=0, atol=2e-6)
    assert torch.equal(torch.cat(pieces, 1).argmax(-1), whole.log_probs.argmax(-1))


def test_frame_by_frame_each_emission_comes_as_soon_as_its_last_frame_is_heard():
    model, features = causal(), torch.stack(utterances(13, n_features=20)).double()
    pieces = streamed(model, features, list(range(1, 13)))
    assert [piece.shape[1] for piece in pieces] == [1, 0, 0, 0] * 3 + [1]


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_an_emission_hears_no_frame_to_come(frame):
    model, features = causal(), torch.stack(utterances(40, n_features=20)).double()
    features.requires_grad_()
    emissions = model(features, torch.tensor([40]))
    (gradient,) = torch.autograd.grad(emissions.log_probs[0, frame, 1], features)
    assert gradient[0, 4 * frame].any()
    assert not gradient[0, 4 * frame + 1 :].any()


def test_streams_side_by_side_do_not_hear_each_other():
    model, (a, b) = causal(), utterances(17, 17, n_features=20)
    together = streamed(model, torch.stack([a, b]).double(), [5, 6, 12])
    alone = streamed(model, b[None].double(), [5, 6, 12])
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1:], one)
