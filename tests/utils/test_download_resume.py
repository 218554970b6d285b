"""Downloads cut by the network, a full disk or a kill: the next one goes on from there."""

import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from src.utils.errors import UserError
from tests.conftest import REPOSITORY
from tests.utils.flaky_server import BODY, SHA256


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave_part(tmp_path, content: bytes) -> None:
    (tmp_path / "model.pt.part").write_bytes(content)


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("announces", [False, True])
def test_dropped_connections_are_resumed(server, get, waits, resets, announces):
    page = server.add(
        "/model", BODY, drops=[100_000, 0, 200_000], resets=resets, announces=announces
    )
    assert get(server.url("/model"), size=len(BODY)).read_bytes() == BODY
    assert len(page.asked) == 4 and page.asked[0] is None
    assert page.asked[-1] is not None or resets  # a reset may take all that came with it
    assert len(waits) == 3


def test_each_request_asks_for_what_is_missing(server, get):
    page = server.add("/model", BODY, drops=[100_000, 200_000])
    get(server.url("/model"))
    assert page.asked == [None, "bytes=100000-", "bytes=300000-"]


def test_an_interrupted_download_goes_on_from_its_part(server, get, tmp_path):
    leave_part(tmp_path, BODY[:600_000])
    page = server.add("/model", BODY)
    assert get(server.url("/model")).read_bytes() == BODY
    assert page.asked == ["bytes=600000-"]


def test_a_server_that_ignores_ranges_begins_again(server, get, tmp_path):
    leave_part(tmp_path, b"x" * 600_000)
    page = server.add("/model", BODY, ranges=False, drops=[300_000])
    assert get(server.url("/model")).read_bytes() == BODY
    assert page.asked == ["bytes=600000-", "bytes=300000-"]


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_part_that_is_complete_is_only_verified(server, get, tmp_path, size):
    leave_part(tmp_path, BODY)
    page = server.add("/model", BODY)
    assert get(server.url("/model"), size=size).read_bytes() == BODY
    assert page.asked == ([] if size else [f"bytes={len(BODY)}-"])  # answered with 416


@pytest.mark.parametrize("size", [None, len(BODY)])
@pytest.mark.parametrize(
    "part",
    [b"x" * 1000, b"x" * len(BODY), BODY + b"x"],
    ids=["an older version", "another file", "too long"],
)
def test_a_wrong_part_costs_one_clean_start(server, get, tmp_path, caplog, part, size):
    leave_part(tmp_path, part)
    page = server.add("/model", BODY)
    assert get(server.url("/model"), size=size).read_bytes() == BODY
    assert page.asked[-1] is None
    assert "starting again from its first byte" in caplog.text


def test_wrong_bytes_behind_a_good_part_leave_nothing_either(server, get, tmp_path):
    leave_part(tmp_path, BODY[:1000])
    page = server.add("/model", b"x" * len(BODY), drops=[5000, 5000])
    with pytest.raises(UserError, match="wrong checksum"):
        get(server.url("/model"))
    assert names(tmp_path) == []
    assert page.asked.count(None) == 1  # one clean start and no more


def test_the_next_mirror_goes_on_where_the_last_one_broke(server, get):
    server.add("/weak", BODY, drops=[300_000, 0])
    strong = server.add("/strong", BODY)
    assert get(server.url("/weak"), server.url("/strong"), attempts=2).read_bytes() == BODY
    assert strong.asked == ["bytes=300000-"]


def test_what_passes_is_waited_for_longer_and_longer(server, get, waits):
    server.add("/model", BODY, statuses=[500, 503, 429])
    assert get(server.url("/model")).read_bytes() == BODY
    assert waits == [1.0, 2.0, 4.0]


def test_a_server_without_ranges_that_always_drops_is_given_up(server, get, tmp_path):
    page = server.add("/model", BODY, ranges=False, drops=[300_000] * 10)
    message = r"closed after 300,000 of 700,001 bytes, 3 times in a row.* goes on from what"
    with pytest.raises(UserError, match=message):
        get(server.url("/model"), attempts=3)
    assert len(page.asked) == 3  # one that brought bytes, two that brought no new ones
    assert names(tmp_path) == ["model.pt.part"]


def test_many_drops_are_survived_as_long_as_bytes_arrive(server, get, waits):
    server.add("/model", BODY, drops=[100_000] * 6)
    assert get(server.url("/model"), attempts=2).read_bytes() == BODY
    assert waits == [1.0] * 6


def test_silence_counts_as_a_dropped_connection(server, get, waits):
    page = server.add("/model", BODY, stalls=[300_000])
    assert get(server.url("/model"), timeout_s=0.2).read_bytes() == BODY
    assert page.asked == [None, "bytes=300000-"] and len(waits) == 1


def test_each_new_attempt_is_logged(server, get, caplog):
    caplog.set_level(logging.INFO)
    server.add("/model", BODY, statuses=[503])
    get(server.url("/model"))
    assert "HTTP 503 Service Unavailable; trying again in 1 s" in caplog.text


def test_a_local_file_is_copied_from_where_its_part_ends(get, tmp_path, caplog):
    source = tmp_path / "a source with spaces"
    source.write_bytes(BODY)
    leave_part(tmp_path, BODY[:1000])
    assert get(source.as_uri()).read_bytes() == BODY
    assert names(tmp_path) == ["a source with spaces", "model.pt"]
    assert "starting again" not in caplog.text


def fetch_elsewhere(url: str, path, **options) -> subprocess.Popen:
    """The same call in a process of its own."""
    code = f"""
        from src.utils.download import fetch
        from src.utils.errors import UserError
        try:
            fetch({url!r}, {str(path)!r}, sha256={SHA256!r})
        except UserError as error:
            print(error)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_full_disk_keeps_the_part_and_the_next_call_resumes_it(server, get, tmp_path):
    page = server.add("/model", BODY)

    def leave_room_for_half_of_it():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    process = fetch_elsewhere(
        server.url("/model"), tmp_path / "model.pt", preexec_fn=leave_room_for_half_of_it
    )
    printed, _ = process.communicate()
    assert "model.pt: could not be written" in printed and "Free some space" in printed
    assert names(tmp_path) == ["model.pt.part"]
    arrived = (tmp_path / "model.pt.part").stat().st_size
    assert 0 < arrived <= 400_000
    assert get(server.url("/model")).read_bytes() == BODY
    assert page.asked == [None, f"bytes={arrived}-"]


def test_a_killed_download_leaves_only_a_part_and_the_next_call_resumes_it(server, get, tmp_path):
    page = server.add("/model", BODY, stalls=[300_000])
    part = tmp_path / "model.pt.part"
    process = fetch_elsewhere(server.url("/model"), tmp_path / "model.pt")
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert names(tmp_path) == ["model.pt.part"]
    arrived = part.stat().st_size
    assert get(server.url("/model")).read_bytes() == BODY
    assert page.asked == [None, f"bytes={arrived}-"]
