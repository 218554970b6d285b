"""Files are whole or absent: after errors, on a full disk, and when the process is killed."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from src.utils.errors import UserError
from src.utils.files import atomic_write, sha256, walk, write_json
from tests.conftest import REPOSITORY


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def start_python(code: str, *arguments, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, **options)


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new"
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and whole")
    assert path.read_bytes() == b"half and whole" and names(tmp_path) == ["new"]


@pytest.mark.parametrize("sync", [True, False])
def test_a_reader_meets_the_old_file_until_the_new_one_is_complete(tmp_path, sync):
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_write(path, "w", sync=sync) as file:
        file.write("né")
        assert path.read_text() == "old"
    assert path.read_text(encoding="utf-8") == "né"


def test_readers_never_meet_a_mixture(tmp_path):
    path = tmp_path / "file"
    versions = {bytes([n]) * 100_000 for n in range(50)}
    path.write_bytes(bytes(100_000))

    def rewrite():
        for version in sorted(versions):
            with atomic_write(path, sync=False) as file:
                file.write(version)

    writer = threading.Thread(target=rewrite)
    writer.start()
    met = set()
    while writer.is_alive():
        met.add(path.read_bytes())
    writer.join()
    assert met <= versions and path.read_bytes() == bytes([49]) * 100_000


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_what_was_there(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with pytest.raises(error), atomic_write(tmp_path / "file") as file:
        file.write(b"new")
        raise error
    assert (tmp_path / "file").read_text() == "old" and names(tmp_path) == ["file"]


def test_missing_folders_are_made_and_the_umask_decides_who_may_read(tmp_path):
    mask = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a" / "b" / "file") as file:
            file.write(b"x")
    finally:
        os.umask(mask)
    assert (tmp_path / "a/b/file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
def test_the_longest_names_can_be_written(tmp_path, name):
    with atomic_write(tmp_path / name) as file:
        file.write(b"x")
    assert names(tmp_path) == [name]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/below: could not be written \(.*another folder"),
        atomic_write(tmp_path / "file" / "below"),
    ):
        pass


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    code = """
        import sys
        from src.utils.errors import UserError
        from src.utils.files import atomic_write
        try:
            with atomic_write(sys.argv[1]) as file:
                file.write(bytes(1_000_000))
        except UserError as error:
            print(error)
    """

    def leave_little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    printed, _ = start_python(code, path, preexec_fn=leave_little_room).communicate()
    assert f"{path}: could not be written" in printed
    assert "What was there before is untouched; free some space" in printed
    assert path.read_text() == "old" and names(tmp_path) == ["file"]


def test_a_killed_process_leaves_nothing_under_the_name(tmp_path):
    code = """
        import sys, time
        from src.utils.files import atomic_write
        with atomic_write(sys.argv[1]) as file:
            file.write(bytes(1_000_000))
            file.flush()
            print("half", flush=True)
            time.sleep(1000)
    """
    path = tmp_path / "file"
    process = start_python(code, path)
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not path.exists()
    with atomic_write(path) as file:  # what the killed one left aside is in nobody's way
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


def test_json_is_readable_by_people_and_programs(tmp_path):
    value = {"text": "naïve ñ", "score": -1.5, "tokens": []}
    write_json(tmp_path / "file.json", value)
    written = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert json.loads(written) == value
    assert '  "text": "naïve ñ",\n' in written and written.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_leaves_no_file(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "file.json", {"score": value})
    assert names(tmp_path) == []


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(str(tmp_path / "abc")) == expected
    assert sha256(Path(__file__)) == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def test_each_folder_is_walked_once_however_links_lead_there(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("a/b/one", "elsewhere/two"):
        (tmp_path / name).touch()
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/there").symlink_to(tmp_path / "elsewhere")
    found = [name for _, _, names in walk(tmp_path / "a") for name in names]
    assert sorted(found) == ["one", "two"]
