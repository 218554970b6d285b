"""Who may import whom: the floors of the house, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"utils"},
    {"batch", "audio", "text", "metrics", "language_models"},
    {"transforms", "models", "loss", "decoders", "alignment", "recognizer", "predictions"},
    {"datasets", "logger", "decoding", "spelling"},
    {"pipeline", "trainer", "export", "sweeps"},
    set(),  # serve
    {"build", "cli", "resolvers"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Entry points that must start at once, and rooms of plain strings.
WITHOUT_TORCH = ["calc_wer_cer.py", "src/cli", "src/text", "src/metrics"]


def sources(place: str = "src") -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> list[str]:
    """Dotted names of all modules that a file imports, inside functions too."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "src").parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("src.")}


def test_every_file_of_src_lives_on_a_floor():
    rooms = {room_of(path) for path in sources()} - {"__init__"}
    assert rooms <= set(FLOOR_OF), f"no floor for {rooms - set(FLOOR_OF)}"
    assert len(rooms) >= 15


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_from_lower_floors_only(path):
    room = room_of(path)
    floor = FLOOR_OF.get(room, 0)
    for other in rooms_imported(path) - {room}:
        assert FLOOR_OF[other] < floor, f"{room} (floor {floor}) imports {other}"


@pytest.mark.parametrize("place", WITHOUT_TORCH)
def test_what_must_start_quickly_imports_no_torch(place):
    files = sources(place)
    assert files
    for path in files:
        heavy = {name.split(".")[0] for name in imported(path)} & {"torch", "torchaudio"}
        assert not heavy, f"{path.name} imports {heavy}"


def test_the_trainer_knows_no_hydra_no_wandb_and_no_concrete_model():
    for path in sources("src/trainer"):
        for name in imported(path):
            forbidden = ("hydra", "omegaconf", "wandb", "src.models", "src.transforms")
            assert not name.startswith(forbidden), f"{path.name} imports {name}"


def test_only_build_and_the_entry_points_know_hydra():
    for path in sources():
        if room_of(path) in ("build", "cli"):
            continue
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"hydra", "omegaconf"}, path


def test_a_broken_import_rule_would_be_seen(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from src.trainer import Trainer\n")
    assert rooms_imported(bad) == {"trainer"}


def test_every_file_in_scripts_is_a_command():
    """What commands are made of lies in folders below, so that a listing shows what there is."""
    files = sorted((ROOT / "scripts").glob("[!_]*.py"))
    assert len(files) >= 30
    for file in files:
        assert '__name__ == "__main__"' in file.read_text(encoding="utf-8"), file.name
