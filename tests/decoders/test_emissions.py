"""What every decoder refuses, and with which words."""

import pytest
import torch

from src.batch import Emissions
from src.decoders import Greedy, IsolatedWord, PrefixBeam
from src.text import Vocabulary
from src.utils.errors import UserError
from tests.decoders.brute_force import random_emissions

VOCABULARY = Vocabulary(("_", *"abc"))
DECODERS = [
    Greedy(VOCABULARY),
    PrefixBeam(VOCABULARY),
    IsolatedWord({"cab": ("cab",)}, VOCABULARY),
]

pytestmark = pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: type(d).__name__)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_broken_values_are_located_by_utterance_and_frame(decoder, value):
    emissions = random_emissions(0, [5, 6], n_tokens=4)
    emissions.log_probs[1, 4, 2] = value
    with pytest.raises(UserError, match=r"Utterance 1 of the batch, frame 4: .*checkpoint"):
        decoder(emissions)


def test_a_frame_without_any_probability_is_refused(decoder):
    emissions = random_emissions(0, [5], n_tokens=4)
    emissions.log_probs[0, 2] = -torch.inf
    with pytest.raises(UserError, match=r"Utterance 0 .* frame 2: .* -inf"):
        decoder(emissions)


def test_probabilities_instead_of_their_logarithms_are_refused(decoder):
    emissions = random_emissions(0, [5], n_tokens=4)
    with pytest.raises(UserError, match="no log-probabilities"):
        decoder(Emissions(emissions.log_probs.exp(), emissions.lengths))


def test_another_vocabulary_size_is_named(decoder):
    with pytest.raises(UserError, match=r"emits 7 tokens .* vocabulary has 4"):
        decoder(random_emissions(0, [5], n_tokens=7))


@pytest.mark.parametrize("length", [-1, 6])
def test_lengths_beyond_the_frames_are_refused(decoder, length):
    emissions = random_emissions(0, [5], n_tokens=4)
    with pytest.raises(UserError, match="do not fit into 5 frames"):
        decoder(Emissions(emissions.log_probs, torch.tensor([length])))
