"""Google Speech Commands: the folder and the HDF5 files made of it, ours and csr-pytorch's."""
