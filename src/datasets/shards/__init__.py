"""Recordings packed into tar files that are read from front to back."""
