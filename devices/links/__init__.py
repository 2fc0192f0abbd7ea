"""Links: how to reach a target. A link starts a Python program there and gives its streams."""
