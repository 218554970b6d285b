"""The pages people read, taken apart: fenced blocks, and the commands in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
# A result belongs to the commit it names, so the commands of RESULTS.md may be of another tree.
GUIDES = [page for page in PAGES if page.name != "RESULTS.md"]


def blocks(page: Path, languages: set[str]) -> list[str]:
    """The fenced blocks of a page in these languages."""
    fenced = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [text for language, text in fenced if language in languages]


def command_lines(page: Path) -> list[str]:
    """What a reader would type: lines of bash blocks, `$ …` of console blocks, `python …`."""
    lines = []
    for text in blocks(page, {"bash"}):
        lines += text.replace("\\\n", " ").splitlines()
    for text in blocks(page, {"console"}):
        lines += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines += re.findall(r"`((?:python|make) [^`]+)`", prose)
    return [line for line in lines if line.strip()]


def commands() -> list[tuple[str, list[str]]]:
    """(page, words without environment and comment) of every command in every guide."""
    found = []
    for page in GUIDES:
        for line in command_lines(page):
            for part in re.split(r" && ", line):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words[:1] == ["torchrun"]:  # starts several of what follows its own options
                    words = ["python", *words[words.index("train.py") :]]
                if words and "NAME" not in " ".join(words[:3]):
                    found.append((page.name, words))
    return found
