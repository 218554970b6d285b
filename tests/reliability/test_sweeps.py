"""Sweeps of train.py --multirun: killed, continued, with trials that fail."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

import train
from src.sweeps import has_begun, note, read_sweep, read_trial, trial_name
from src.utils.errors import UserError
from tests.reliability.tiny_run import differences, outcome

SHORT = ("trainer.n_epochs=1", "trainer.patience=null")


def folder_of(sweep: Path, override: str) -> Path:
    [folder] = sweep.glob(f"*{override}*")
    return folder


def test_a_killed_sweep_skips_what_is_done_and_resumes_what_is_not(runs, tmp_path):
    sweep, words = tmp_path / "sweep", ("--multirun", *SHORT, "seed=1,2")
    status, _ = runs.run(sweep, *words, killed_behind="*seed-2*/checkpoints/last.pt")
    assert status == -signal.SIGKILL
    one, two = folder_of(sweep, "seed-1"), folder_of(sweep, "seed-2")
    assert {t.folder: t.status for t in read_sweep(sweep)} == {one: "finished", two: "unfinished"}
    done_at = (one / "summary.json").stat().st_mtime_ns

    status, said = runs.run(sweep, *words)
    assert status == 0, said
    assert f"{one}: has finished already" in said and "Resumed from" in said
    assert (one / "summary.json").stat().st_mtime_ns == done_at
    assert (two / "earlier" / "1").is_dir() and not (one / "earlier").exists()
    assert [trial.status for trial in read_sweep(sweep)] == ["finished"] * 2
    assert "steps  minutes  status" in said and (sweep / "sweep.png").is_file()

    status, said = runs.run(tmp_path / "alone", *SHORT, "seed=2")
    assert status == 0, said
    assert differences(outcome(two), outcome(tmp_path / "alone")) == []


def test_a_trial_that_fails_is_recorded_and_the_sweep_goes_on(runs, tmp_path):
    status, said = runs.run(tmp_path, "--multirun", *SHORT, "model.width=0,16")
    assert status == 1
    good, bad = read_sweep(tmp_path)
    assert (good.status, good.overrides["model.width"], good.step) == ("finished", "16", 6)
    assert (bad.status, bad.best) == ("failed", None)
    assert bad.error == "model.width=0: expected a whole number from 1 to 8192."
    assert "0 " in said and f"failed: {bad.error}" in said
    summary = json.loads((good.folder / "summary.json").read_text())
    assert good.best == summary["best"] and good.metric == "loss"
    (good.folder / "checkpoints").rename(good.folder / "elsewhere")  # as keep_top_k=0 leaves it
    assert read_trial(good.folder).metric == "loss"


def test_ctrl_c_ends_the_sweep_and_not_only_the_trial(runs, tmp_path):
    # A trial of hours is not over before the signal comes, however late that is.
    endless = ("trainer.n_epochs=5000", "trainer.patience=null")
    process = runs.start(tmp_path, "--multirun", *endless, "seed=1,2")
    while not list(tmp_path.glob("*/checkpoints/last.pt")):
        time.sleep(0.01)
    os.kill(process, signal.SIGINT)
    status, said = runs.wait(process)
    assert status == 130, said
    assert f"To go on with the sweep: the same command with run_dir={tmp_path}\n" in said
    [trial] = read_sweep(tmp_path)
    assert trial.status == "unfinished" and trial.overrides["seed"] == "1" and trial.step > 0


def test_a_trial_of_an_edited_config_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("model: {width: 3}\nrun_dir: a\n")
    assert has_begun(tmp_path, "model: {width: 3}\nrun_dir: b\n")
    with pytest.raises(UserError, match=r"holds a trial with model.width=3, now model.width=4"):
        has_begun(tmp_path, "model: {width: 4}\nrun_dir: a\n")
    assert not has_begun(tmp_path / "new", "model: {width: 4}\n")


def test_a_finished_trial_stands_for_its_own_config_only(tmp_path):
    """Its folder's name tells the overrides, neither the config's file nor what stood in it."""
    (tmp_path / "config.yaml").write_text("name: convnet\nlr: 1\nrun_dir: a\n")
    (tmp_path / "summary.json").write_text('{"finished": true, "best": 0.25}')
    same, other = "name: convnet\nlr: 1\nrun_dir: b\n", "name: lstm\nlr: 1\nrun_dir: b\n"
    assert train.trial({}, same, tmp_path, ["seed=1"]) == (0, 0.25)
    with pytest.raises(UserError, match="holds a trial with name=convnet, now name=lstm"):
        train.trial({}, other, tmp_path, ["seed=1"])


def test_a_trials_name_is_that_of_its_overrides_in_any_order():
    words = ["model=lstm", "dataset.path=/a/very/long/" + "x" * 60, "optimizer.lr=1e-3"]
    name = trial_name([*words, "run_dir=saved/a"])
    assert name.startswith("model-lstm_optimizer.lr-1e-3_") and len(name) < 80
    assert trial_name([*words[::-1], "run_dir=b", "resume=c"])[-8:] == name[-8:]
    assert trial_name([*words[:-1], "optimizer.lr=1e-4"]) != name
    assert "=" not in trial_name(["+a.b=[1,2]"]) and "/" not in trial_name(["a=b/c"])


def test_a_killed_trial_is_known_by_the_checkpoints_kept(tmp_path):
    kept = tmp_path / "trial" / "checkpoints"
    kept.mkdir(parents=True)
    note(kept.parent, ["seed=1", "run_dir=here"])
    names = ("top_per=0.20000_step=40", "top_per=0.15000_step=20", "top_per=0.1_step=9 (copy)")
    for name in names:
        (kept / f"{name}.pt").write_bytes(b"")
    [trial] = read_sweep(tmp_path)
    assert (trial.status, trial.metric, trial.best, trial.step) == ("unfinished", "per", 0.15, 40)
    assert trial.overrides == {"seed": "1"} and trial.minutes is None


def test_a_folder_without_trials_tells_the_command_that_makes_them(tmp_path):
    with pytest.raises(UserError, match=r"no trial in there\. Name the run_dir of a sweep"):
        read_sweep(tmp_path)
