"""Waveforms → waveforms made harder, in training only. One augmentation a file."""
