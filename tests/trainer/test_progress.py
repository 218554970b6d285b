"""What a window of steps is told to be: speed, waiting, averages."""

import time
from collections.abc import Iterator

import pytest

from src.trainer.progress import Meter, Progress
from src.trainer.reports import StepReport


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def report(loss: float, audio_s: float, **keys) -> StepReport:
    return StepReport(loss=loss, grad_norm=2 * loss, audio_s=audio_s, padded_s=audio_s * 2, **keys)


def test_speed_and_waiting_are_shares_of_the_window(clock):
    def slow() -> Iterator[int]:
        for batch in range(2):
            clock.now += 0.1
            yield batch

    meter = Meter()
    for _ in meter.waiting_for(slow()):
        clock.now += 0.15
        meter.reports.append(report(3.0, audio_s=4.0))
    found = meter.summary()
    assert found["data_wait"] == pytest.approx(0.2 / 0.5)
    assert found["audio_s_per_s"] == pytest.approx(8 / 0.5)
    assert found["steps_per_s"] == pytest.approx(2 / 0.5)
    assert found["padding"] == pytest.approx(0.5)
    assert (found["loss"], found["grad_norm"]) == (3.0, 6.0)


def test_steps_of_an_earlier_sitting_count_for_the_loss_and_not_for_the_speed(clock):
    meter = Meter()
    meter.take_up([report(1.0, audio_s=50.0)])
    meter.reports.append(report(4.0, audio_s=2.0))
    meter.reports.append(report(7.0, audio_s=2.0, skipped="non-finite"))
    clock.now += 2
    found = meter.summary()
    assert found["loss"] == 2.5  # what was undone taught nothing
    assert found["audio_s_per_s"] == 2.0 and found["steps_per_s"] == 1.0


def test_steps_skipped_in_a_row_are_counted_till_one_is_not():
    progress = Progress()
    rows = []
    for skipped in ("non-finite", "out of memory", None, "non-finite"):
        progress.count(StepReport(skipped=skipped))
        rows.append(progress.skipped_in_a_row)
    assert rows == [1, 2, 0, 1]
    assert progress.troubles() == {"n_non_finite": 2, "n_out_of_memory": 1}


def test_the_length_of_an_epoch_is_told_where_it_changes():
    progress = Progress()
    assert progress.fit(100, 50) == "" == progress.fit(100, 50)
    progress.next_batch = 40
    told = progress.fit(50, 50)
    assert progress.next_batch == 20
    assert "had 100 batches and has 50." in told and "an epoch" not in told
    assert "an epoch 50 steps and now 25" in progress.fit(50, 25)
