"""Downloads from a real server on this machine: what arrives, and what is refused."""

import hashlib
import os

import pytest

from src.utils.download import fetch
from src.utils.errors import UserError
from tests.utils.flaky_server import BODY, SHA256

MD5 = hashlib.md5(BODY).hexdigest()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


def test_wrong_bytes_never_leave_a_file_behind(server, get, tmp_path):
    page = server.add("/model", b"x" * len(BODY))
    with pytest.raises(UserError, match=rf"/model: wrong checksum \(sha256 .*, expected {SHA256}"):
        get(server.url("/model"))
    assert names(tmp_path) == [] and len(page.asked) == 1


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


def test_what_stays_is_not_asked_twice(server, get, waits):
    server.add("/model", BODY, statuses=[403, 403])
    with pytest.raises(UserError, match=r"/model: HTTP 403 Forbidden; http.*/other: HTTP 404"):
        get(server.url("/model"), server.url("/other"))
    assert waits == []


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
        "file:model.pt",
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
