"""A real HTTP server on 127.0.0.1 that misbehaves the way that a test asks for."""

import hashlib
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = random.Random(0).randbytes(700_001)  # what the tests download
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Page:
    """What the server does with one path, and what it was asked."""

    body: bytes = b""
    ranges: bool = True  # answers Range with 206; else with the whole body and 200
    announces: bool = True  # sends Content-Length
    statuses: list[int] = field(default_factory=list)  # of the first answers, before any 200
    drops: list[int] = field(default_factory=list)  # body bytes of the next answers before a cut
    resets: bool = False  # cuts with RST instead of FIN
    stalls: list[int] = field(default_factory=list)  # the same, but falls silent instead
    location: str = ""  # redirects there
    asked: list[str | None] = field(default_factory=list)  # Range header of each request


class FlakyServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.closing = threading.Event()

    def add(self, path: str, body: bytes = b"", **behaviour) -> Page:
        """Serve `body` under `path`; `behaviour` as the fields of Page."""
        self.pages[path] = Page(body, **behaviour)
        return self.pages[path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextmanager
def flaky_server() -> Iterator[FlakyServer]:
    with FlakyServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        if page is None:
            return self.send_error(404)
        page.asked.append(self.headers.get("Range"))
        if page.location:
            self.send_response(302)
            self.send_header("Location", page.location)
            return self.end_headers()
        if page.statuses:
            return self.send_error(page.statuses.pop(0))
        return self._send(page)

    def _send(self, page: Page) -> None:
        start = self._start(page)
        if start and start >= len(page.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            n = len(page.body)
            self.send_header("Content-Range", f"bytes {start}-{n - 1}/{n}")
        if page.announces:
            self.send_header("Content-Length", str(len(page.body) - start))
        self.end_headers()
        rest = page.body[start:]
        if page.stalls:
            self.wfile.write(rest[: page.stalls.pop(0)])
            self.server.closing.wait()
        elif page.drops:
            self.wfile.write(rest[: page.drops.pop(0)])
            if page.resets:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
        else:
            self.wfile.write(rest)

    def _start(self, page: Page) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked and page.ranges else 0

    def log_message(self, *args) -> None:
        """Keep the test's output clean."""
