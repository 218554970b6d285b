"""What a run was made with: config, commit, packages, command, machine. No environment variables,
since those hold people's keys."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from src.utils.errors import UserError
from src.utils.files import atomic_write, write_json

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = ("config.yaml", "git_commit.txt", "git_diff.patch", "packages.txt", "environment.json")


def record(run_dir: str | Path, config_yaml: str, repository: Path = REPOSITORY) -> None:
    """Write into `run_dir` what is needed to run the same again.

    config.yaml       the resolved configuration
    git_commit.txt    the commit of the code, or why it is unknown
    git_diff.patch    what differs from that commit, for `git apply`; untracked files by name
    packages.txt      installed packages, `name==version`
    environment.json  command line, Python, platform, processors, GPUs

    A resumed run keeps what its earlier starts wrote, in earlier/1, earlier/2, …

    Raises:
        UserError: the folder can't be written.
    """
    run_dir = Path(run_dir)
    _set_earlier_aside(run_dir)
    texts = {
        "config.yaml": config_yaml,
        "git_commit.txt": git_commit(repository) + "\n",
        "git_diff.patch": _git_diff(repository),
        "packages.txt": "".join(f"{line}\n" for line in _packages()),
    }
    for name, text in texts.items():
        with atomic_write(run_dir / name) as file:
            # A patch may hold bytes that are no UTF-8; they come back as they were.
            file.write(text.encode("utf-8", "surrogateescape"))
    write_json(run_dir / "environment.json", _environment())


def _set_earlier_aside(run_dir: Path) -> None:
    if not (run_dir / "config.yaml").exists():
        return
    n = 1
    while (run_dir / "earlier" / str(n)).exists():
        n += 1
    folder = run_dir / "earlier" / str(n)
    try:
        folder.mkdir(parents=True)
        for name in FILES:
            if (run_dir / name).exists():
                # A copy: a run killed in here must not lose what tells it from an empty folder.
                shutil.copy2(run_dir / name, folder / name)
    except OSError as error:
        raise UserError(
            f"{folder}: could not be written ({error.strerror or error}). It is to keep the config "
            "of the run's earlier start; make room for it or choose another run folder."
        ) from error


def git_commit(repository: Path = REPOSITORY) -> str:
    """The commit of the code, or why it is unknown."""
    ok, answer = _git(repository, "rev-parse", "HEAD")
    return answer.strip() if ok else f"unknown: {answer}"


def _git_diff(repository: Path) -> str:
    """The diff to HEAD under a head line for each untracked file; `git apply` skips those."""
    ok, diff = _git(repository, "diff", "HEAD", "--binary", "--no-color", "--no-ext-diff")
    if not ok:
        return f"# unknown: {diff}\n"
    _, names = _git(repository, "ls-files", "--others", "--exclude-standard", "-z")
    untracked = [f"# untracked: {name}\n" for name in names.split("\0") if name]
    return "".join(untracked) + diff


def _git(repository: Path, *arguments: str) -> tuple[bool, str]:
    """Whether git succeeded, and what it answered or complained of."""
    # No optional locks: looking must not get in the way of a commit made at the same moment.
    command = ["git", "--no-optional-locks", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        return False, "git is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"git did not answer ({error})"
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()
        return False, complaint.splitlines()[0] if complaint else f"git exit {done.returncode}"
    return True, done.stdout.decode("utf-8", "surrogateescape")


def _packages() -> list[str]:
    found = {f"{d.metadata['Name']}=={d.version}" for d in distributions() if d.metadata["Name"]}
    return sorted(found, key=str.lower)


def _environment() -> dict[str, Any]:
    return {
        "command": shlex.join(sys.orig_argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": sys.version,
        "platform": platform.platform(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "processors_usable": _usable_processors(),
        "memory_gib": _memory_gib(),
        **_accelerators(),
    }


def _usable_processors() -> int | None:
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _processor() -> str:
    """The model's name as Linux gives it, elsewhere what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(n_bytes / 2**30, 1)


def _accelerators() -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        return {"gpus": []}
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}
