"""Parts of LibriSpeech fetched from a real server: asked for, verified, whole or not at all."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from src.datasets import LibriSpeech
from src.datasets.librispeech.parts import ARCHIVES
from src.text import Characters
from src.utils import locks
from src.utils.errors import UserError
from tests.conftest import REPOSITORY
from tests.datasets.tiny_corpus import write_chapter
from tests.utils.flaky_server import flaky_server

PART = "dev-clean"


@pytest.fixture
def server():
    with flaky_server() as server:
        yield server


def archive(folder: Path, names: dict[Path, str]) -> bytes:
    """A .tar.gz of `folder`: path on disk → name in the archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, name in names.items():
            tar.add(path, name)
    return buffer.getvalue()


@pytest.fixture
def official(tmp_path) -> bytes:
    """An archive in the official layout with one speaker and a README."""
    source = tmp_path / "source"
    write_chapter(source / PART, "84", {"GO UP": 0.5, "STOP": 0.25})
    (source / "README.TXT").write_text("about the corpus")
    return archive(
        source,
        {
            source / "README.TXT": "LibriSpeech/README.TXT",
            source / PART: f"LibriSpeech/{PART}",
        },
    )


def load(server, root: Path, body: bytes, **keys) -> LibriSpeech:
    """The part, fetched from `server`, whose archive `body` is."""
    checksums = {PART: hashlib.sha256(body).hexdigest()}
    options = {"download": True, "base_url": server.url("/12/"), "checksums": checksums} | keys
    return LibriSpeech(root, [PART], Characters(), **options)


def below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_missing_part_is_fetched_once_and_leaves_no_archive(server, tmp_path, official):
    page = server.add(f"/12/{PART}.tar.gz", official)
    root = tmp_path / "data" / "LibriSpeech"
    for _ in range(2):
        corpus = load(server, root, official)
        assert list(corpus.ids) == ["84-1-0000", "84-1-0001"]
        assert corpus[0].target == "go up"
        assert below(root) == ["README.TXT", PART]
    assert len(page.asked) == 1


FETCH_AND_WAIT = """
import sys
from pathlib import Path
from src.datasets.librispeech import download
fetch = download.fetch
def told(*args, **keys):
    print("fetching", flush=True)
    sys.stdin.readline()
    return fetch(*args, **keys)
download.fetch = told
root, url, part, digest = sys.argv[1:]
download.download_missing(Path(root), [part], url, {part: digest})
"""


def test_of_several_processes_one_fetches_and_the_others_wait(
    server, tmp_path, official, monkeypatch
):
    """Each of torchrun's fetched the same archive into the same file, and all but one failed."""
    page = server.add(f"/12/{PART}.tar.gz", official)
    digest, root = hashlib.sha256(official).hexdigest(), tmp_path / "LibriSpeech"
    command = [sys.executable, "-c", FETCH_AND_WAIT, root, server.url("/12"), PART, digest]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "fetching\n"
        monkeypatch.setattr(locks.logger, "info", lambda *_: print(file=first.stdin, flush=True))
        assert len(load(server, root, official)) == 2
    assert first.returncode == 0 and len(page.asked) == 1
    assert below(root) == ["README.TXT", PART]


def test_parts_join_a_corpus_that_is_there_already(server, tmp_path, official):
    server.add(f"/12/{PART}.tar.gz", official)
    home = tmp_path / "data" / "LibriSpeech"
    home.mkdir(parents=True)
    (home / "README.TXT").write_text("ours")
    load(server, tmp_path / "data", official)
    assert below(home) == ["README.TXT", PART]
    assert (home / "README.TXT").read_text() == "ours"


def test_a_dropped_connection_is_taken_up_where_it_broke(server, tmp_path, official):
    page = server.add(f"/12/{PART}.tar.gz", official, drops=[1000])
    assert len(load(server, tmp_path / "new", official)) == 2
    assert page.asked == [None, "bytes=1000-"]


def test_mirrors_are_tried_in_turn(server, tmp_path, official):
    server.add(f"/mirror/{PART}.tar.gz", official)
    bases = [server.url("/gone"), server.url("/mirror")]
    assert len(load(server, tmp_path / "new", official, base_url=bases)) == 2


def test_nothing_is_fetched_unasked(server, tmp_path, official):
    page = server.add(f"/12/{PART}.tar.gz", official)
    with pytest.raises(UserError, match=r"dataset\.download=true"):
        load(server, tmp_path / "new", official, download=False)
    assert page.asked == []
    assert below(tmp_path / "new") == []


def test_another_archive_than_the_official_one_is_refused(server, tmp_path, official):
    server.add(f"/12/{PART}.tar.gz", official)
    with pytest.raises(UserError, match=r"sha256|SHA-256"):
        load(server, tmp_path / "new", official, checksums=None)
    assert PART not in below(tmp_path / "new")


def test_official_checksums_are_those_that_torchaudio_knows():
    from torchaudio.datasets import librispeech

    known = {
        url.rsplit("/", 1)[1].removesuffix(".tar.gz"): digest
        for url, digest in librispeech._CHECKSUMS.items()
    }
    assert {part: digest for part, (_, digest) in ARCHIVES.items()} == known


def cut_short(official: bytes) -> bytes:
    return official[:-100]


def not_packed(official: bytes) -> bytes:
    return b"<html>a page instead of an archive</html>"


def damaged_inside(official: bytes) -> bytes:
    return gzip.compress(b"\0garbage" * 200)


@pytest.mark.parametrize("damage", [cut_short, not_packed, damaged_inside])
def test_an_archive_that_does_not_unpack_leaves_no_half_part(server, tmp_path, official, damage):
    body = damage(official)
    server.add(f"/12/{PART}.tar.gz", body)
    with pytest.raises(UserError, match=rf"{PART}\.tar\.gz: could not be unpacked .* Remove it"):
        load(server, tmp_path / "new", body)
    assert below(tmp_path / "new") == [f"{PART}.tar.gz"]


def test_an_archive_that_reaches_out_of_its_folder_is_refused(server, tmp_path, official):
    evil = tmp_path / "evil.txt"
    evil.write_text("surprise")
    body = archive(tmp_path, {tmp_path / "source" / PART: f"LibriSpeech/{PART}", evil: "../../x"})
    server.add(f"/12/{PART}.tar.gz", body)
    with pytest.raises(UserError, match="could not be unpacked"):
        load(server, tmp_path / "new", body)
    assert not list(tmp_path.rglob("x"))
    assert PART not in below(tmp_path / "new")


def test_the_archive_of_another_part_is_refused(server, tmp_path):
    write_chapter(tmp_path / "test-clean", "84", {"GO": 0.1})
    body = archive(tmp_path, {tmp_path / "test-clean": "LibriSpeech/test-clean"})
    server.add(f"/12/{PART}.tar.gz", body)
    with pytest.raises(UserError, match=f"holds no folder LibriSpeech/{PART}"):
        load(server, tmp_path / "new", body)
    assert "test-clean" not in below(tmp_path / "new")


def test_a_part_that_nobody_offers_is_named(server, tmp_path):
    with pytest.raises(UserError, match=r"train-clean-10: not a part .* mean train-clean-100"):
        LibriSpeech(tmp_path, "train-clean-10", None, download=True, base_url=server.url("/12"))


def test_a_root_that_cannot_be_written_is_named(server, tmp_path, official):
    server.add(f"/12/{PART}.tar.gz", official)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/root.*: could not be written"):
        load(server, tmp_path / "file" / "root", official)
