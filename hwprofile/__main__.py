"""`python -m hwprofile`."""

from hwprofile.cli import main

main()
