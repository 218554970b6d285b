"""log.jsonl: what was logged can be read back, whatever ended the run."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from src.logger import JSONL, read_log
from src.utils.errors import UserError
from tests.conftest import REPOSITORY


def events(run_dir) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]


def test_each_call_is_one_line_with_its_step_and_time(tmp_path):
    log = JSONL(tmp_path / "run")
    log.scalars(10, {"train/loss": 1.5, "train/grad_norm": 3})
    log.table(20, "validation/examples", ["id", "wer"], [["a", 0.25], ["b", None]])
    log.text(30, "note", "schön\nzwei Zeilen")
    scalars, table, text = events(tmp_path / "run")
    assert (scalars["train/loss"], scalars["train/grad_norm"]) == (1.5, 3)
    assert (table["columns"], table["rows"]) == (["id", "wer"], [["a", 0.25], ["b", None]])
    assert (text["text"], text["value"]) == ("note", "schön\nzwei Zeilen")
    assert [e["step"] for e in (scalars, table, text)] == [10, 20, 30]
    assert scalars["time"] <= table["time"] <= text["time"]


def test_numbers_of_numpy_and_torch_become_plain_ones(tmp_path):
    log = JSONL(tmp_path)
    log.scalars(1, {"a": np.float32(0.5), "b": torch.tensor(2), "c": np.int64(3), "d": True})
    assert {name: events(tmp_path)[0][name] for name in "abcd"} == {
        "a": 0.5,
        "b": 2,
        "c": 3,
        "d": 1,
    }


def test_numbers_that_json_lacks_stay_readable_by_float(tmp_path):
    values = {"a": float("nan"), "b": float("inf"), "c": -np.float32("inf")}
    JSONL(tmp_path).scalars(1, values)
    line = (tmp_path / "log.jsonl").read_text()
    [event] = [json.loads(line, parse_constant=pytest.fail)]
    assert np.isnan(float(event["a"]))
    assert (float(event["b"]), float(event["c"])) == (np.inf, -np.inf)


def test_a_picture_becomes_a_file_that_the_log_names(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    JSONL(tmp_path).image(12, "validation/spectrogram of ü", rgb)
    [event] = events(tmp_path)
    assert event["image"] == "validation/spectrogram of ü"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / event["path"])), rgb)


def test_a_second_opening_goes_on_where_the_first_stopped(tmp_path):
    for step in (1, 2):
        log = JSONL(tmp_path)
        log.scalars(step, {"train/loss": 1.0})
        log.close()
        log.close()
    assert [e["step"] for e in events(tmp_path)] == [1, 2]


def test_a_half_written_last_line_is_removed_at_the_next_opening(tmp_path):
    JSONL(tmp_path).scalars(1, {"train/loss": 1.0})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "train/lo')
    JSONL(tmp_path).scalars(3, {"train/loss": 0.5})
    assert [e["step"] for e in events(tmp_path)] == [1, 3]


def test_resuming_forgets_the_steps_after_the_checkpoint(tmp_path):
    log = JSONL(tmp_path)
    for step in (1, 2, 3, 4):
        log.scalars(step, {"train/loss": 1 / step})
    log.rewind(2)
    log.scalars(3, {"train/loss": 9.0})
    assert [(e["step"], e["train/loss"]) for e in events(tmp_path)] == [(1, 1.0), (2, 0.5), (3, 9)]


def test_nothing_is_lost_when_the_process_is_killed(tmp_path):
    program = """
import os, signal
from src.logger import JSONL
log = JSONL(os.environ["RUN_DIR"])
for step in range(100):
    log.scalars(step, {"train/loss": 1.0})
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"RUN_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [e["step"] for e in read_log(tmp_path / "log.jsonl")] == list(range(100))


def test_lines_that_are_no_events_are_counted_and_skipped(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n\x00\x00\n[1]\n{"no": 1}\n{"step": "1"}\n{"step": 2}\n{"st')
    assert [e["step"] for e in read_log(path)] == [1, 2]
    assert "skipped 5 lines" in caplog.text


def test_a_missing_log_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"log\.jsonl: could not be read \(No such file"):
        list(read_log(tmp_path / "log.jsonl"))


@contextlib.contextmanager
def no_file_larger_than(n_bytes: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_lines_that_a_full_disk_refuses_are_written_when_there_is_room_again(tmp_path, caplog):
    log = JSONL(tmp_path)
    with no_file_larger_than(1000):
        for step in range(50):
            log.scalars(step, {"train/loss": 1.0})
        steps = [e["step"] for e in events(tmp_path)]  # json.loads would refuse a half line
        assert len(steps) > 10 and steps == list(range(len(steps)))
    log.scalars(50, {"train/loss": 1.0})
    assert [e["step"] for e in events(tmp_path)] == list(range(51))
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert "could not be written (File too large). Its lines are kept" in told[0]
    assert "is written again, nothing is missing" in told[1]


def test_lines_that_find_no_room_till_the_end_are_counted(tmp_path, caplog):
    log = JSONL(tmp_path)
    with no_file_larger_than(0):
        for step in range(3):
            log.scalars(step, {"train/loss": 1.0})
        log.image(3, "a", np.zeros((2, 2, 3), np.uint8))
        log.close()
        log.close()
    assert caplog.messages[-1].endswith("the last 3 lines are lost.")
    assert "A picture is left out: " in caplog.text
    assert events(tmp_path) == []


def test_a_validation_that_is_done_again_is_forgotten_and_what_was_trained_is_not(tmp_path):
    log = JSONL(tmp_path)
    log.scalars(1, {"validation/wer": 0.9})
    log.scalars(2, {"train/loss": 1.0})
    log.scalars(2, {"validation/wer": 0.5})
    log.table(2, "validation/examples", ["id"], [["a"]])
    log.image(2, "validation/spectrogram", np.zeros((2, 2, 3), np.uint8))
    log.scalars(3, {"train/loss": 0.5})
    log.rewind(2, validated=False)
    kept = [{k: v for k, v in e.items() if k != "time"} for e in events(tmp_path)]
    assert kept == [{"step": 1, "validation/wer": 0.9}, {"step": 2, "train/loss": 1.0}]


def test_a_run_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(UserError, match=r"log\.jsonl: could not be written"):
        JSONL(tmp_path / "run")


def test_a_line_of_a_thousand_brackets_is_skipped_like_any_other_damage(tmp_path, caplog):
    (tmp_path / "log.jsonl").write_text("[" * 100_000 + "\n")
    log = JSONL(tmp_path)
    log.rewind(0)
    log.scalars(1, {"train/loss": 1.0})
    log.close()
    assert [event["step"] for event in events(tmp_path)] == [1]
    assert "skipped 1 line, not a whole event each" in caplog.text
