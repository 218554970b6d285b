"""A disk that is full or read-only: said in a sentence, and what was on it stays whole."""

import logging
import subprocess

import pytest

from src.logger import standard_loggers
from src.trainer import load_checkpoint
from src.utils.errors import UserError
from tests.reliability.tiny_run import differences, outcome
from tests.trainer.conftest import make_trainer


def test_a_full_disk_keeps_the_checkpoint_and_the_run_resumes_exactly_with_more_room(
    runs, undisturbed, disk, tmp_path
):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    # Room for four checkpoints of 126 kB; best.pt, one of the top k, last.pt and previous.pt.
    (run_dir / "checkpoints").symlink_to(disk("-o", "size=560k"))
    status, said = runs.run(run_dir)
    last = said.splitlines()[-1]
    assert status == 1 and last.startswith("error: "), said
    assert "last.pt: could not be written (No space left on device)" in last
    assert "was not saved, attempt 1 of 3" in said
    kept = load_checkpoint(run_dir / "checkpoints/last.pt")
    assert kept["step"] > 1
    disk("-o", "remount,size=9m")
    status, said = runs.run(run_dir, resume=True)
    assert status == 0 and f"at step {kept['step']} of " in said, said
    assert differences(undisturbed, outcome(run_dir)) == []


def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(runs, tmp_path):
    # Without workers, since the limit holds for the shared memory of their batches too.
    status, said = runs.run(tmp_path / "run", "loader.n_workers=0", largest_file=100_000)
    assert status == 1
    assert "last.pt: could not be written (File too large)" in said.splitlines()[-1]
    assert not list((tmp_path / "run/checkpoints").iterdir())


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path, caplog):
    run_dir, obstacle = tmp_path / "run", tmp_path / "run/checkpoints"
    run_dir.mkdir()

    def schedule(step: int, total: int) -> float:
        if step == 0:
            obstacle.write_text("in the way")
        if step == 4:  # validated at step 3, where two saves failed
            obstacle.unlink()
        return 1.0

    log = standard_loggers(run_dir)
    trainer = make_trainer(run_dir, n_epochs=2, schedule=schedule, log=log)
    with caplog.at_level(logging.WARNING):
        assert trainer.train() == 0
    assert caplog.text.count("step 3 was not saved, attempt 1 of 3, and training goes on") == 2
    assert load_checkpoint(obstacle / "last.pt")["step"] == 6
    best = load_checkpoint(obstacle / "best.pt")["step"]
    assert best == trainer.progress.best_step == 6  # what could not be kept is not called best


def test_a_disk_that_stays_full_ends_the_run_at_the_third_step_that_is_not_saved(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "checkpoints").write_text("in the way")
    trainer = make_trainer(run_dir, n_epochs=9)
    with pytest.raises(UserError, match=r"last\.pt: could not be written"):
        trainer.train()
    assert trainer.progress.step == 9  # the third validation


def test_a_run_whose_last_save_fails_does_not_end_as_if_all_were_well(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "checkpoints").write_text("in the way")
    trainer = make_trainer(run_dir, n_epochs=1)
    with pytest.raises(UserError, match=r"last\.pt: could not be written"):
        trainer.train()
    assert trainer.progress.step == trainer.total_steps  # one validation, at its end
    assert not (run_dir / "summary.json").exists()


def test_a_read_only_disk_is_one_sentence_and_nothing_changes(runs, disk):
    run_dir = disk("-o", "size=9m") / "run"
    status, said = runs.run(run_dir, "trainer.n_epochs=1")
    assert status == 0, said
    before = {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    subprocess.run(["mount", "-o", "remount,ro", str(run_dir.parent)], check=True)
    status, said = runs.run(run_dir, resume=True)
    assert status == 1
    assert said.splitlines()[-1].startswith("error: ")
    assert "Read-only file system" in said.splitlines()[-1]
    assert {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()} == before
