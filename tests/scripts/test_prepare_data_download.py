"""`scripts.prepare_data --download` from a real server on this machine."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from scripts.prepare_data import main
from scripts.preparing.download import ARCHIVES
from tests.datasets.tiny_corpora import write_an4, write_ljspeech, write_voxforge
from tests.utils.flaky_server import flaky_server


@pytest.fixture
def server():
    with flaky_server() as server:
        yield server


def packed(folder: Path, kind: str) -> bytes:
    """The folder and its name as a .tar.gz or .tar.bz2."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
        tar.add(folder, folder.name)
    return buffer.getvalue()


def small_an4(folder: Path) -> bytes:
    write_an4(folder / "an4", {"an1-fash-b": "YES"}, {"an2-fcaw-b": "NO"})
    return packed(folder / "an4", "gz")


def small_ljspeech(folder: Path) -> bytes:
    write_ljspeech(folder / "LJSpeech-1.1", [("LJ001-0001", "Mr. Ho", "Mister Ho")])
    return packed(folder / "LJSpeech-1.1", "bz2")


def prepare(corpus: str, folder: Path, *options: str) -> list[str]:
    """Texts of the list that the command writes."""
    out = folder / "out.jsonl"
    where = ("--root", folder / "data" / corpus, "--out", out, "--index_dir", folder / "index")
    main([corpus, "--download", *map(str, where), *options])
    return [json.loads(line)["text"] for line in out.read_text().splitlines()]


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("corpus", "make", "texts"),
    [("an4", small_an4, ["YES", "NO"]), ("ljspeech", small_ljspeech, ["Mister Ho"])],
)
def test_an_archive_is_fetched_once_verified_and_unpacked(
    corpus, make, texts, server, tmp_path, capsys
):
    body = make(tmp_path)
    page = server.add(f"/mirror/{ARCHIVES[corpus].name}", body, drops=[1000])
    options = ("--base_url", server.url("/mirror/"), "--sha256", sha256(body))
    assert prepare(corpus, tmp_path, *options) == texts
    assert page.asked == [None, "bytes=1000-"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [corpus]
    assert prepare(corpus, tmp_path, *options) == texts
    assert len(page.asked) == 2
    assert "nothing to download" in capsys.readouterr().out


@pytest.mark.parametrize("corpus", ["an4", "ljspeech"])
def test_another_archive_than_the_known_one_is_refused(corpus, server, tmp_path):
    server.add(f"/{ARCHIVES[corpus].name}", small_an4(tmp_path))
    with pytest.raises(SystemExit, match=f"wrong checksum.*{ARCHIVES[corpus].sha256}"):
        prepare(corpus, tmp_path, "--base_url", server.url(""))
    assert not any((tmp_path / "data").iterdir())


def test_the_digest_of_ljspeech_is_that_which_torchaudio_knows():
    from torchaudio.datasets import ljspeech

    known = ljspeech._RELEASE_CONFIGS["release1"]
    [folder] = ARCHIVES["ljspeech"].folders
    assert f"{folder}/{ARCHIVES['ljspeech'].name}" == known["url"]
    assert ARCHIVES["ljspeech"].sha256 == known["checksum"]


@pytest.fixture
def submissions(tmp_path, server) -> dict[str, bytes]:
    """Archives of VoxForge under /es/ of the server."""
    bodies = {}
    for name in ("ana-2008-abc", "anonymous-2009-xyz"):
        write_voxforge(tmp_path / "made", name, {"es-0001": "Hola.", "es-0002": "Adiós."})
        bodies[f"{name}.tgz"] = packed(tmp_path / "made" / name, "gz")
        server.add(f"/es/{name}.tgz", bodies[f"{name}.tgz"])
    return bodies


def test_submissions_of_voxforge_come_by_a_list_of_digests(submissions, server, tmp_path):
    (first, a), (second, b) = submissions.items()
    lines = f"{sha256(a)}  {first}\n\n{hashlib.md5(b).hexdigest()} *{second}\r\n"
    (tmp_path / "sums").write_text(lines)
    options = ("--base_url", server.url("/es"), "--archives", str(tmp_path / "sums"))
    for _ in range(2):
        assert prepare("voxforge", tmp_path, *options) == ["Hola.", "Adiós."] * 2
    assert [len(page.asked) for page in server.pages.values()] == [1, 1]
    assert not list((tmp_path / "data").rglob("*.tgz"))


def test_a_submission_that_is_not_the_listed_one_is_refused(submissions, server, tmp_path):
    name = next(iter(submissions))
    (tmp_path / "sums").write_text(f"{'0' * 64}  {name}\n")
    options = ("--base_url", server.url("/es"), "--archives", str(tmp_path / "sums"))
    with pytest.raises(SystemExit, match="wrong checksum"):
        prepare("voxforge", tmp_path, *options)
    assert not any((tmp_path / "data" / "voxforge").iterdir())


@pytest.mark.parametrize("line", ["a.tgz", f"{'0' * 64}  ../a.tgz", f"{'0' * 63}  a.tgz"])
def test_a_list_of_other_lines_is_refused(line, tmp_path):
    (tmp_path / "sums").write_text(f"{line}\n")
    with pytest.raises(SystemExit, match=r"sums: met '.*each line should read 'DIGEST NAME\.tgz'"):
        prepare("voxforge", tmp_path, "--archives", str(tmp_path / "sums"))
