"""Side-by-side measurements of training and inference; the commands are one folder up."""
