"""Sound as libsndfile or FFmpeg decode it, held to all that its format can tell of damage."""

from pathlib import Path

import numpy as np
import soundfile

from src.audio import flac, mp3, ogg
from src.audio.containers import missing_bytes
from src.utils.errors import UserError

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz; outside, a header is damaged, not exotic

_BLOCK = 1 << 24  # values decoded at once: 64 MB
# What FFmpeg may take a file for: sound itself, never a playlist that names other files.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,asf,avi,flv,mpeg,mpegts,ogg,flac,mp3,wav,w64,aiff,"
    "au,caf,amr,ac3,eac3,dts,tta,wv,ape"
)
_SEVERAL = {"FLAC": flac.several, "MP3": mp3.several}  # libsndfile reads the first; Ogg: see `ogg`
_BARE = {"aac", "ac3", "amr", "dts", "eac3", "mp3"}  # frames without a container around them


def decode(path: Path, start_s: float, duration_s: float | None) -> tuple[np.ndarray, int]:
    """Samples (n, C) float32 of the wanted part, and their rate in Hz.

    Args:
        start_s, duration_s: the part, in seconds; None reads to the end.

    Raises:
        UserError: damaged, cut short, of an unknown kind, without sound, or of an unusable rate.
    """
    if missing := missing_bytes(path):
        told = "byte is" if missing == 1 else f"{missing} bytes are"
        raise _cut_short(path, f"its last {told} missing")
    if damage := ogg.damage(path):
        raise _damaged(path, damage)
    file = open_soundfile(path)
    if file is None:
        samples, rate = decode_with_av(path)
        _verify_flac(path, samples)
        start, stop = _part(start_s, duration_s, len(samples), rate)
        return samples[start:stop], rate
    with file:
        rate = usable_rate(path, file.samplerate)
        if (several := _SEVERAL.get(file.format)) and several(path):
            raise _damaged(path, "several recordings follow one another in it; divide it")
        start, stop = _part(start_s, duration_s, file.frames, rate)
        try:
            file.seek(start)
            samples = _read_blocks(file, stop - start)
        except soundfile.LibsndfileError as error:
            raise _damaged(path, error.error_string) from error
        if len(samples) < stop - start:
            found = (start + len(samples)) / rate
            raise _cut_short(
                path, f"its header promises {file.frames / rate:.2f} s, {found:.2f} s came"
            )
        if len(samples) == file.frames:
            _verify_flac(path, samples)
    return samples, rate


def _read_blocks(file: soundfile.SoundFile, n: int) -> np.ndarray:
    """The next `n` samples (≤ n, C) float32, or as many as there are.

    Never all at once: room for what a damaged header promises may be more than the memory.
    """
    at_once = max(1, _BLOCK // file.channels)
    blocks = [file.read(min(n, at_once), dtype="float32", always_2d=True)]
    while len(blocks[-1]) == at_once and n > at_once:
        n -= at_once
        blocks.append(file.read(min(n, at_once), dtype="float32", always_2d=True))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _verify_flac(path: Path, samples: np.ndarray) -> None:
    """Hold all samples of a FLAC against their checksum: a third of the time decoding takes."""
    info = flac.stream_info(path)
    if info and (damage := info.damage(samples)):
        raise _damaged(path, damage)


def _part(start_s: float, duration_s: float | None, n_samples: int, rate: int) -> tuple[int, int]:
    """First sample of the part and the one after its last, both inside the recording."""
    start = min(round(start_s * rate), n_samples)
    if duration_s is None:
        return start, n_samples
    return start, min(start + round(duration_s * rate), n_samples)


def open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """The file as libsndfile sees it; None where only FFmpeg may help. For the caller to close."""
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: taken for headerless .raw
        return None
    # A FLAC written into a pipe does not know its own length; of an MP3's libsndfile makes a guess.
    if file.frames >= 2**62 or (file.format == "MP3" and not mp3.tells_length(path)):
        file.close()
        return None
    return file


def open_av(path: Path):
    """The file as FFmpeg sees it, with at least one audio stream. For the caller to close."""
    av = _import_av(path)
    try:
        # "file:" and the list: neither a colon in a name nor the content may lead elsewhere.
        container = av.open(f"file:{path}", options={"format_whitelist": _CONTAINERS})
    # UnicodeDecodeError: PyAV reads the title and its like.
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, "neither libsndfile nor FFmpeg knows it") from error
    if not container.streams.audio:
        container.close()
        raise UserError(f"{path}: holds no audio; choose a recording with sound.")
    if container.streams.audio[0].codec_context is None:
        container.close()
        raise _damaged(path, "FFmpeg does not know how its sound is coded")
    return container


def _import_av(path: Path):
    try:
        import av
    except ImportError:
        raise UserError(
            f"{path}: this kind of file is read with PyAV, which is missing; pip install av."
        ) from None
    return av


def decode_with_av(path: Path) -> tuple[np.ndarray, int]:
    """All samples (n, C) float32 of the first audio stream, and their rate in Hz."""
    av = _import_av(path)
    with open_av(path) as container:
        rate = usable_rate(path, container.streams.audio[0].rate or 0)
        # Same rate and channels, interleaved float32: of planar sound with more than 8 channels
        # PyAV 18 reads past the last one, and crashes.
        to_float = av.AudioResampler(format="flt")
        pieces = []
        try:
            for frame in container.decode(audio=0):
                for part in to_float.resample(frame):
                    pieces.append(part.to_ndarray().reshape(-1, part.layout.nb_channels))
        except (av.FFmpegError, OSError) as error:
            raise _damaged(path, error.strerror) from error
        except ValueError as error:  # PyAV's resampler was made for the first frame
            raise _damaged(path, "its channels or its rate change on the way") from error
        promised = promised_s(container) or 0.0
    samples = np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)
    if len(samples) / rate < promised - 0.1:  # containers round and pad by some milliseconds
        found_s = len(samples) / rate
        raise _cut_short(path, f"its header promises {promised:.2f} s, {found_s:.2f} s came")
    return samples, rate


def promised_s(container) -> float | None:
    """Seconds of the first audio stream by its header; None where it does not say.

    What FFmpeg tells of a stream of bare frames is guessed from a few of them, and what it tells
    of a whole container is its longest stream, which may be a film.
    """
    stream = container.streams.audio[0]
    if _BARE & set(container.format.name.split(",")):
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is None or len(container.streams) > 1:
        return None
    return container.duration / 1_000_000  # FFmpeg counts microseconds


def usable_rate(path: Path, rate: int) -> int:
    """The rate itself, in Hz; UserError where no speech has it."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UserError(
            f"{path}: its header claims {rate} samples a second; expected {MIN_RATE} to "
            f"{MAX_RATE}. The header is damaged or the file is not speech; write it again."
        )
    return rate


def _damaged(path: Path, reason: str | None) -> UserError:
    reason = (reason or "unknown reason").removeprefix("Error : ").rstrip(".")
    return UserError(
        f"{path}: not readable as audio ({reason}). It is damaged or of an unknown kind; "
        "copy it again or convert it to WAV or FLAC."
    )


def _cut_short(path: Path, how: str) -> UserError:
    return UserError(f"{path}: is cut short ({how}); copy or download it again.")
