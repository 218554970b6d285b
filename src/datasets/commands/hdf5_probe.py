"""Walk through all metadata of an HDF5 file, where it does no harm: `python -P hdf5_probe.py FILE`.

Older files carry no checksums on their metadata, and damage there can crash the HDF5 library or
send it round in circles (seen with HDF5 2.0). This script is that library's own process; it
imports nothing of ours, so it takes a quarter of a second.
"""

import contextlib
import sys

import h5py


def walk(path: str) -> None:
    """Read every attribute, chunk address and one-dimensional dataset, or fail somehow."""

    def visit(name: str, node) -> None:
        dict(node.attrs)
        if not isinstance(node, h5py.Dataset):
            return
        if node.chunks:
            node.id.chunk_iter(lambda chunk: None)
        if node.ndim == 1:
            node[()]

    with h5py.File(path, "r", locking=False) as file:
        dict(file.attrs)
        file.visititems(visit)


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import resource  # absent on Windows

        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))  # seconds of calculation
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        walk(sys.argv[1])
    except Exception as error:
        sys.exit(str(error))
