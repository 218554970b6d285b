"""What models are made of: layers that let no padding through, other people's weights, checks."""
