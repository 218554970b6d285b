"""Archives of the corpora whose licence lets anybody fetch them: verified, whole or not at all."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.prepare_speech_commands import unpack
from src.datasets.corpora.common_voice import ADVICE
from src.datasets.corpora.listing import lines_of
from src.utils.download import fetch
from src.utils.errors import UserError


class Archive(NamedTuple):
    """One file that holds a whole corpus."""

    name: str
    sha256: str
    folders: tuple[str, ...]  # where it lies, tried in turn


ARCHIVES = {
    # The digest is also torchaudio's.
    "ljspeech": Archive(
        "LJSpeech-1.1.tar.bz2",
        "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        ("https://data.keithito.com/data/speech",),
    ),
    # CMU publishes no digest; this is NVIDIA's copy's, as one of its users gives it.
    "an4": Archive(
        "an4_sphere.tar.gz",
        "a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
        (
            "https://dldata-public.s3.us-east-2.amazonaws.com",
            "http://www.speech.cs.cmu.edu/databases/an4",
        ),
    ),
}
VOXFORGE = "http://www.repository.voxforge1.org/downloads/SpeechCorpus/Trunk/Audio/Main/16kHz_16bit"
ELSEWHERE = {
    "common_voice": ADVICE,
    "librispeech": "Add dataset.download=true to the training: python train.py -cn=deepspeech2 "
    "dataset.download=true",
    "speech_commands": "Use python -m scripts.prepare_speech_commands --download",
    "folder": "Recordings of your own are where you put them.",
}


def download(
    corpus: str,
    root: Path,
    base_url: str | None = None,
    sha256: str | None = None,
    archives: Path | None = None,
) -> None:
    """Fetch, verify and unpack a corpus into `root`, unless it is there.

    Args:
        base_url: folder of a mirror; None takes the known ones.
        sha256: digest of a mirror's own archive.
        archives: of VoxForge, which publishes no digests: a list "DIGEST  NAME.tgz" as sha256sum
            or md5sum write it.

    Raises:
        UserError: the corpus can't be fetched so, no connection, a wrong digest, a damaged
            archive, or a full disk.
    """
    if corpus in ELSEWHERE:
        raise UserError(f"{corpus} is not downloaded here. {ELSEWHERE[corpus]}")
    if corpus == "voxforge":
        _voxforge(root, base_url or VOXFORGE, archives)
    elif root.is_dir() and any(root.iterdir()):
        print(f"{root} is there already: nothing to download")
    else:
        _whole(ARCHIVES[corpus], root, base_url, sha256)


def _whole(known: Archive, root: Path, base_url: str | None, sha256: str | None) -> None:
    """A corpus that is one archive."""
    folders = (base_url,) if base_url else known.folders
    archive = root.parent / known.name
    urls = [f"{folder.rstrip('/')}/{known.name}" for folder in folders]
    fetch(urls, archive, sha256=sha256 or known.sha256)
    unpack(archive, root)
    archive.unlink()


def _voxforge(root: Path, base_url: str, archives: Path | None) -> None:
    """Each archive into a folder of its own; those that are there are not fetched again."""
    if archives is None:
        raise UserError(
            "voxforge publishes no checksums, so --download needs --archives FILE with lines "
            "'DIGEST  NAME.tgz', as sha256sum or md5sum write them beside a copy that you trust. "
            f"Or fetch and unpack them yourself: wget -r -np -nd -A tgz {base_url}/"
        )
    for name, digest in _digests(archives):
        folder = root / name.removesuffix(".tgz")
        if folder.is_dir():
            continue
        archive = root / name
        kind = "md5" if len(digest) == 32 else "sha256"
        fetch(f"{base_url.rstrip('/')}/{name}", archive, **{kind: digest})
        unpack(archive, folder)
        archive.unlink()


def _digests(path: Path) -> Iterator[tuple[str, str]]:
    """Name and digest of each archive in the list."""
    for line in lines_of(path):
        match = re.fullmatch(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64})[ *]+([\w.\-]+\.tgz)", line)
        if not match:
            raise UserError(
                f"{path}: met {line[:80]!r}, where each line should read 'DIGEST  NAME.tgz' with "
                "a SHA-256 or MD5, as sha256sum and md5sum write it."
            )
        yield match[2], match[1]
