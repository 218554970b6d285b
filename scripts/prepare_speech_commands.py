"""Pack Google Speech Commands into one HDF5 file, for dataset=speech_commands."""

import argparse
import logging
import shutil
import sys
import tarfile
from pathlib import Path

from tqdm import tqdm

from src.datasets.commands.folder import SPLITS, scan_folder, some, with_training_clips
from src.datasets.commands.writer import CLIP_SAMPLES, Packed, write_clips
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends

BASE_URL = "https://storage.googleapis.com/download.tensorflow.org/data"
SHA256 = {
    "v0.01": "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    "v0.02": "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
}
HELP = """\
examples:
  the corpus is unpacked already:
    python -m scripts.prepare_speech_commands --source ~/corpora/speech_commands_v0.02
  fetch it (2.4 GB, resumed when interrupted), verify it, unpack it, pack it:
    python -m scripts.prepare_speech_commands --download
  clips by generated voices too, for training only:
    python -m scripts.generate_commands --out data/spoken_commands --n_speakers 150
    python -m scripts.prepare_speech_commands --source FOLDER --train_also data/spoken_commands
then:
    python train.py -cn=convnet dataset.path=data/speech_commands.h5

The source holds one folder a word with WAV, FLAC, Opus, Ogg or MP3 files, and the official
validation_list.txt and testing_list.txt, which alone decide the split. Clips longer than one
second are cut, shorter ones padded (their length is kept), unreadable ones left out and
named. _background_noise_ holds no words and is left out. The file takes 32 kB a clip
(3.4 GB for all of v0.02) and appears under its name only when complete: a run that was
killed can simply be repeated."""


@ctrl_c_ends("prepare_speech_commands", "run the same command again")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, pack, report. A person's mistake ends in one line and status 1."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    options = parse(arguments)
    source = options.source or Path(f"data/speech_commands_{options.version}")
    try:
        if options.download:
            download(source, options.version, options.base_url, options.sha256)
        clips = scan_folder(source)
        for folder in options.train_also:
            clips = with_training_clips(clips, folder)
        packed = write_clips(clips, options.out, str(source), options.n_threads)
    except UserError as error:
        sys.exit(f"prepare_speech_commands: {error}")
    print(report(packed, options.out))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.prepare_speech_commands",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", type=Path, help="the unpacked corpus (default data/speech_commands_VERSION)")
    add("--out", type=Path, default=Path("data/speech_commands.h5"), help="default %(default)s")
    add(
        "--train_also",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="more clips of the same words, a folder a word, all for training",
    )
    add("--download", action="store_true", help="fetch the archive if --source is absent")
    add("--version", choices=sorted(SHA256), default="v0.02", help="default %(default)s, 35 words")
    add("--base_url", default=BASE_URL, help="folder of the archive: https://, http://, file://")
    add("--sha256", help="checksum of the archive, where a mirror packed its own")
    add("--n_threads", type=int, default=2, help="clips decoded at once (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.n_threads < 1:
        parser.error(f"--n_threads {options.n_threads}: expected 1 or more")
    return options


def download(folder: Path, version: str, base_url: str, sha256: str | None) -> None:
    """Fetch and unpack the archive into `folder`, unless the folder is there.

    Raises:
        UserError: no connection, a wrong checksum, a damaged archive, a full disk.
    """
    from src.utils.download import fetch

    if folder.exists():
        print(f"{folder} is there already: nothing to download")
        return
    name = f"speech_commands_{version}.tar.gz"
    archive = folder.parent / name
    fetch([f"{base_url.rstrip('/')}/{name}"], archive, sha256=sha256 or SHA256[version])
    unpack(archive, folder)
    archive.unlink()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack `archive` into `folder`, which appears only when complete.

    Raises:
        UserError: the archive is damaged, wants to write elsewhere, or the disk is full.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)  # what a killed run left
    try:
        with (
            tarfile.open(archive) as tar,
            tqdm(desc=f"unpacking {archive.name}", unit="file", disable=None) as bar,
        ):

            def safe(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
                bar.update()
                return tarfile.data_filter(member, path)  # refuses paths and links that lead out

            tar.extractall(aside, filter=safe)
        aside.replace(folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(
            f"{archive}: could not be unpacked into {folder} ({error}). Nothing was left there; "
            "check the free space, or delete the archive and run the command again."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def report(packed: Packed, out: Path) -> str:
    """The closing table: clips by word and split, then whatever was odd."""
    row = "{:<12}{:>10,}{:>12,}{:>8,}{:>10,}".format
    counts = {
        word: [packed.count(word, split) for split in range(len(SPLITS))] for word in packed.words
    }
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    lines = [
        "{:<12}{:>10}{:>12}{:>8}{:>10}".format("word", *SPLITS, "all"),
        *(row(word, *numbers, sum(numbers)) for word, numbers in counts.items()),
        row("all", *totals, sum(totals)),
        "",
        f"shorter than one second, padded   {packed.n_padded:,}",
        f"longer than {CLIP_SAMPLES:,} samples, cut   {len(packed.cut):,}"
        + (f"  ({some(packed.cut)})" if packed.cut else ""),
        f"unreadable, left out              {len(packed.unreadable):,}",
        *(f"  {reason}" for reason in packed.unreadable[:10]),
        *([f"  … and {len(packed.unreadable) - 10:,} more"] if len(packed.unreadable) > 10 else []),
        f"written                           {out} ({out.stat().st_size / 1e6:,.1f} MB)",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
