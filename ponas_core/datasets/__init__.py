"""Labelled images for training and evaluating networks, and the parts that a search may see of them.

`catalog` reads what has a name or a path; `images` has the values that come of it.
"""
