"""One connection to one URL, and whether asking again could help when it fails."""

import io
import re
import ssl
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import BinaryIO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from src.utils.errors import UserError

_PIECE = 1 << 18  # most bytes read at once
_COME_BACK_LATER = (408, 425, 429)  # HTTP statuses that pass, as all from 500 up may


class Dropped(Exception):
    """It may go better the next time."""


class Refused(Exception):
    """This URL won't give the file, however often it is asked."""


def check_url(url: str) -> None:
    """Refuse what can't be fetched.

    Raises:
        UserError: not an absolute https://, http:// or file:// URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # such as an IPv6 address without its closing bracket
        parts = urlsplit("")
    local = parts.scheme == "file" and parts.path[:1] == "/" and parts.netloc in ("", "localhost")
    remote = parts.scheme in ("https", "http") and parts.netloc
    if not (local or remote):
        raise UserError(
            f"{url!r} can't be fetched: expected https://HOST/PATH, http://HOST/PATH or "
            "file:///ABSOLUTE/PATH."
        )


def connect(url: str, have: int, timeout_s: float) -> tuple[BinaryIO, int, int | None]:
    """The bytes at `url`, from byte `have` on where the other side can.

    Returns:
        The stream, the place of its first byte in the file (0 where the server ignores ranges),
        and the size of the whole file where it is told.

    Raises:
        Dropped, Refused.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _open_local(Path(request.url2pathname(parts.path)), have)
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        answer = _OPENER.open(request.Request(url, headers=headers), timeout=timeout_s)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing lies behind `have`: that is all there is
            return io.BytesIO(), have, None
        passing = error.code >= 500 or error.code in _COME_BACK_LATER
        raise (Dropped if passing else Refused)(f"HTTP {error.code} {error.reason}") from error
    except (ValueError, InvalidURL) as error:
        raise Refused(f"not a usable address ({error})") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        # urllib's own refusals, such as a redirect to another scheme, are plain strings.
        lasting = isinstance(reason, ssl.SSLCertVerificationError | str)
        raise (Refused if lasting else Dropped)(f"no connection ({reason})") from error
    start = 0
    if answer.status == 206:
        told = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        start = int(told[1]) if told else have
    return answer, start, None if answer.length is None else start + answer.length


def read(stream: BinaryIO) -> bytes:
    """The next bytes; none at the end, which a drop may have put too early.

    Raises:
        Dropped: the connection broke or stayed silent for longer than its time-out.
    """
    try:
        return stream.read1(_PIECE)  # what has come so far: little is lost when the rest does not
    except (OSError, HTTPException) as error:
        raise Dropped(f"the connection broke ({error})") from error


def _open_local(path: Path, have: int) -> tuple[BinaryIO, int, int]:
    try:
        total = path.stat().st_size
        stream = path.open("rb")
    except OSError as error:
        raise Refused(error.strerror or str(error)) from error
    start = min(have, total)
    stream.seek(start)
    return stream, start, total


def _opener() -> request.OpenerDirector:
    """HTTP and HTTPS with proxies and redirects, and no other scheme, not even by a redirect."""
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
