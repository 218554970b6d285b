"""Audio file → mono float32 waveform at the wanted rate, or one clear refusal.

What can't be trusted is refused rather than repaired: half a recording under a whole
transcript teaches a model wrong things and nobody notices.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from src.utils.containers import missing_bytes
from src.utils.errors import UserError

_SOUNDFILE = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")
_PYAV = (".m4a", ".mp4", ".webm", ".aac", ".mka", ".wma")
EXTENSIONS = _SOUNDFILE + _PYAV

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz; outside, a header is damaged, not exotic
MAX_PEAK = 8.0  # 18 dB over full scale: lossy codecs overshoot, but never that far


def read(
    path: str | Path,
    sample_rate: int = 16_000,
    *,
    resample: bool = True,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> np.ndarray:
    """The waveform of a recording, or of a part of it.

    Channels are averaged. Overshoots of lossy codecs and of resampling are clipped at ±1.

    Args:
        path: file of any kind that libsndfile or FFmpeg (through PyAV) decodes.
        sample_rate: wanted rate in Hz.
        resample: False refuses recordings made at another rate.
        start_s: where the part begins, in seconds.
        duration_s: length of the part in seconds; None (or more than there is) reads to the end.

    Returns:
        (N,) float32, −1 … 1, mono, N ≥ 1.

    Raises:
        UserError: no such file, empty, damaged, cut short, without samples, with NaN or
            infinite samples, far over full scale, or at an unusable rate.
    """
    path = _existing_file(path)
    if start_s < 0 or (duration_s is not None and duration_s <= 0):
        raise UserError(
            f"{path}: asked for {duration_s} s from {start_s} s on; "
            "start_s must be 0 or more and duration_s more than 0."
        )
    samples, rate = _decode(path, start_s, duration_s)
    waveform = samples.mean(axis=1, dtype=np.float32)
    _refuse_unusable(path, waveform, start_s)
    if rate != sample_rate:
        if not resample:
            raise UserError(
                f"{path}: recorded at {rate} Hz, but this model listens at {sample_rate} Hz. "
                "Resample the file or set dataset.resample=true."
            )
        waveform = _resample(waveform, rate, sample_rate)
    return np.clip(waveform, -1.0, 1.0)


def duration_s(path: str | Path) -> float:
    """Seconds of sound that the file's header promises; the sound itself is not read.

    Browser recordings (webm) may not say how long they are: those are decoded and counted.

    Raises:
        UserError: no such file, empty, not readable as audio, or without samples.
    """
    path = _existing_file(path)
    seconds = _promised_s(path)
    if not seconds > 0:
        raise _no_samples(path, "at all")
    return seconds


def _promised_s(path: Path) -> float:
    file = _open_soundfile(path)
    if file is not None:
        with file:
            return file.frames / _usable_rate(path, file.samplerate)
    with _open_av(path) as container:
        if container.duration is not None:
            return container.duration / 1_000_000  # FFmpeg counts microseconds
    samples, rate = _decode_with_av(path)
    return len(samples) / rate


def _existing_file(path: str | Path) -> Path:
    path = Path(path)
    try:
        with path.open("rb") as file:
            first_byte = file.read(1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path or fetch the recording.") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not an audio file; name one file in it.") from None
    except OSError as error:
        raise UserError(f"{path}: could not be opened ({error.strerror or error}).") from error
    if not first_byte:
        raise UserError(f"{path}: is empty (0 bytes); record it or copy it again.")
    return path


def _decode(path: Path, start_s: float, duration_s: float | None) -> tuple[np.ndarray, int]:
    """Samples (n, C) float32 of the wanted part, and their rate in Hz."""
    file = _open_soundfile(path)
    if file is None:
        samples, rate = _decode_with_av(path)
        start, stop = _part(start_s, duration_s, len(samples), rate)
        return samples[start:stop], rate
    with file:
        rate = _usable_rate(path, file.samplerate)
        missing = missing_bytes(path)
        if missing:
            raise _cut_short(path, f"its last {missing} bytes are missing")
        start, stop = _part(start_s, duration_s, file.frames, rate)
        try:
            file.seek(start)
            samples = file.read(stop - start, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _damaged(path, error.error_string) from error
    if len(samples) < stop - start:
        found = (start + len(samples)) / rate
        raise _cut_short(
            path, f"its header promises {file.frames / rate:.2f} s, {found:.2f} s came"
        )
    return samples, rate


def _part(start_s: float, duration_s: float | None, n_samples: int, rate: int) -> tuple[int, int]:
    """First sample of the part and the one after its last, both inside the recording."""
    start = min(round(start_s * rate), n_samples)
    if duration_s is None:
        return start, n_samples
    return start, min(start + round(duration_s * rate), n_samples)


def _open_soundfile(path: Path) -> soundfile.SoundFile | None:
    """The file as libsndfile sees it; None where only FFmpeg may help."""
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: taken for headerless .raw
        return None
    if file.frames >= 2**62:  # a FLAC written into a pipe does not know its own length
        file.close()
        return None
    return file


def _open_av(path: Path):
    """The file as FFmpeg sees it, with at least one audio stream."""
    av = _import_av(path)
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise _damaged(path, "neither libsndfile nor FFmpeg knows it") from error
    if not container.streams.audio:
        container.close()
        raise UserError(f"{path}: holds no audio; choose a recording with sound.")
    return container


def _import_av(path: Path):
    try:
        import av
    except ImportError:
        raise UserError(
            f"{path}: this kind of file is read with PyAV, which is missing; pip install av."
        ) from None
    return av


def _decode_with_av(path: Path) -> tuple[np.ndarray, int]:
    """All samples (n, C) float32 of the first audio stream, and their rate in Hz."""
    av = _import_av(path)
    with _open_av(path) as container:
        rate = _usable_rate(path, container.streams.audio[0].rate or 0)
        to_float = av.AudioResampler(format="fltp")  # same rate and channels, planar float32
        pieces = []
        try:
            for frame in container.decode(audio=0):
                pieces += [part.to_ndarray() for part in to_float.resample(frame)]
        except (av.FFmpegError, OSError) as error:
            raise _damaged(path, error.strerror) from error
        promised_s = (container.duration or 0) / 1_000_000
    samples = np.concatenate(pieces, axis=1).T if pieces else np.zeros((0, 1), np.float32)
    if len(samples) / rate < promised_s - 0.1:  # containers round and pad by some milliseconds
        found_s = len(samples) / rate
        raise _cut_short(path, f"its header promises {promised_s:.2f} s, {found_s:.2f} s came")
    return samples, rate


def _refuse_unusable(path: Path, waveform: np.ndarray, start_s: float) -> None:
    if not len(waveform):
        where = f"from {start_s} s on" if start_s else "at all"
        raise _no_samples(path, where)
    bad = np.count_nonzero(~np.isfinite(waveform))
    if bad:
        raise UserError(
            f"{path}: {bad} of {len(waveform)} samples are NaN or infinite; export it again."
        )
    peak = float(np.abs(waveform).max())
    if peak > MAX_PEAK:
        raise UserError(
            f"{path}: samples reach {peak:.4g}, but floating-point audio lies in −1 … 1; "
            "divide by the full scale (32768 for 16-bit values) and write it again."
        )


def _resample(waveform: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Band-limited (windowed sinc) resampling; (N,) in, ceil(N · wanted / rate) out."""
    import torch
    from torchaudio.functional import resample

    # The filter bank grows with the terms of the ratio: 44101 → 16000 would take gigabytes.
    # The nearest small ratio is off by less than a millionth.
    ratio = Fraction(rate, wanted).limit_denominator(1000)
    samples = torch.from_numpy(waveform)
    return resample(samples, ratio.numerator, ratio.denominator).numpy()


def _usable_rate(path: Path, rate: int) -> int:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UserError(
            f"{path}: its header claims {rate} samples a second; expected {MIN_RATE} to "
            f"{MAX_RATE}. The header is damaged or the file is not speech; write it again."
        )
    return rate


def _no_samples(path: Path, where: str) -> UserError:
    return UserError(f"{path}: holds no samples {where}; remove it or record it again.")


def _damaged(path: Path, reason: str | None) -> UserError:
    reason = (reason or "unknown reason").removeprefix("Error : ").rstrip(".")
    return UserError(
        f"{path}: not readable as audio ({reason}). It is damaged or of an unknown kind; "
        "copy it again or convert it to WAV or FLAC."
    )


def _cut_short(path: Path, how: str) -> UserError:
    return UserError(f"{path}: is cut short ({how}); copy or download it again.")
