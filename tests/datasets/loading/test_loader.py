"""Batches from real workers: padding, order, and errors in their own words."""

import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from src.batch import Utterance
from src.datasets import Batches, collate, make_loader
from src.utils.errors import UserError


class Counting(Dataset):
    """Utterance i has i + 1 samples of value i / 32768 and the tokens 1 … i; some are damaged."""

    durations_s = np.arange(1, 9, dtype=np.float32)
    ids = tuple(f"u{i}" for i in range(8))

    def __init__(self, *damaged: int, bug: int = -1) -> None:
        self.damaged = damaged
        self.bug = bug

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Utterance:
        if index in self.damaged:
            raise UserError(f"/corpus/{index}.flac: is cut short; copy it again.")
        if index == self.bug:
            raise KeyError("a bug of ours")
        return Utterance(
            id=f"u{index}",
            waveform=np.full(index + 1, index / 32768, np.float32),
            transcript=f"word {index}",
            target=f"target {index}",
            tokens=tuple(range(1, index + 1)),
        )


def loader(dataset, *, shuffle=False, seed=0, **reading):
    batches = Batches(dataset.durations_s, 3, shuffle=shuffle, seed=seed)
    return make_loader(dataset, batches, **reading)


def test_collate_pads_with_zeros_at_the_end_and_keeps_all_fields():
    batch = collate([Counting()[2], Counting()[1]])
    assert batch.ids == ["u2", "u1"]
    assert batch.waveforms.tolist() == [[2, 2, 2], [1, 1, 0]]
    assert batch.waveform_lengths.tolist() == [3, 2]
    assert batch.tokens.tolist() == [[1, 2], [1, 0]]
    assert batch.token_lengths.tolist() == [2, 1]
    assert batch.transcripts == ["word 2", "word 1"]
    assert batch.targets == ["target 2", "target 1"]
    dtypes = [batch.waveforms.dtype, batch.tokens.dtype, batch.waveform_lengths.dtype]
    assert dtypes == [torch.int16, torch.int64, torch.int64]


def test_utterances_without_tokens_can_be_collated():
    batch = collate([Utterance("a", np.zeros(4, np.float32))])
    assert batch.tokens.shape == (1, 0)
    assert batch.token_lengths.tolist() == [0]


def test_workers_bring_the_same_batches_in_the_same_order_as_none():
    alone = [b.ids for b in loader(Counting(), n_workers=0, shuffle=True)]
    helped = [b.ids for b in loader(Counting(), n_workers=2, shuffle=True)]
    assert alone == helped
    assert {name for ids in alone for name in ids} == {f"u{i}" for i in range(8)}


def test_persistent_workers_follow_the_position_from_epoch_to_epoch():
    reading = loader(Counting(), n_workers=1, shuffle=True, seed=4)
    for epoch, start in ((0, 0), (1, 1), (0, 2)):
        reading.batch_sampler.set_position(epoch, start)
        expected = Batches(Counting.durations_s, 3, shuffle=True, seed=4)
        expected.set_position(epoch, start)
        assert [b.ids for b in reading] == [[f"u{i}" for i in batch] for batch in expected]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_worker_s_complaint_arrives_in_its_own_words(n_workers):
    reading = iter(loader(Counting(4), n_workers=n_workers, unreadable="stop"))
    assert next(reading).ids == ["u0", "u1", "u2"]
    with pytest.raises(UserError) as error:
        next(reading)
    assert str(error.value) == "/corpus/4.flac: is cut short; copy it again."


@pytest.mark.parametrize("n_workers", [0, 2])
def test_what_can_t_be_read_may_be_noted_and_left_out(n_workers):
    left_out = {"u8": "noted before"}
    batches = Batches(Counting.durations_s, 3, shuffle=False)
    damaged = Counting(1, 3, 4, 5)  # one of a batch, a whole batch
    reading = make_loader(damaged, batches, n_workers=n_workers, left_out=left_out)
    assert [batch.ids for batch in reading] == [["u0", "u2"], [], ["u6", "u7"]]
    assert list(left_out) == ["u8", "u1", "u3", "u4", "u5"]
    assert left_out["u3"] == "/corpus/3.flac: is cut short; copy it again."


@pytest.mark.parametrize(("key", "value"), [("n_workers", -1), ("prefetch", 0)])
def test_a_loader_without_sense_is_refused(key, value):
    batches = Batches(Counting.durations_s, 3, shuffle=False)
    with pytest.raises(UserError, match=f"{key}={value}; expected a number from {value + 1} up"):
        make_loader(Counting(), batches, **{key: value})


def test_a_bug_in_a_worker_keeps_its_traceback():
    with pytest.raises(KeyError, match="Traceback") as error:
        list(loader(Counting(bug=7), n_workers=1))
    traceback.clear_frames(error.tb)  # ends the worker now, not when garbage is collected


def test_workers_end_with_the_last_reference_after_a_complaint_too():
    before = set(multiprocessing.active_children())
    gc.disable()  # torch waits five seconds for each worker that garbage collection must end
    with contextlib.suppress(UserError):
        list(loader(Counting(4), n_workers=2, unreadable="stop"))
    # The thread that watches for hanging workers may hold the last reference, for a moment.
    for _ in range(100):
        left = set(multiprocessing.active_children()) - before
        if not left:
            break
        time.sleep(0.1)
    gc.enable()
    assert not left


def test_starting_a_pass_leaves_the_global_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(loader(Counting(), n_workers=1))
    torch.testing.assert_close(torch.rand(3), expected)


class Whoami(Counting):
    """Tells the number of threads and the process that reads."""

    def __getitem__(self, index: int) -> Utterance:
        facts = (torch.get_num_threads(), os.getpid())
        return Utterance(f"u{index}", np.zeros(1, np.float32), tokens=facts)


def test_each_worker_computes_in_one_thread():
    for batch in loader(Whoami(), n_workers=2):
        assert batch.tokens[:, 0].tolist() == [1] * len(batch)


def test_workers_read_on_when_the_whole_job_is_told_to_stop():
    batches = Batches(Counting.durations_s, 1, shuffle=False)
    reading = iter(make_loader(Whoami(), batches, n_workers=2, prefetch=1))
    first = [next(reading) for _ in range(2)]
    workers = {int(batch.tokens[0, 1]) for batch in first}
    assert len(workers - {os.getpid()}) == 2
    for worker in workers:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(worker, number)
    assert [batch.ids for batch in reading] == [[f"u{i}"] for i in range(2, 8)]


def test_a_process_that_fails_while_workers_read_ends_at_once():
    code = (
        "import numpy as np\n"
        "from tests.datasets.loading.test_loader import Counting, loader\n"
        "def fail():\n"
        "    batches = loader(Counting(), n_workers=2)\n"
        "    for batch in batches:\n"
        "        raise ValueError('no front end')\n"
        "fail()\n"
    )
    root = Path(__file__).resolve().parents[3]
    # Hangs for ever, rather than failing, if workers are left behind.
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1 and "no front end" in run.stderr


def test_pinned_batches_are_batches():
    if not torch.cuda.is_available():
        pytest.skip("page-locked memory needs CUDA")
    batches = Batches(Counting.durations_s, 3, shuffle=False)
    for batch in make_loader(Counting(), batches, n_workers=1, pin_memory=True):
        assert batch.waveforms.is_pinned()
