"""Where the parts of LibriSpeech lie on this machine, and what to do where they don't."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from src.utils.command_line import in_quotes
from src.utils.errors import UserError

DEFAULT_ROOT = Path("data/LibriSpeech")  # as configs/dataset/librispeech.yaml has it
OFFICIAL_URL = "https://www.openslr.org/resources/12"

# Part → (GB to download, SHA-256 of PART.tar.gz), as openslr.org/12 serves them.
ARCHIVES = {
    "dev-clean": (0.3, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"),
    "dev-other": (0.3, "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365"),
    "test-clean": (0.4, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"),
    "test-other": (0.3, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"),
    "train-clean-100": (6.4, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"),
    "train-clean-360": (23.0, "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf"),
    "train-other-500": (30.6, "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2"),
}


def find_parts(root: Path, parts: Sequence[str]) -> list[Path]:
    """The folder of each part: `root`/PART or `root`/LibriSpeech/PART.

    Raises:
        UserError: a part is missing; the message tells how to get it.
    """
    missing = missing_parts(root, parts)
    if missing:
        raise _absent(root, missing)
    return [_find(root, part) for part in parts]


def missing_parts(root: Path, parts: Sequence[str]) -> list[str]:
    """Those of `parts` that are not there."""
    return [part for part in parts if _find(root, part) is None]


def home_of_parts(root: Path) -> Path:
    """The folder that new parts belong in: `root`/LibriSpeech where it exists, else `root`."""
    nested = root / "LibriSpeech"
    return nested if nested.is_dir() else root


def did_you_mean(part: str) -> str:
    """'; did you mean dev-clean?', or a full stop where no part's name is near."""
    close = difflib.get_close_matches(part, ARCHIVES, n=1)
    return f"; did you mean {close[0]}?" if close else "."


def _find(root: Path, part: str) -> Path | None:
    candidates = (root / part, root / "LibriSpeech" / part)
    return next((folder for folder in candidates if folder.is_dir()), None)


def _absent(root: Path, missing: list[str]) -> UserError:
    home = home_of_parts(root)
    there = sorted(folder.name for folder in home.glob("[!.]*/"))
    found = f"there are {', '.join(there)}" if there else "there are no parts at all"
    where = f"LibriSpeech {', '.join(missing)}: not in {home.resolve()} ({found})."
    unknown = [part for part in missing if part not in ARCHIVES]
    if unknown:
        return UserError(
            f"{where} Nor does LibriSpeech have a part {unknown[0]}{did_you_mean(unknown[0])} "
            f"Its parts are {', '.join(ARCHIVES)}."
        )
    size_gb = sum(ARCHIVES[part][0] for part in missing)
    fetch = (
        f"Set dataset.root to the corpus, or fetch what is missing ({size_gb:.1f} GB) by "
        f"adding dataset.download=true to your command: {_fetch_command(root, missing)}"
    )
    # Tests are what inference.py reads where nobody says what.
    own = "input=FILES reads recordings of your own, dataset=… another corpus. "
    return UserError(f"{where} {own if _are_tests(missing) else ''}{fetch}")


def _are_tests(parts: list[str]) -> bool:
    return all(part.startswith("test") for part in parts)


def _fetch_command(root: Path, missing: list[str]) -> str:
    if _are_tests(missing):
        name = "inference_other" if "test-other" in missing else "inference"
        command = f"python inference.py -cn={name} checkpoint=FILE"
    else:
        command = "python train.py -cn=deepspeech2"
    command += " dataset=librispeech dataset.download=true"
    return command if root == DEFAULT_ROOT else f"{command} {in_quotes('dataset.root', str(root))}"
