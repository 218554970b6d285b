"""Random numbers can be had again, and depend on nothing but what is promised."""

import io
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from src.utils.errors import UserError
from src.utils.seeding import random_state, restore_random_state, seed_everything, step_generator
from tests.conftest import REPOSITORY

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _leave_generators_as_they_were():
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(before[0])
    np.random.set_state(before[1])
    torch.set_rng_state(before[2])


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_the_same_seed_gives_the_same_numbers_everywhere(seed):
    seed_everything(seed)
    first = draw()
    again = draw()
    seed_everything(seed)
    assert draw() == first != again


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_of_too_many_digits_is_refused(seed):
    with pytest.raises(UserError, match=f"seed={seed}: expected a whole number below"):
        seed_everything(seed)


def test_another_seed_gives_other_numbers_everywhere():
    seed_everything(1)
    first = draw()
    seed_everything(2)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


def test_deterministic_refuses_kernels_that_are_not():
    code = (
        "import os, torch; from src.utils.seeding import seed_everything; "
        "seed_everything(0, deterministic=True); "
        "print(torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, "
        "os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["True", "False", ":4096:8"], done.stderr


def test_a_later_run_of_the_process_is_deterministic_only_if_it_says_so():
    """Trials of a sweep follow each other in one process."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        for wanted in (True, False, True):
            seed_everything(0, deterministic=wanted)
            assert torch.are_deterministic_algorithms_enabled() == wanted
    finally:
        torch.use_deterministic_algorithms(before)


def test_a_restored_state_draws_the_same_numbers_again():
    state = random_state()
    first = torch.rand(5)
    assert not torch.equal(torch.rand(5), first)
    restore_random_state(state)
    assert torch.equal(torch.rand(5), first)


def test_a_state_goes_through_a_checkpoint_of_tensors_only():
    file = io.BytesIO()
    torch.save(random_state(), file)
    first = torch.rand(5)
    restore_random_state(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert torch.equal(torch.rand(5), first)


def test_a_step_draws_the_same_whatever_was_drawn_before():
    first = torch.rand(5, generator=step_generator(3, 100, CPU))
    torch.rand(17)
    assert torch.equal(torch.rand(5, generator=step_generator(3, 100, CPU)), first)


def test_each_seed_and_step_has_numbers_of_its_own():
    drawn = {
        float(torch.rand((), generator=step_generator(seed, step, CPU), dtype=torch.float64))
        for seed in range(10)
        for step in range(100)
    }
    assert len(drawn) == 1000


def test_a_step_generator_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    torch.rand(5, generator=step_generator(0, 0, CPU))
    assert torch.equal(torch.get_rng_state(), state)
