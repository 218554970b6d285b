import inspect
import itertools
import math

import pytest
import torch

from src.trainer import Constant, Cyclic, Exponential, Noam, OneCycle, WarmupCosine
from src.trainer.schedules import set_learning_rate
from src.utils.errors import UserError


def optimizer(lr: float = 1.0) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


@pytest.mark.parametrize("shape", ["cos", "linear"])
@pytest.mark.parametrize("total", [10, 97])
def test_one_cycle_gives_the_rates_of_torch(shape, total):
    peer = optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        peer,
        max_lr=0.3,
        total_steps=total,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e3,
        anneal_strategy=shape,
        cycle_momentum=False,
    )
    schedule = OneCycle(rise_share=0.3, div_factor=25, final_div_factor=1e3, shape=shape)
    for step in range(total):
        assert 0.3 * schedule(step, total) == pytest.approx(peer.param_groups[0]["lr"], rel=1e-9)
        peer.step()
        if step < total - 1:
            scheduler.step()


def test_warmup_cosine_rises_to_the_peak_and_falls_to_its_floor():
    schedule = WarmupCosine(warmup_steps=4, final_factor=0.1)
    rises = [schedule(step, 105) for step in range(5)]
    assert rises == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule(54, 105) == pytest.approx(0.1 + 0.9 * 0.5)  # half way: cosine at one half
    assert schedule(104, 105) == pytest.approx(0.1)  # the last of 105 steps


def test_noam_follows_the_formula_of_its_paper():
    width, warmup = 512, 100

    def paper(n: int) -> float:
        return width**-0.5 * min(n**-0.5, n * warmup**-1.5)

    peak = paper(warmup)
    schedule = Noam(warmup_steps=warmup)
    for step in (0, 9, 99, 100, 5000):
        assert schedule(step, 10**6) == pytest.approx(paper(step + 1) / peak)


def test_exponential_decays_by_the_same_factor_each_step_down_to_its_floor():
    schedule = Exponential(warmup_steps=2, final_factor=0.01)
    rates = [schedule(step, 50) for step in range(50)]
    ratios = [later / earlier for earlier, later in itertools.pairwise(rates[2:])]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert rates[-1] == pytest.approx(0.01)


def test_constant_is_constant_after_its_warmup():
    assert [Constant(2)(step, 9) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


ALL = [Constant(3), OneCycle(), OneCycle(0.2), WarmupCosine(3), Noam(3), Exponential(3)]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("total", [1, 2, 3, 5, 10, 40])
def test_every_schedule_stays_between_nothing_and_its_peak(schedule, total):
    for step in range(total):
        factor = schedule(step, total)
        assert math.isfinite(factor) and 0 < factor <= 1 + 1e-12


def test_groups_keep_their_own_peaks():
    weight, bias = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    two = torch.optim.SGD([{"params": [weight], "lr": 1.0}, {"params": [bias], "lr": 0.1}], lr=1.0)
    for factor in (0.5, 0.25):
        assert set_learning_rate(two, factor) == factor
    assert [group["lr"] for group in two.param_groups] == [0.25, pytest.approx(0.025)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: OneCycle(shape="sine"),
        lambda: OneCycle(rise_share=0.0),
        lambda: OneCycle(div_factor=0.0),
        lambda: OneCycle(final_div_factor=-1.0),
        lambda: Exponential(final_factor=0.0),
        lambda: Exponential(warmup_steps=-1),
        lambda: WarmupCosine(warmup_steps=-1),
        lambda: Noam(warmup_steps=-1),
        lambda: Constant(warmup_steps=-1),
    ],
)
def test_a_schedule_names_the_value_that_it_cannot_use(wrong):
    with pytest.raises(UserError, match=r"schedule: .*expected"):
        wrong()


NUMBERS = [
    (type(schedule), parameter.name)
    for schedule in (*ALL, Cyclic())
    for parameter in inspect.signature(type(schedule)).parameters.values()
    if parameter.annotation is float
]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(("schedule", "key"), dict.fromkeys(NUMBERS))
def test_every_number_of_a_schedule_is_positive_and_finite(schedule, key, value):
    others = {"warmup_steps": 3} if schedule is WarmupCosine else {}
    with pytest.raises(UserError, match=rf"schedule: .*{key}={value}.*expected"):
        schedule(**others, **{key: value})


def test_a_cosine_may_end_at_nothing():
    assert WarmupCosine(warmup_steps=0, final_factor=0.0)(9, 10) == pytest.approx(0.0)


@pytest.mark.parametrize(("decay", "mode"), [(1.0, "triangular"), (0.5, "triangular2")])
def test_cyclic_gives_the_rates_of_torch(decay, mode):
    peer = optimizer()
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        peer, base_lr=0.03, max_lr=0.3, step_size_up=10, mode=mode, cycle_momentum=False
    )
    schedule = Cyclic(n_cycles=3, low_factor=0.1, decay=decay)
    for step in range(60):
        assert 0.3 * schedule(step, 60) == pytest.approx(peer.param_groups[0]["lr"], rel=1e-9)
        peer.step()
        scheduler.step()


@pytest.mark.parametrize("keys", [{"n_cycles": 0}, {"low_factor": 0.0}, {"decay": 1.5}])
def test_a_cycle_that_is_none_is_refused(keys):
    with pytest.raises(UserError, match="schedule: n_cycles="):
        Cyclic(**keys)
