"""The curves of a log."""

import numpy as np
import pytest

from src.logger import JSONL, training_curves
from src.utils.errors import UserError


def test_losses_rates_and_learning_rate_get_a_panel_each(tmp_path):
    log = JSONL(tmp_path)
    widths = []
    for values in (
        {"train/loss": 2.0},
        {"validation/wer": 0.5, "validation/per_beam": 0.1},
        {"train/learning_rate": 1e-3},
    ):
        for step in (1, 2, 3):
            log.scalars(step, values)
        widths.append(training_curves(tmp_path / "log.jsonl").shape[1])
    assert widths[1] == pytest.approx(2 * widths[0], abs=2)
    assert widths[2] == pytest.approx(3 * widths[0], abs=2)


def test_non_finite_losses_and_other_events_do_not_disturb(tmp_path):
    log = JSONL(tmp_path)
    log.scalars(1, {"train/loss": float("nan")})
    log.scalars(2, {"train/loss": 1.0})
    log.table(2, "validation/examples", ["id"], [["a"]])
    log.text(2, "validation/note", "x")
    picture = training_curves(tmp_path / "log.jsonl")
    assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_an_empty_log_is_a_picture_that_says_so(tmp_path):
    JSONL(tmp_path).close()
    assert training_curves(tmp_path / "log.jsonl").min() < 255  # something is written


def test_a_missing_log_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="A training run writes it"):
        training_curves(tmp_path / "log.jsonl")
