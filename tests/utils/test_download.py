"""Downloads from a real server on this machine that drops, stalls, lies and forgets."""

import hashlib
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from src.utils.download import fetch
from src.utils.errors import UserError
from tests.conftest import REPOSITORY
from tests.utils.flaky_server import flaky_server

BODY = random.Random(0).randbytes(700_001)
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def server():
    with flaky_server() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """Seconds between attempts, kept instead of slept."""
    return []


@pytest.fixture
def get(tmp_path, waits):
    """Fetch into tmp_path/model.pt without sleeping."""

    def get(*urls, **options):
        options = {"sha256": SHA256} | options
        return fetch(urls, tmp_path / "model.pt", sleep=waits.append, **options)

    return get


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave_part(tmp_path, content: bytes) -> None:
    (tmp_path / "model.pt.part").write_bytes(content)


@pytest.mark.parametrize("checksum", [{"sha256": SHA256}, {"sha256": None, "md5": MD5.upper()}])
def test_a_file_arrives_whole_and_alone(server, get, tmp_path, checksum):
    server.add("/model", BODY)
    assert get(server.url("/model"), size=len(BODY), **checksum).read_bytes() == BODY
    assert names(tmp_path) == ["model.pt"]


def test_missing_folders_are_made(server, tmp_path):
    server.add("/model", BODY)
    path = fetch(server.url("/model"), tmp_path / "a" / "b" / "model.pt", sha256=SHA256)
    assert path.read_bytes() == BODY


def test_a_verified_file_is_not_downloaded_again(get, tmp_path):
    (tmp_path / "model.pt").write_bytes(BODY)
    assert get("http://127.0.0.1:9/nobody-listens").read_bytes() == BODY


def test_a_file_that_no_longer_matches_is_downloaded_again(server, get, tmp_path, caplog):
    (tmp_path / "model.pt").write_bytes(BODY[:-1])
    server.add("/model", BODY)
    assert get(server.url("/model")).read_bytes() == BODY
    assert "wrong checksum" in caplog.text and "downloading it again" in caplog.text


def test_an_empty_file_can_be_fetched(server, get):
    server.add("/empty")
    sha256 = hashlib.sha256().hexdigest()
    assert get(server.url("/empty"), sha256=sha256, size=0).read_bytes() == b""


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


def test_wrong_bytes_never_leave_a_file_behind(server, get, tmp_path):
    page = server.add("/model", b"x" * len(BODY))
    with pytest.raises(UserError, match=rf"/model: wrong checksum \(sha256 .*, expected {SHA256}"):
        get(server.url("/model"))
    assert names(tmp_path) == [] and len(page.asked) == 1


def test_wrong_bytes_behind_a_good_part_leave_nothing_either(server, get, tmp_path):
    leave_part(tmp_path, BODY[:1000])
    page = server.add("/model", b"x" * len(BODY), drops=[5000, 5000])
    with pytest.raises(UserError, match="wrong checksum"):
        get(server.url("/model"))
    assert names(tmp_path) == []
    assert page.asked.count(None) == 1  # one clean start and no more


def test_a_failed_download_leaves_an_older_file_as_it_was(server, get, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"older")
    server.add("/model", b"x" * len(BODY))
    with pytest.raises(UserError, match="wrong checksum"):
        get(server.url("/model"))
    assert (tmp_path / "model.pt").read_bytes() == b"older" and names(tmp_path) == ["model.pt"]


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(server, get, tmp_path):
    server.add("/model", BODY)
    with pytest.raises(UserError, match=r"has 700,001 bytes, expected 12"):
        get(server.url("/model"), size=12)
    assert names(tmp_path) == []


def test_a_body_longer_than_promised_is_not_waited_for(server, get, tmp_path, waits):
    server.add("/model", BODY + bytes(9), announces=False, stalls=[len(BODY) + 9])
    with pytest.raises(UserError, match=r"bytes instead of 700,001"):
        get(server.url("/model"), size=len(BODY), timeout_s=0.5)
    assert names(tmp_path) == [] and waits == []


