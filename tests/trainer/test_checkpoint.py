import io
import os
import pickle
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from src.trainer import find_checkpoint, load_checkpoint, save_checkpoint
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
    """Runs `touch PATH` in whatever unpickles it."""

    def __init__(self, path: Path) -> None:
        self.command = f"touch {shlex.quote(str(path))}"

    def __reduce__(self):
        return (os.system, (self.command,))


def evil_files(victim: Path) -> dict[str, bytes]:
    """The same malice in every wrapping that PyTorch knows."""
    content = {"format": 1, "evil": Malice(victim)}
    new, old, tampered = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(content, new)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    good = io.BytesIO()
    torch.save({"format": 1, "step": 3}, good)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(tampered, "w") as copy:
        for name in archive.namelist():
            is_pickle = name.endswith("data.pkl")
            copy.writestr(name, pickle.dumps(content, 2) if is_pickle else archive.read(name))
    plain = pickle.dumps(content)
    return {
        "zip": new.getvalue(),
        "legacy": old.getvalue(),
        "pickle": plain,
        "tampered": tampered.getvalue(),
    }


@pytest.mark.parametrize("wrapping", ["zip", "legacy", "pickle", "tampered"])
def test_a_file_that_would_run_code_is_refused_and_nothing_runs(tmp_path, wrapping):
    victim, file = tmp_path / "was_run", tmp_path / "evil.pt"
    file.write_bytes(evil_files(victim)[wrapping])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(file)
    assert not victim.exists()


def test_the_malice_of_these_tests_is_real(tmp_path):
    pickle.loads(evil_files(tmp_path / "was_run")["pickle"])
    assert (tmp_path / "was_run").exists()


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "src.utils.files.sha256"])
@pytest.mark.parametrize("place", ["model", "nested"])
def test_a_config_that_wants_to_call_something_else_makes_the_file_unusable(
    tmp_path, target, place
):
    call = {"_target_": target, "command": f"touch {tmp_path / 'was_run'}"}
    config = {"model": call} if place == "model" else {"transform": {"parts": [{"a": call}]}}
    save_checkpoint(tmp_path / "evil.pt", state() | {"config": config})
    with pytest.raises(UserError, match=rf"\._target_={target}: only parts of src\.text"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "was_run").exists()


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


def test_no_flipped_bit_goes_unnoticed_where_it_changes_anything(tmp_path):
    good, file = tmp_path / "good.pt", tmp_path / "flipped.pt"
    weights = torch.arange(5.0)
    save_checkpoint(good, {"step": 3, "w": weights, "config": {"a": [1, 2.5, "x"]}})
    content = good.read_bytes()
    rng, n_refused = np.random.default_rng(1), 0
    for place in rng.choice(len(content), 300, replace=False):
        flipped = content[place] ^ (1 << int(rng.integers(8)))
        file.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        try:
            loaded = load_checkpoint(file)
        except UserError:
            n_refused += 1
        else:  # in padding, or in what the archive says twice
            assert loaded["step"] == 3 and loaded["config"] == {"a": [1, 2.5, "x"]}
            assert loaded["w"].dtype == weights.dtype and torch.equal(loaded["w"], weights)
    assert n_refused > 100


def test_a_tensor_marked_as_a_folder_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.pt", state())
    content = bytearray((tmp_path / "a.pt").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        tensor = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    entry = content.rindex(tensor.filename.encode()) - 46  # in the archive's directory
    assert content[entry : entry + 4] == b"PK\1\2"
    content[entry + 38] |= 0x10  # external attributes
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"data/0 is not as it was written"):
        load_checkpoint(tmp_path / "a.pt")


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
