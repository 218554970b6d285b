"""As a telephone line quantises it."""

from torch import Tensor
from torchaudio.functional import mu_law_decoding, mu_law_encoding

from src.transforms.checks import check_whole
from src.transforms.waveform.step import WaveformStep


class MuLaw(WaveformStep):
    """Quantises samples in logarithmic steps and back, clipped at ±1 (μ-law, ITU-T G.711)."""

    n_draws = 0

    def __init__(self, *, probability: float = 0.5, n_levels: int = 256) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            n_levels: steps of the quantiser; 256 = 8 bits, as in telephony.
        """
        super().__init__(probability)
        check_whole("n_levels", n_levels, 2, 65_536)
        self.n_levels = n_levels

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`."""
        encoded = mu_law_encoding(waveforms.clamp(-1, 1), self.n_levels)
        return mu_law_decoding(encoded, self.n_levels), lengths
