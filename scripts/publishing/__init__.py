"""Parts of `python -m scripts.publish`."""
