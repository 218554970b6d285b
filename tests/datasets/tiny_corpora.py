"""Small corpora in their own layouts, with the flaws that such corpora have."""

from pathlib import Path

import numpy as np
import soundfile

from tests.datasets.tiny_corpus import RATE, tone

CV_COLUMNS = "client_id\tpath\tsentence_id\tsentence\tup_votes\tdown_votes\tage\tgender\tlocale"


def sound(path: Path, seconds: float = 0.5, **keys) -> Path:
    """A tone in the format of the name's extension; 16 kHz unless `keys` say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = keys.pop("rate", RATE)
    soundfile.write(path, tone(seconds * rate / RATE), rate, **keys)
    return path


def damaged(path: Path) -> Path:
    """No sound at all under the name of a recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"<html>not found</html>" * 10)
    return path


def write_common_voice(root: Path, lists: dict[str, list[tuple[str, str, str]]]) -> Path:
    """A language's folder: list → rows of (speaker, clip, sentence), with an MP3 for each clip."""
    for name, rows in lists.items():
        lines = [CV_COLUMNS]
        for speaker, clip, sentence in rows:
            lines.append(f"{speaker}\t{clip}.mp3\tdeadbeef\t{sentence}\t2\t0\t\t\tes")
            if not (root / "clips" / f"{clip}.mp3").exists():
                sound(root / "clips" / f"{clip}.mp3", 0.5, rate=32000)
        (root / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def write_voxforge(root: Path, name: str, prompts: dict[str, str], **keys) -> Path:
    """One submission: key → words, as read in prompts-original and in capitals in PROMPTS.

    Args:
        keys: `encoding` of the lists, `sounds` (folder) and `suffix`.
    """
    encoding, sounds = keys.get("encoding", "utf-8"), keys.get("sounds", "wav")
    home = root / name
    (home / "etc").mkdir(parents=True)
    original = "".join(f"{key} {words}\r\n" for key, words in prompts.items())
    (home / "etc" / "prompts-original").write_bytes(original.encode(encoding))
    plain = "".join(f"{name}/mfc/{key} {words.upper()}\n" for key, words in prompts.items())
    (home / "etc" / "PROMPTS").write_bytes(plain.encode(encoding))
    (home / "etc" / "README").write_text("User Name:anonymous\n")
    for key in prompts:
        sound(home / sounds / f"{key}.{keys.get('suffix', sounds)}")
    return home


def write_ljspeech(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    """metadata.csv, its last line without an end as in the release, and a WAV for each row."""
    for name, _, _ in rows:
        sound(root / "wavs" / f"{name}.wav", 0.5, rate=22050)
    (root / "metadata.csv").write_text("\n".join(map("|".join, rows)), encoding="utf-8")
    (root / "README").write_text("The LJ Speech Dataset\n")
    return root


def write_an4(root: Path, train: dict[str, str], test: dict[str, str]) -> Path:
    """etc/ and wav/ with SPHERE files: id (`an251-fash-b`) → words, for both parts."""
    (root / "etc").mkdir(parents=True)
    for part, folder, said in (("train", "an4_clstk", train), ("test", "an4test_clstk", test)):
        lines, files = [], []
        for name, words in said.items():
            lines.append(f"<s> {words} </s> ({name})" if part == "train" else f"{words} ({name})")
            files.append(f"{folder}/{name.split('-')[1]}/{name}")
            path = root / "wav" / f"{files[-1]}.sph"
            sound(path, format="NIST", subtype="PCM_16")
        (root / "etc" / f"an4_{part}.transcription").write_text("\n".join(lines) + "\n")
        (root / "etc" / f"an4_{part}.fileids").write_text("\n".join(files) + "\n")
    return root


def append(path: Path, line: str | bytes) -> None:
    """One more line at the end of a list."""
    with path.open("ab") as file:
        file.write(line if isinstance(line, bytes) else line.encode())


def samples(n: int) -> np.ndarray:
    """(n,) float32, the samples k / 2¹⁵ for k = 0 … n − 1, which tell where a part was cut."""
    return (np.arange(n) % 2**15 / 2**15).astype(np.float32)
