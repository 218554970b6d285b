"""No file that a person hands over is run: not by any call in the tree, not by any command."""

import ast
import os
import pickle
import shlex
from pathlib import Path

import pytest
import torch

from src.trainer import save_checkpoint
from tests.cli.in_process import call, inference_arguments, untrained
from tests.conftest import REPOSITORY
from tests.reliability.tiny_run import arguments, write_corpus

FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler"),
    *(
        "marshal.load",
        "marshal.loads",
        "shelve.open",
        "joblib.load",
        "dill.load",
        "cloudpickle.load",
    ),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
}
# Between a process and its own children, never of a file.
ALLOWED = {"src/utils/processes.py": ["pickle.loads"]}


def sources() -> list[Path]:
    found = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "scripts").rglob("*.py")]
    return sorted([*found, *REPOSITORY.glob("*.py")])


def unsafe(source: str) -> list[str]:
    """Calls in a module that could execute what a file holds."""
    tree = list(ast.walk(ast.parse(source)))
    classes = [node for node in tree if isinstance(node, ast.ClassDef)]
    safe = {
        c.name for c in classes if [ast.unparse(base) for base in c.bases] == ["yaml.SafeLoader"]
    }
    calls = [node for node in tree if isinstance(node, ast.Call)]
    return [name for node in calls if (name := _unsafe_call(node, safe))]


def _unsafe_call(node: ast.Call, safe_loaders: set[str]) -> str | None:
    name = ast.unparse(node.func)
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    if name in FORBIDDEN:
        return name
    if name == "torch.load" and keywords.get("weights_only") != "True":
        return f"{name} without weights_only=True"
    if keywords.get("allow_pickle", "False") != "False" or keywords.get("weights_only") == "False":
        return f"{name} of pickles"
    loaders = {ast.unparse(argument) for argument in node.args[1:]} | {keywords.get("Loader")}
    return name if name == "yaml.load" and not loaders & safe_loaders else None


@pytest.mark.parametrize(
    "line",
    ["torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f, allow_pickle=True)",
     "yaml.load(f)", "yaml.load(f, yaml.Loader)", "yaml.unsafe_load(f)", "pickle.load(f)",
      "eval(s)", "np.load(f, allow_pickle=wanted)"],
)  # fmt: skip
def test_an_unsafe_call_would_be_seen(line):
    assert unsafe(line)


def test_safe_calls_are_left_alone():
    safe = "torch.load(f, weights_only=True)\nnp.load(f)\nyaml.safe_load(f)\nmodel.eval()\n"
    assert unsafe(safe + "torch.compile(m)\nre.compile('a')\nnp.load(f, allow_pickle=False)") == []
    assert unsafe("class Strict(yaml.SafeLoader): ...\nyaml.load(f, Strict)") == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_nothing_in_the_tree_executes_what_a_file_holds(path):
    allowed = ALLOWED.get(str(path.relative_to(REPOSITORY)), [])
    assert unsafe(path.read_text(encoding="utf-8")) == allowed


class Malice:
    """Runs a command in whatever unpickles it."""

    def __init__(self, victim: Path) -> None:
        self.command = f"touch {shlex.quote(str(victim))}"

    def __reduce__(self):
        return (os.system, (self.command,))


def poisoned(path: Path, kind: str, victim: Path) -> Path:
    """A checkpoint that wants to touch `victim`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Malice(victim)))
    elif kind == "zip":
        torch.save({"format": 1, "recognizer": Malice(victim)}, path)
    else:
        state = torch.load(untrained(path), weights_only=True)
        call_it = {"_target_": "os.system", "command": f"touch {victim}"}
        save_checkpoint(path, state | {"config": state["config"] | {"model": call_it}})
    return path


@pytest.mark.parametrize("kind", ["pickle", "zip", "config"])
def test_inference_resume_and_init_from_refuse_a_poisoned_checkpoint(tmp_path, kind):
    victim = tmp_path / "was_run"
    file = poisoned(tmp_path / "run/checkpoints/last.pt", kind, victim)
    (tmp_path / "sound").mkdir()
    refusals = [
        call("inference", *inference_arguments(file, tmp_path / "out", f"input={tmp_path}/sound")),
        call("train", *arguments(write_corpus(tmp_path / "corpus"), tmp_path / "new",
                                 f"init_from={file}", "loader.n_workers=0")),
        call("train", *arguments(tmp_path / "corpus", tmp_path / "new",
                                 f"resume={tmp_path}/run", "loader.n_workers=0")),
    ]  # fmt: skip
    expected = "only parts of src" if kind == "config" else "not a readable checkpoint"
    for refusal in refusals:
        assert expected in refusal.refusal
    assert not victim.exists()
