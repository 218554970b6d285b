"""Large files over an unreliable network: resumed, verified, and whole or absent."""

import contextlib
import hashlib
import io
import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import IO, NamedTuple
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from src.utils.errors import UserError

SCHEMES = ("https", "http", "file")

_PIECE = 1 << 18  # bytes read at once
_LONGEST_WAIT_S = 60.0
_COME_BACK_LATER = (408, 425, 429)  # HTTP statuses that pass, as all from 500 up may

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
    wanted = _Wanted("sha256" if sha256 else "md5", (sha256 or md5).lower(), size)
    urls = [urls] if isinstance(urls, str) else list(urls)
    for url in urls:
        check_url(url)
    destination = Path(destination)
    part = destination.with_name(destination.name + ".part")
    try:
        if destination.exists():
            fault = wanted.fault(destination)
            if not fault:
                return destination
            _log.warning("%s: %s; downloading it again", destination, fault)
        part.parent.mkdir(parents=True, exist_ok=True)
        _Download(part, wanted, timeout_s, attempts, sleep).from_any(urls)
        _publish(part, destination)
    except OSError as error:  # those of the network have become _Dropped or _Refused
        raise UserError(
            f"{destination}: could not be written ({error.strerror or error}). What has arrived is "
            f"kept in {part.name}; free some space, then the same command goes on from there."
        ) from error
    return destination


def check_url(url: str) -> None:
    """Refuse what can't be fetched.

    Raises:
        UserError: not an absolute https://, http:// or file:// URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    local = parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost")
    remote = parts.scheme in SCHEMES[:2] and parts.netloc
    if not (local or remote):
        raise UserError(
            f"{url!r} can't be fetched: expected https://HOST/PATH, http://HOST/PATH or "
            "file:///ABSOLUTE/PATH."
        )


class _Dropped(Exception):
    """It may go better the next time."""


class _Refused(Exception):
    """This URL won't give the file, however often it is asked."""


class _Wanted(NamedTuple):
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


@dataclass(frozen=True)
class _Download:
    """Bytes into `part` until they are those that were wanted."""

    part: Path
    wanted: _Wanted
    timeout_s: float
    attempts: int
    sleep: Callable[[float], None]

    def from_any(self, urls: list[str]) -> None:
        """Fill the part from the first URL that can."""
        reasons = []
        for url in urls:
            try:
                return self.from_one(url)
            except _Refused as reason:
                reasons.append(f"{url}: {reason}")
        kept = " What has arrived is kept and will be resumed." if self.part.exists() else ""
        raise UserError(
            f"{self.part.with_suffix('').name} could not be downloaded. {'; '.join(reasons)}.{kept}"
            " Check the connection and the address, then run the command again."
        )

    def from_one(self, url: str) -> None:
        """Connect until all is there; a part left by others gets the benefit of the doubt once."""
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
                raise _Refused(fault)
            _log.warning("%s: %s; starting again from its first byte", self.part, fault)
            inherited = False

    def _until_complete(self, url: str) -> None:
        failures, reached = 0, self._n_bytes()
        while True:
            try:
                return self._connect(url)
            except _Dropped as reason:
                # Only bytes beyond the furthest count as progress: a server that can't resume
                # and always drops at the same place must not be asked for ever.
                failures = 1 if self._n_bytes() > reached else failures + 1
                reached = max(reached, self._n_bytes())
                if failures >= self.attempts:
                    raise _Refused(f"{reason} (tried {failures} times)") from reason
                self.sleep(min(2.0 ** (failures - 1), _LONGEST_WAIT_S))

    def _connect(self, url: str) -> None:
        """Take what one connection gives, from where the part ends."""
        have = self._n_bytes()
        size = self.wanted.size
        if size is not None and have >= size > 0:
            return  # the checksum decides
        stream, start, total = _open(url, have, self.timeout_s)
        with contextlib.closing(stream):
            if start > have:
                raise _Refused(f"answers from byte {start} on, asked for {have}")
            if None not in (size, total) and size != total:
                raise _Refused(f"has {total:,} bytes, expected {size:,}")
            self._copy(stream, start, size if total is None else total)

    def _copy(self, stream: IO[bytes], start: int, total: int | None) -> None:
        self.part.touch()
        name = self.part.with_suffix("").name
        with (
            self.part.open("r+b") as file,
            tqdm(
                desc=name, total=total, initial=start, unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            file.seek(start)
            file.truncate()  # a server that ignores Range begins again at 0
            for piece in iter(lambda: _read(stream), b""):
                file.write(piece)
                bar.update(len(piece))
            if total is not None and file.tell() < total:
                raise _Dropped(f"the connection closed after {file.tell():,} of {total:,} bytes")

    def _n_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_PIECE)
    except (OSError, HTTPException) as error:
        raise _Dropped(f"the connection broke ({error})") from error


def _open(url: str, have: int, timeout_s: float) -> tuple[IO[bytes], int, int | None]:
    """The bytes at `url`, if possible from byte `have` on: (stream, its first byte, file size)."""
    if urlsplit(url).scheme == "file":
        return _open_local(Path(request.url2pathname(urlsplit(url).path)), have)
    try:
        headers = {"Range": f"bytes={have}-"} if have else {}
        answer = _OPENER.open(request.Request(url, headers=headers), timeout=timeout_s)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing behind `have`: the part is all there is
            return io.BytesIO(), have, None
        passing = error.code >= 500 or error.code in _COME_BACK_LATER
        raise (_Dropped if passing else _Refused)(f"HTTP {error.code} {error.reason}") from error
    except (ValueError, InvalidURL) as error:
        raise _Refused(f"not a usable address ({error})") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        final = isinstance(reason, ssl.SSLCertVerificationError | str)
        raise (_Refused if final else _Dropped)(f"no connection ({reason})") from error
    start = 0
    if answer.status == 206:
        told = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        start = int(told[1]) if told else have
    return answer, start, None if answer.length is None else start + answer.length


def _open_local(path: Path, have: int) -> tuple[IO[bytes], int, int]:
    try:
        total = path.stat().st_size
        stream = path.open("rb")
    except OSError as error:
        raise _Refused(error.strerror or str(error)) from error
    start = min(have, total)
    stream.seek(start)
    return stream, start, total


def _opener() -> request.OpenerDirector:
    """HTTP and HTTPS with proxies and redirects, and no other scheme: not even by a redirect."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _opener()


def _publish(part: Path, destination: Path) -> None:
    """Give the finished part its name, for good."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(destination)
    folder = os.open(destination.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
