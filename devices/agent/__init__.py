"""The program that runs on the target: exactly what travels there.

Python 3.8 or newer, the standard library, numpy and the one runtime that is used; nothing else is imported.
"""
