"""Large files over an unreliable network: resumed, verified, and whole or absent."""

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from src.utils.connections import Dropped, Refused, check_url, connect, read
from src.utils.errors import UserError

_LONGEST_WAIT_S = 60.0

_log = logging.getLogger(__name__)


def fetch(
    urls: str | Sequence[str],
    destination: str | Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    timeout_s: float = 30.0,
    attempts: int = 5,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file that appears under `destination` only whole and verified.

    It grows in DESTINATION.part, which an interrupted call leaves and the next one resumes.
    A file that is there and matches is not downloaded again.

    Args:
        urls: where the same file lies; https://, http:// or file://, tried in this order.
        sha256, md5: hexadecimal checksum; exactly one is required.
        size: bytes, where known: a wrong file is then refused before it is downloaded.
        timeout_s: silence after which a connection counts as dropped.
        attempts: connections in a row that may bring no new byte before a URL is given up;
            between them 1, 2, 4, … up to 60 seconds pass.
        sleep: waits for so many seconds.

    Raises:
        UserError: another scheme, no URL gave the file (each reason is named; a part that may
            be right is kept, one with a wrong checksum is deleted), or the disk is full.
    """
    if (sha256 is None) == (md5 is None):
        raise TypeError("fetch() needs sha256= or md5=, one of them")
    wanted = Wanted("sha256" if sha256 else "md5", (sha256 or md5).lower(), size)
    urls = [urls] if isinstance(urls, str) else list(urls)
    for url in urls:
        check_url(url)
    destination = Path(destination)
    part = destination.with_name(destination.name + ".part")
    try:
        if not _is_there(destination, wanted):
            part.parent.mkdir(parents=True, exist_ok=True)
            _Download(part, wanted, timeout_s, attempts, sleep).from_any(urls)
            _publish(part, destination)
    except OSError as error:  # the network's have become Dropped or Refused: this is the disk's
        raise UserError(
            f"{error.filename or destination}: could not be written ({error.strerror or error}). "
            "Free some space or choose another folder, then run the command again; it goes on "
            "from what has arrived."
        ) from error
    return destination


class Wanted(NamedTuple):
    """What a file must be."""

    algorithm: str
    digest: str
    size: int | None

    def fault(self, path: Path) -> str:
        """What is wrong with the file, or nothing."""
        n_bytes = path.stat().st_size
        if self.size not in (None, n_bytes):
            return f"{n_bytes:,} bytes instead of {self.size:,}"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, self.algorithm).hexdigest()
        if found != self.digest:
            return f"wrong checksum ({self.algorithm} {found}, expected {self.digest})"
        return ""


def _is_there(destination: Path, wanted: Wanted) -> bool:
    if not destination.exists():
        return False
    fault = wanted.fault(destination)
    if fault:
        _log.warning("%s: %s; downloading it again", destination, fault)
    return not fault


@dataclass(frozen=True)
class _Download:
    """Bytes into `part` until they are those that were wanted."""

    part: Path
    wanted: Wanted
    timeout_s: float
    attempts: int
    sleep: Callable[[float], None]

    def from_any(self, urls: list[str]) -> None:
        """Fill the part from the first URL that can."""
        reasons = []
        for url in urls:
            try:
                return self.from_one(url)
            except Refused as reason:
                reasons.append(f"{url}: {reason}")
        kept = ", which goes on from what has arrived" if self._n_bytes() else ""
        raise UserError(
            f"{self.part.stem} could not be downloaded. {'; '.join(reasons)}. Check the "
            f"connection and the address, then run the command again{kept}."
        )

    def from_one(self, url: str) -> None:
        """Fill the part from `url`; a part begun elsewhere gets the benefit of the doubt once."""
        inherited = self._n_bytes() > 0
        while True:
            self._until_complete(url)
            fault = self.wanted.fault(self.part)
            if not fault:
                return
            self.part.unlink()
            # What an older call or another mirror began may belong to another version of the
            # file. The checksum tells, so no validators (ETag) need to be kept beside the part.
            if not inherited:
                raise Refused(fault)
            _log.warning("%s: %s; starting again from its first byte", self.part, fault)
            inherited = False

    def _until_complete(self, url: str) -> None:
        failures, furthest = 0, self._n_bytes()
        while True:
            try:
                return self._one_connection(url)
            except Dropped as reason:
                # Only bytes beyond the furthest count as progress: a server that can't resume
                # and always drops at the same place must not be asked for ever.
                failures = 1 if self._n_bytes() > furthest else failures + 1
                furthest = max(furthest, self._n_bytes())
                if failures >= self.attempts:
                    raise Refused(f"{reason}, {failures} times in a row") from reason
                wait_s = min(2.0 ** (failures - 1), _LONGEST_WAIT_S)
                _log.info("%s: %s; trying again in %g s", url, reason, wait_s)
                self.sleep(wait_s)

    def _one_connection(self, url: str) -> None:
        """Take what one connection gives, from where the part ends."""
        have = self._n_bytes()
        size = self.wanted.size
        if size and have >= size:
            return  # nothing to ask for; the checksum decides
        stream, start, total = connect(url, have, self.timeout_s)
        with contextlib.closing(stream):
            if start > have:
                raise Refused(f"answers from byte {start:,} on when asked from {have:,} on")
            if None not in (size, total) and size != total:
                raise Refused(f"has {total:,} bytes, expected {size:,}")
            self._append(stream, start, size if total is None else total)

    def _append(self, stream: IO[bytes], start: int, total: int | None) -> None:
        self.part.touch()
        bar = tqdm(
            desc=self.part.stem, total=total, initial=start, unit="B", unit_scale=True, disable=None
        )
        with self.part.open("r+b") as file, bar:
            file.seek(start)
            file.truncate()  # a server that ignores ranges begins again at 0
            while piece := read(stream):
                file.write(piece)
                bar.update(len(piece))
                if total is not None and file.tell() > total:
                    return  # longer than promised, perhaps endless; the checksum refuses it
            if total is not None and file.tell() < total:
                raise Dropped(f"the connection closed after {file.tell():,} of {total:,} bytes")

    def _n_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


def _publish(part: Path, destination: Path) -> None:
    """Give the finished part its name, so that a power cut can't take either away again."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(destination)
    folder = os.open(destination.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
