"""Means worked out by hand, and a result that inference reads."""

import pytest
import torch

from scripts.average_checkpoints import average, choose, main, parse
from src.trainer import load_checkpoint, save_checkpoint
from src.utils.errors import UserError
from tests.cli.in_process import infer, untrained
from tests.recordings import write


def save(folder, name: str, step: int, weight: list[float], count: int = 0, **changes):
    weights = {"weight": torch.tensor(weight), "count": torch.tensor(count)}
    state = {"step": step, "recognizer": weights, "symbols": ["_", "a"], "config": {"width": 3}}
    path = folder / "checkpoints" / name
    save_checkpoint(path, state | {"optimizer": {}, "progress": {}} | changes)
    return path


@pytest.fixture
def run(tmp_path):
    """A run that kept three steps by validation, and was killed between two others."""
    save(tmp_path, "top_wer=0.30000_step=10.pt", 10, [1.0, 2.0], count=10)
    save(tmp_path, "top_wer=0.10000_step=20.pt", 20, [3.0, 4.0], count=20)
    save(tmp_path, "top_wer=0.20000_step=30.pt", 30, [8.0, 0.0], count=30)
    save(tmp_path, "best.pt", 20, [3.0, 4.0], count=20)
    save(tmp_path, "previous.pt", 30, [8.0, 0.0], count=30)
    save(tmp_path, "last.pt", 40, [4.0, 5.0], count=40)
    return tmp_path


def test_the_best_two_by_hand(run):
    main([str(run), "--top", "2"])
    mean = load_checkpoint(run / "checkpoints/averaged.pt")
    assert mean["recognizer"]["weight"].tolist() == [5.5, 2.0]  # of steps 20 and 30
    assert mean["recognizer"]["count"] == 30 == mean["step"]
    assert [source["step"] for source in mean["averaged"]] == [30, 20]
    assert not {"optimizer", "progress"} & mean.keys()


def test_the_newest_three_by_hand_and_a_step_that_lies_there_twice_counts_once(run, capsys):
    main([str(run), "--last", "3", "--out", str(run / "mean.pt")])
    mean = load_checkpoint(run / "mean.pt")
    torch.testing.assert_close(mean["recognizer"]["weight"], torch.tensor([5.0, 3.0]))
    assert [source["step"] for source in mean["averaged"]] == [40, 30, 20]
    assert "step        40  last.pt" in capsys.readouterr().out


def test_sums_are_in_float64_and_types_stay(tmp_path):
    large, small = 2.0**24, 1.0  # float32 has no 2²⁴ + 1
    paths = [save(tmp_path, f"{i}.pt", i, [w]) for i, w in enumerate([large, small, small])]
    mean = average(paths)["recognizer"]["weight"]
    assert mean.dtype == torch.float32
    assert mean[0] == torch.tensor((2**24 + 2) / 3, dtype=torch.float32)
    half = [save(tmp_path, f"h{i}.pt", i, [0.0]) for i in range(2)]
    for path, value in zip(half, (1.0, 2.0), strict=True):
        state = load_checkpoint(path)
        state["recognizer"]["weight"] = torch.tensor([value], dtype=torch.bfloat16)
        save_checkpoint(path, state)
    mean = average(half)["recognizer"]["weight"]
    assert mean.dtype == torch.bfloat16 and mean.tolist() == [1.5]


def test_more_than_the_run_kept_is_one_sentence(run):
    with pytest.raises(UserError, match=r"4 checkpoints were asked for, but the run kept 3"):
        choose(run, top=4)
    with pytest.raises(SystemExit, match=r"asked for, but the run kept 4.*keep_top_k"):
        main([str(run), "--last", "5"])


def test_other_vocabularies_and_models_are_told_apart(run):
    ours = run / "checkpoints/last.pt"
    other = save(run, "a.pt", 1, [0.0, 0.0], symbols=["_", "b"])
    with pytest.raises(UserError, match=r"a\.pt: has another vocabulary than last\.pt"):
        average([ours, other])
    for name, changes in {"b.pt": {"weight": [0.0]}, "c.pt": {"config": {"width": 4}}}.items():
        other = save(run, name, 1, changes.pop("weight", [0.0, 0.0]), **changes)
        with pytest.raises(UserError, match="has another model or front end"):
            average([ours, other])
    save_checkpoint(run / "d.pt", {"step": 3})
    with pytest.raises(UserError, match=r"d\.pt: lacks recognizer, symbols"):
        average([run / "d.pt"])


def test_one_alone_is_no_average(run, capsys):
    with pytest.raises(SystemExit):
        parse([str(run), "--top", "1"])
    assert "not a whole number from 2 up" in capsys.readouterr().err


def test_the_mean_of_real_checkpoints_reads_speech(tmp_path):
    for step, name in ((1, "previous.pt"), (2, "last.pt")):
        path = untrained(tmp_path / "run/checkpoints" / name)
        save_checkpoint(path, load_checkpoint(path) | {"step": step})
    main([str(tmp_path / "run"), "--last", "2"])
    write(tmp_path / "clip.wav")
    out = infer(
        tmp_path / "run/checkpoints/averaged.pt", tmp_path / "out", f"input={tmp_path}/clip.wav"
    )
    assert out.status == 0, out.stderr
    assert list((tmp_path / "out").rglob("clip.json"))
