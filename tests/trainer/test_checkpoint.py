import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from src.trainer import Checkpoints, find_checkpoint, load_checkpoint, save_checkpoint
from src.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def state(value: float = 1.0) -> dict:
    return {"step": 3, "recognizer": {"weight": torch.full((100, 100), value)}, "symbols": ["_"]}


def test_what_is_saved_is_what_is_loaded(tmp_path):
    save_checkpoint(tmp_path / "a.pt", state())
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded["step"] == 3 and loaded["symbols"] == ["_"]
    assert torch.equal(loaded["recognizer"]["weight"], torch.ones(100, 100))


def test_a_run_folder_stands_for_its_best_checkpoint_and_else_for_its_last(tmp_path):
    folder = tmp_path / "run"
    save_checkpoint(folder / "checkpoints/last.pt", state(1))
    assert find_checkpoint(folder).name == "last.pt"
    save_checkpoint(folder / "checkpoints/best.pt", state(2))
    assert find_checkpoint(folder).name == "best.pt"


def test_an_absent_checkpoint_tells_how_to_get_one(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint there.*make quickstart.*download_model"):
        load_checkpoint(tmp_path / "nothing")


class Malice:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("through", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_nothing_runs(tmp_path, through):
    victim, file = tmp_path / "was_run", tmp_path / "evil.pt"
    if through == "torch":
        torch.save({"format": 1, "evil": Malice(victim)}, file)
    else:
        file.write_bytes(pickle.dumps({"format": 1, "evil": Malice(victim)}))
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(file)
    assert not victim.exists()


def damaged(good: bytes) -> dict[str, bytes]:
    middle = len(good) // 2
    return {
        "empty": b"",
        "truncated": good[:middle],
        "text": b"these are not weights\n" * 50,
        "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
    }


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "flipped"])
def test_a_damaged_checkpoint_is_named_and_refused(tmp_path, kind):
    file = tmp_path / "a.pt"
    save_checkpoint(file, state())
    file.write_bytes(damaged(file.read_bytes())[kind])
    with pytest.raises(UserError, match=r"a\.pt: not a readable checkpoint .*older one"):
        load_checkpoint(file)


def test_another_programs_file_is_told_from_a_checkpoint(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "theirs.pt")
    with pytest.raises(UserError, match="not a checkpoint of this project"):
        load_checkpoint(tmp_path / "theirs.pt")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "zip.pt")


def test_a_checkpoint_of_a_later_version_asks_for_an_update(tmp_path):
    torch.save({"format": 99}, tmp_path / "new.pt")
    with pytest.raises(UserError, match=r"format 99.*update"):
        load_checkpoint(tmp_path / "new.pt")


def test_a_full_disk_says_so_and_keeps_the_older_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "last.pt", state(1))
    code = (
        "import resource, signal, torch\n"
        "from src.trainer import save_checkpoint\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        f"save_checkpoint({str(tmp_path / 'last.pt')!r}, {{'x': torch.rand(100, 100)}})\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "could not be written" in run.stderr and "UserError" in run.stderr
    assert load_checkpoint(tmp_path / "last.pt")["recognizer"]["weight"][0, 0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_the_top_k_and_the_best_are_kept_and_no_more(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_top_k=2)
    values = [0.5, 0.3, 0.9, 0.2, 0.4]
    for step, value in enumerate(values):
        checkpoints.save_last({"step": step})
        checkpoints.keep(step, "per", value, is_best=value == min(values[: step + 1]))
    kept = sorted(path.name for path in tmp_path.glob("top_*"))
    assert kept == ["top_per=0.20000_step=3.pt", "top_per=0.30000_step=1.pt"]
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 3
    assert load_checkpoint(tmp_path / kept[1])["step"] == 1  # untouched by later saves
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 4


def test_a_value_that_is_no_number_never_displaces_one_that_is(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_top_k=2)
    for step, value in enumerate([float("nan"), 0.5, float("nan"), 0.3]):
        checkpoints.save_last({"step": step})
        checkpoints.keep(step, "per", value, is_best=False)
    kept = sorted(path.name for path in tmp_path.glob("top_*"))
    assert kept == ["top_per=0.30000_step=3.pt", "top_per=0.50000_step=1.pt"]


def test_a_run_without_top_k_keeps_best_and_last(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_top_k=0)
    checkpoints.save_last({"step": 1})
    checkpoints.keep(1, "per", 0.5, is_best=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "last.pt"]
