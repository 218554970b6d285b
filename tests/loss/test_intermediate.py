"""A loss of layers in between beside that of the last, against each layer's own."""

import pytest
import torch

from src.batch import DeepEmissions, Emissions
from src.loss import CTC, Consistent, Intermediate
from tests.loss.test_ctc import emissions_of, padded

LENGTHS, TARGETS = (
    (6, 3, 4),
    [(1, 2), (1, 1, 2), (2,)],
)  # the second is too short: 3 tokens, 3 frames


def layers(*seeds: int) -> tuple[DeepEmissions, list[Emissions]]:
    """The last layer's emissions with those of the others; and each by itself."""
    last, *others = found = [emissions_of(*LENGTHS, seed=seed) for seed in seeds]
    return DeepEmissions(*last, tuple(other.log_probs for other in others)), found


def test_layers_in_between_add_the_mean_of_their_losses():
    deep, (last, *others) = layers(0, 1, 2)
    found = Intermediate(CTC())(deep, *padded(TARGETS))
    alone = CTC()(last, *padded(TARGETS))
    totals = [CTC()(other, *padded(TARGETS)).total.item() for other in others]
    assert found.intermediate.item() == pytest.approx(sum(totals) / 2)
    assert torch.equal(found.total, alone.total)
    assert found.n_tokens == alone.n_tokens
    assert found.impossible.tolist() == [False, True, False]


def test_a_model_of_one_reading_has_the_plain_loss():
    emissions = emissions_of(*LENGTHS)
    found = Intermediate(CTC())(emissions, *padded(TARGETS))
    assert found.intermediate is None
    assert torch.equal(found.total, CTC()(emissions, *padded(TARGETS)).total)


def test_two_views_have_the_mean_of_their_layers():
    views = [layers(0, 1), layers(2, 3)]
    parts = zip(*(deep for deep, _ in views), strict=True)
    log_probs, lengths, between = parts
    joined = DeepEmissions(
        torch.cat(log_probs), torch.cat(lengths), (torch.cat([x for (x,) in between]),)
    )
    found = Consistent(Intermediate(CTC()))(joined, *padded(TARGETS))
    each = [Intermediate(CTC())(deep, *padded(TARGETS)) for deep, _ in views]
    assert found.intermediate.item() == pytest.approx(
        sum(loss.intermediate.item() for loss in each) / 2
    )
    lasts = [of_layers[0] for _, of_layers in views]
    doubled = Emissions(torch.cat([x.log_probs for x in lasts]), joined.lengths)
    plain = Consistent(CTC())(doubled, *padded(TARGETS))
    assert torch.equal(found.consistency, plain.consistency)
    assert torch.equal(found.total, plain.total)
