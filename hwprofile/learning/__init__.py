"""Trained networks: from images to a supernet, a score table, and a file whose accuracy is counted."""
