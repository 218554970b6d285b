"""`--download`: fetched, verified, unpacked whole or not at all."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from scripts.prepare_speech_commands import SHA256, main
from tests.datasets.commands.tiny_commands import write_corpus

ARCHIVE = "speech_commands_v0.02.tar.gz"


@pytest.fixture
def mirror(tmp_path) -> Path:
    """A folder that holds the archive of a small corpus, as the official server does."""
    write_corpus(tmp_path / "made", n_each=1)
    (tmp_path / "mirror").mkdir()
    with tarfile.open(tmp_path / "mirror" / ARCHIVE, "w:gz") as tar:
        for path in sorted((tmp_path / "made").iterdir()):
            tar.add(path, f"./{path.name}")
    return tmp_path / "mirror"


def download(mirror: Path, sha256: str | None = None) -> None:
    sha256 = sha256 or hashlib.sha256((mirror / ARCHIVE).read_bytes()).hexdigest()
    source, out = mirror.parent / "data/clips", mirror.parent / "out.h5"
    options = f"--download --source {source} --out {out} --base_url {mirror.as_uri()}/"
    main([*options.split(), "--sha256", sha256])


def test_the_archive_is_fetched_verified_unpacked_and_packed(mirror, capsys):
    download(mirror)
    assert "12" in capsys.readouterr().out.split("all")[-1]
    assert (mirror.parent / "out.h5").is_file()
    assert [path.name for path in (mirror.parent / "data").iterdir()] == ["clips"]


def test_a_folder_that_is_there_is_not_downloaded_again(mirror, capsys):
    download(mirror)
    (mirror / ARCHIVE).write_bytes(b"gone")
    download(mirror)
    assert "nothing to download" in capsys.readouterr().out


def test_a_wrong_checksum_leaves_no_folder_and_no_file(mirror):
    with pytest.raises(SystemExit, match="sha256"):
        download(mirror, sha256=SHA256["v0.02"])
    assert not (mirror.parent / "out.h5").exists()
    assert not list(mirror.parent.glob("data/*"))


def test_what_a_killed_unpacking_left_is_swept_away(mirror):
    left = mirror.parent / "data/.clips.partial/yes/half.wav"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"RIFF")
    download(mirror)
    assert [path.name for path in (mirror.parent / "data").iterdir()] == ["clips"]


def test_an_archive_that_leads_out_of_its_folder_is_refused(mirror):
    with tarfile.open(mirror / ARCHIVE, "w:gz") as tar:
        member = tarfile.TarInfo("../../escaped.txt")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(SystemExit, match=r"could not be unpacked into .*escaped\.txt"):
        download(mirror)
    assert not list(mirror.parent.rglob("escaped.txt"))
    assert not (mirror.parent / "data/clips").exists()


def test_a_damaged_archive_is_refused_and_nothing_stays_unpacked(mirror):
    whole = (mirror / ARCHIVE).read_bytes()
    (mirror / ARCHIVE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SystemExit, match=r"could not be unpacked .* delete the archive"):
        download(mirror)
    assert [path.name for path in (mirror.parent / "data").iterdir()] == [ARCHIVE]


def test_help_shows_whole_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "python -m scripts.prepare_speech_commands --download" in shown
    assert "validation_list.txt" in shown
