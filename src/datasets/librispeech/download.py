"""Fetch a part of LibriSpeech, verify it, unpack it."""

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from src.datasets.librispeech.parts import (
    ARCHIVES,
    OFFICIAL_URL,
    did_you_mean,
    home_of_parts,
    missing_parts,
)
from src.utils.download import fetch
from src.utils.errors import UserError
from src.utils.locks import in_turn


def download_missing(
    root: Path,
    parts: Sequence[str],
    base_url: str | Sequence[str] = OFFICIAL_URL,
    checksums: Mapping[str, str] | None = None,
) -> None:
    """Fetch, verify and unpack those parts that are not there, each whole or not at all.

    A fetch that was cut off continues where it stopped. Archives are removed once unpacked. Of
    several processes, such as torchrun's, one fetches and the others wait for it.

    Args:
        root: the folder LibriSpeech, or the one around it.
        base_url: folder on a server, or several (mirrors, tried in turn).
        checksums: part → SHA-256 of its archive, where a mirror's differs from the official.

    Raises:
        UserError: an unknown part, no way to get the archive, a wrong checksum, a damaged
            archive, or no room on the disk.
    """
    bases = [base_url] if isinstance(base_url, str) else list(base_url)
    digests = {part: _checksum(part, checksums or {}) for part in missing_parts(root, parts)}
    if not digests:
        return
    home = home_of_parts(root)
    with in_turn(home, "downloading"):
        for part in missing_parts(root, list(digests)):  # others may have fetched some meanwhile
            archive = home / f"{part}.tar.gz"
            urls = [f"{base.rstrip('/')}/{archive.name}" for base in bases]
            fetch(urls, archive, sha256=digests[part])
            unpack(archive, part, home)
            archive.unlink()


def _checksum(part: str, given: Mapping[str, str]) -> str:
    known = {name: digest for name, (_, digest) in ARCHIVES.items()} | dict(given)
    if part not in known:
        raise UserError(
            f"{part}: not a part of LibriSpeech that could be downloaded{did_you_mean(part)} "
            f"There are {', '.join(known)}; for a mirror's own parts give dataset.checksums."
        )
    return known[part]


def unpack(archive: Path, part: str, home: Path) -> None:
    """Unpack an archive in the official layout (LibriSpeech/PART/…) as `home`/PART."""
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=f".{part}.") as folder:
            _extract(archive, Path(folder))
            corpus = Path(folder) / "LibriSpeech"
            if not (corpus / part).is_dir():
                raise UserError(
                    f"{archive}: holds no folder LibriSpeech/{part}; it is not the archive of "
                    "this part. Remove it and check dataset.base_url."
                )
            for note in corpus.glob("*.TXT"):  # README, SPEAKERS, …: the same in every archive
                if not (home / note.name).exists():
                    shutil.move(note, home / note.name)
            (corpus / part).rename(home / part)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(
            f"{archive}: could not be unpacked ({error}). Remove it and run the command again."
        ) from error
    except OSError as error:
        raise UserError(
            f"{archive}: could not be unpacked into {home} ({error.strerror or error}). Free "
            "some space or choose another dataset.root, then run the command again."
        ) from error


def _extract(archive: Path, folder: Path) -> None:
    with (
        tarfile.open(archive, "r:gz") as tar,
        tqdm(desc=f"unpacking {archive.name}", unit="file", disable=None) as bar,
    ):

        def counted(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo | None:
            bar.update()
            # Refuses absolute names, "..", links out of the folder and devices.
            return tarfile.data_filter(member, destination)

        tar.extractall(folder, filter=counted)
