"""Audio file → mono float32 waveform at the wanted rate, or one clear refusal.

What can't be trusted is refused rather than repaired: half a recording under a whole
transcript teaches a model wrong things and nobody notices.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from src.audio.decoding import (
    decode,
    decode_with_av,
    open_av,
    open_soundfile,
    promised_s,
    usable_rate,
)
from src.utils.errors import UserError

_SOUNDFILE = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif")
_PYAV = (".m4a", ".mp4", ".webm", ".aac", ".mka", ".wma")
EXTENSIONS = _SOUNDFILE + _PYAV
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
    samples, rate = decode(path, start_s, duration_s)
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

    Browser recordings (webm), AAC and MP3 without a first frame that counts the others don't say
    how long they are: those are decoded and counted.

    Raises:
        UserError: no such file, empty, not readable as audio, or without samples.
    """
    path = _existing_file(path)
    seconds = _promised_s(path)
    if not seconds > 0:
        raise _no_samples(path, "at all")
    return seconds


def _promised_s(path: Path) -> float:
    file = open_soundfile(path)
    if file is not None:
        with file:
            return file.frames / usable_rate(path, file.samplerate)
    with open_av(path) as container:
        if (promised := promised_s(container)) is not None:
            return promised
    samples, rate = decode_with_av(path)
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


def _no_samples(path: Path, where: str) -> UserError:
    return UserError(f"{path}: holds no samples {where}; remove it or record it again.")