def test_mirrors_are_tried_in_order(server, get):
    lying = server.add("/lying", b"x" * len(BODY))
    honest = server.add("/honest", BODY)
    spare = server.add("/spare", BODY)
    urls = [server.url(path) for path in ("/absent", "/lying", "/honest", "/spare")]
    assert get(*urls).read_bytes() == BODY
    assert (len(lying.asked), len(honest.asked), len(spare.asked)) == (1, 1, 0)


def test_the_next_mirror_goes_on_where_the_last_one_broke(server, get):
    server.add("/weak", BODY, drops=[300_000, 0])
    strong = server.add("/strong", BODY)
    assert get(server.url("/weak"), server.url("/strong"), attempts=2).read_bytes() == BODY
    assert strong.asked == ["bytes=300000-"]


def test_what_passes_is_waited_for_longer_and_longer(server, get, waits):
    server.add("/model", BODY, statuses=[500, 503, 429])
    assert get(server.url("/model")).read_bytes() == BODY
    assert waits == [1.0, 2.0, 4.0]


def test_what_stays_is_not_asked_twice(server, get, waits):
    server.add("/model", BODY, statuses=[403, 403])
    with pytest.raises(UserError, match=r"/model: HTTP 403 Forbidden; http.*/other: HTTP 404"):
        get(server.url("/model"), server.url("/other"))
    assert waits == []


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


def test_where_nobody_listens_the_reason_is_told(get, tmp_path):
    with pytest.raises(UserError, match=r"no connection \(.*refused\), 2 times in a row"):
        get("http://127.0.0.1:9/model", attempts=2)
    assert names(tmp_path) == []


def test_a_server_that_speaks_no_tls_is_told(server, get):
    with pytest.raises(UserError, match=r"no connection \(.*SSL"):
        get(server.url("/model").replace("http:", "https:"), attempts=1)


def test_redirects_are_followed(server, get):
    server.add("/model", BODY, drops=[1000])
    server.add("/moved", location=server.url("/model"))
    assert get(server.url("/moved")).read_bytes() == BODY


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_a_redirect_never_leaves_the_network(server, get, tmp_path, waits, scheme):
    secret = tmp_path / "secret"
    secret.write_bytes(BODY)
    server.add("/moved", location=f"{scheme}://localhost{secret}")
    with pytest.raises(UserError, match=r"/moved: "):
        get(server.url("/moved"))
    assert names(tmp_path) == ["secret"] and waits == []


def test_a_local_file_is_copied_from_where_its_part_ends(get, tmp_path, caplog):
    source = tmp_path / "a source with spaces"
    source.write_bytes(BODY)
    leave_part(tmp_path, BODY[:1000])
    assert get(source.as_uri()).read_bytes() == BODY
    assert names(tmp_path) == ["a source with spaces", "model.pt"]
    assert "starting again" not in caplog.text


def test_a_local_file_that_is_absent_is_named(get, tmp_path):
    with pytest.raises(UserError, match="absent: No such file"):
        get((tmp_path / "absent").as_uri())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/model",
        "model.pt",
        "/model.pt",
        "https://",
        "https://[::1",
        "file://elsewhere/model",
        "data:text/plain,hello",
    ],
)
def test_other_addresses_are_refused(get, tmp_path, url):
    with pytest.raises(UserError, match="can't be fetched: expected https://HOST/PATH"):
        get(url)
    assert names(tmp_path) == []


def test_an_address_with_a_wrong_port_is_refused_at_once(get, waits):
    with pytest.raises(UserError, match="not a usable address"):
        get("http://127.0.0.1:port/model")
    assert waits == []


def test_a_download_without_a_checksum_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(TypeError, match="sha256= or md5="):
        fetch("http://127.0.0.1:9/model", tmp_path / "model.pt")


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(server, get, tmp_path):
    server.add("/model", BODY)
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"could not be written \(Permission denied\)"):
        get(server.url("/model"))


def test_a_destination_below_a_file_is_named(server, tmp_path):
    server.add("/model", BODY)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file: could not be written \(File exists\)"):
        fetch(server.url("/model"), tmp_path / "file" / "model.pt", sha256=SHA256)
