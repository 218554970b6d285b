"""What a run keeps, and what it goes on from when the newest checkpoint is damaged."""

import logging

import pytest
import torch

from src.trainer import Checkpoints, Validated, load_checkpoint, newest_good, save_checkpoint
from src.utils.errors import UserError

RESUMABLE = {"optimizer": {}, "progress": {}, "random": [], "unlogged": []}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_top_k_and_the_best_are_kept_and_no_more(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_top_k=2)
    values = [0.5, 0.3, 0.9, 0.2, 0.4]
    for step, value in enumerate(values):
        best = value == min(values[: step + 1])
        checkpoints.save({"step": step}, Validated("per", value, best))
    kept = [name for name in names(tmp_path) if name.startswith("top")]
    assert kept == ["top_per=0.20000_step=3.pt", "top_per=0.30000_step=1.pt"]
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 3
    assert load_checkpoint(tmp_path / kept[1])["step"] == 1  # untouched by later saves
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 4
    assert load_checkpoint(tmp_path / "previous.pt")["step"] == 3


def test_a_value_that_is_no_number_never_displaces_one_that_is(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_top_k=2)
    for step, value in enumerate([float("nan"), 0.5, float("nan"), 0.3]):
        checkpoints.save({"step": step}, Validated("per", value, is_best=False))
    kept = [name for name in names(tmp_path) if name.startswith("top")]
    assert kept == ["top_per=0.30000_step=3.pt", "top_per=0.50000_step=1.pt"]


def test_a_run_without_top_k_keeps_best_last_and_previous(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_top_k=0)
    for step in (1, 2):
        checkpoints.save({"step": step}, Validated("per", 0.5, is_best=step == 1))
    assert names(tmp_path) == ["best.pt", "last.pt", "previous.pt"]


def run_of(folder, steps: dict[str, int]):
    for name, step in steps.items():
        save_checkpoint(folder / "checkpoints" / f"{name}.pt", {"step": step, **RESUMABLE})
    return folder


def spoil(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_a_whole_last_checkpoint_is_taken_without_a_word(tmp_path, caplog):
    run = run_of(tmp_path, {"last": 9, "previous": 8, "best": 7})
    path, state = newest_good(run)
    assert (path.name, state["step"]) == ("last.pt", 9) and not caplog.records


def test_a_damaged_one_is_named_and_the_newest_good_one_is_taken(tmp_path, caplog):
    run = run_of(tmp_path, {"last": 90, "previous": 80, "best": 50, "top_per=0.3_step=85": 85})
    (run / "log.jsonl").write_text('{"step": 20}\n{"step": 93}\n{"ste')
    spoil(run / "checkpoints/last.pt")
    path, state = newest_good(run)
    assert state["step"] == 85 and path.name.startswith("top_per")
    assert "checkpoints/last.pt: not a readable checkpoint" in caplog.text
    assert (
        "Going on from top_per=0.3_step=85.pt, step 85: 8 steps after it in log.jsonl"
        in caplog.text
    )
    for name in ("top_per=0.3_step=85", "previous"):
        (run / f"checkpoints/{name}.pt").write_bytes(b"")
    assert newest_good(run)[0].name == "best.pt"


def test_a_last_checkpoint_that_is_gone_is_replaced_by_the_previous(tmp_path, caplog):
    run = run_of(tmp_path, {"previous": 80})
    assert newest_good(run)[0].name == "previous.pt"
    assert "checkpoints/last.pt: is gone" in caplog.text


def test_no_good_checkpoint_at_all_is_one_sentence(tmp_path):
    run = run_of(tmp_path, {"last": 9, "previous": 8, "best": 7})
    for path in (run / "checkpoints").iterdir():
        spoil(path)
    with pytest.raises(UserError, match=r"no checkpoint can be used.*last\.pt: not a readable"):
        newest_good(run)


def test_nothing_saved_yet_is_no_error(tmp_path):
    assert newest_good(tmp_path) is None


def test_weights_alone_are_no_run_to_go_on_with(tmp_path):
    save_checkpoint(tmp_path / "checkpoints/last.pt", {"step": 3, "recognizer": {}})
    with pytest.raises(UserError, match=r"weights only, or is of an earlier.*init_from="):
        newest_good(tmp_path)


def test_a_file_system_without_hard_links_gets_copies(tmp_path, monkeypatch):
    import os

    def refuse(*arguments, **keywords):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)  # FAT and some network shares answer so
    checkpoints = Checkpoints(tmp_path, keep_top_k=1)
    for step in (1, 2):
        checkpoints.save({"step": step, "w": torch.ones(9)}, Validated("per", 1 / step, True))
    assert names(tmp_path) == ["best.pt", "last.pt", "previous.pt", "top_per=0.50000_step=2.pt"]
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 2
    assert load_checkpoint(tmp_path / "previous.pt")["step"] == 1


def test_two_saves_of_one_step_that_fail_count_once(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep_top_k=1)
    assert not any(checkpoints.save({"step": step}) for step in (4, 4, 5, 5))
    assert checkpoints.failures == 2


def test_a_failed_save_is_a_warning_twice_and_the_third_time_an_error(tmp_path, caplog):
    (tmp_path / "checkpoints").write_text("in the way")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep_top_k=1)
    with caplog.at_level(logging.WARNING):
        assert [checkpoints.save({"step": step}) for step in (4, 5)] == [False, False]
    assert "step 4 was not saved, attempt 1 of 3" in caplog.text
    with pytest.raises(UserError, match=r"last\.pt: could not be written"):
        checkpoints.save({"step": 6})


def test_a_save_that_succeeds_forgives_the_failures_before_it(tmp_path):
    place = tmp_path / "checkpoints"
    checkpoints = Checkpoints(place, keep_top_k=1)
    for _ in range(2):
        place.write_text("in the way")
        assert not checkpoints.save({"step": 1}) and not checkpoints.save({"step": 2})
        place.unlink()
        assert checkpoints.save({"step": 3}) and checkpoints.failures == 0
        (place / "last.pt").unlink()
        place.rmdir()


def test_what_must_be_saved_fails_at_once(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match=r"last\.pt: could not be written"):
        Checkpoints(tmp_path / "checkpoints", keep_top_k=1).save({"step": 1}, must=True)
