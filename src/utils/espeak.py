"""eSpeak NG through ctypes: real speech synthesis without a system package or a download.

The library and its voices come with the `espeakng-loader` package. It is free software under
the GPL (version 3 or later), called here and not copied; what it speaks is free of it.
"""

import ctypes
from functools import cached_property

import numpy as np

from src.utils.errors import NotInstalled, UserError

SLOWEST, FASTEST = 80, 450  # words per minute that the library accepts

_RETRIEVE_SYNCHRONOUSLY = 2  # AUDIO_OUTPUT_SYNCHRONOUS of speak_lib.h: no sound card, samples to us
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER of speak_lib.h
_UTF8 = 1
_IPA, _BETWEEN = 0x02, ord("_") << 8  # of espeak_TextToPhonemes: IPA, and what parts the phonemes
_SynthCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # one byte of priority, then the first language's code
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class Espeak:
    """The synthesiser of this process.

    The library keeps one global state, and the phase of its oscillators runs on from word to
    word: the same words in the same order from a fresh process give the same samples, bit for
    bit, but a word alone is not the word after others. Whoever needs repeatable speech
    therefore says a whole list in a process of its own.
    """

    def __init__(self) -> None:
        self._library, folder = _load()
        self.sample_rate: int = self._library.espeak_Initialize(
            _RETRIEVE_SYNCHRONOUSLY, 0, folder.encode(), 0
        )
        if self.sample_rate <= 0:
            raise NotInstalled(
                f"{folder}: eSpeak NG found no usable voices there. Reinstall them: "
                "pip install --force-reinstall espeakng-loader"
            )
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath; seeded by the clock else
        self._pieces: list[np.ndarray] = []
        self._callback = _SynthCallback(self._collect)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    @cached_property
    def version(self) -> str:
        """Release of the library, such as "1.52.0"."""
        return self._library.espeak_Info(None).decode()

    @cached_property
    def accents(self) -> dict[str, str]:
        """Language codes, such as "en-gb-scotland", and the voice file that speaks each."""
        return {v.languages[1:].decode(): v.identifier.decode() for v in self._voices(None)}

    @cached_property
    def variants(self) -> frozenset[str]:
        """Voice qualities, such as "f3" or "klatt", that any accent can be spoken with."""
        voices = self._voices(_Voice(languages=b"variant"))
        return frozenset(v.identifier.decode().removeprefix("!v/") for v in voices)

    def speak(
        self,
        text: str,
        *,
        accent: str = "en-gb",
        variant: str = "m1",
        words_per_minute: int = 175,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> np.ndarray:
        """Say `text` in English.

        Args:
            words_per_minute: SLOWEST … FASTEST.
            pitch: 0 … 100 around the variant's own base pitch (50).
            pitch_range: 0 (monotone) … 100 (lively).

        Returns:
            (N,) int16 at `sample_rate`.

        Raises:
            UserError: the library has no such accent or variant.
        """
        self._choose(accent, variant)
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._pieces.clear()
        utf8 = text.encode()
        self._library.espeak_Synth(utf8, len(utf8) + 1, 0, 0, 0, _UTF8, None, None)
        return np.concatenate([np.zeros(0, np.int16), *self._pieces])

    def phonemes(self, text: str, accent: str = "en-us") -> str:
        """How `text` is said, in IPA with stress marks, phonemes parted by "_" and words by " ".

        Raises:
            UserError: the library has no such accent.
        """
        self._choose(accent, "m1")
        rest, clauses = ctypes.c_char_p(text.encode()), []
        while rest.value is not None:  # the library reads a clause and moves on
            said = self._library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA | _BETWEEN)
            clauses.append(said.decode())
        return " ".join(clauses)

    def _choose(self, accent: str, variant: str) -> None:
        if accent not in self.accents:
            raise UserError(
                f"eSpeak NG {self.version} has no accent {accent!r}; it has {_names(self.accents)}."
            )
        # The library takes an unknown variant for none at all and speaks on, so ask first.
        if variant not in self.variants:
            raise UserError(
                f"eSpeak NG {self.version} has no variant {variant!r}; "
                f"it has {_names(self.variants)}."
            )
        voice = f"{self.accents[accent]}+{variant}"
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(
                f"eSpeak NG could not load the voice {voice!r}; reinstall espeakng-loader."
            )

    def _voices(self, wanted: _Voice | None) -> list[_Voice]:
        pointers = self._library.espeak_ListVoices(ctypes.byref(wanted) if wanted else None)
        voices = []
        while pointers[len(voices)]:
            voices.append(pointers[len(voices)].contents)
        return voices

    def _collect(self, samples, n_samples: int, events) -> int:
        if samples and n_samples > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        return 0  # go on


def _load() -> tuple[ctypes.CDLL, str]:
    """The library and the folder of its voices."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise NotInstalled(
            "Generating speech, and words that no dictionary lists (text.guess=true), need eSpeak "
            "NG, which is not installed: pip install espeakng-loader"
        ) from error
    path = espeakng_loader.get_library_path()
    try:
        library = ctypes.CDLL(path)
        _declare(library)
    except (OSError, AttributeError) as error:  # no library at all, or one without a function
        raise NotInstalled(
            f"{path}: this library of eSpeak NG can't be loaded ({error}). Install it anew: "
            "pip install --force-reinstall espeakng-loader"
        ) from error
    return library, str(espeakng_loader.get_data_path())


def _declare(library: ctypes.CDLL) -> None:
    """Types of what is given and returned, where ctypes' own guess, an int, is wrong."""
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]


def _names(names) -> str:
    return ", ".join(sorted(names))
