"""Finding the right profile among very many files, against how many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from tempfile import TemporaryDirectory

from benchmarks.fleet_at_scale.fresh import Watch, costs_of
from benchmarks.fleet_at_scale.slopes import Series
from devices.settings import Settings
from hwprofile import places

HERE = "benchmarks.fleet_at_scale.look_ups"
SPACES = 100
ASKED = 20
"""Profiles that are looked for, spread over all devices and spaces."""


def find(watch: Watch, files: int) -> None:
    """Make so many empty files where profiles lie, and look for some."""
    with TemporaryDirectory() as folder:
        os.environ["HWPROFILE_HOME"] = folder
        settings = Settings()
        names = [(f"board{number // SPACES}", f"space{number % SPACES}") for number in range(files)]
        for device, space in names:
            path = places.profile_path(device, space, settings)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        asked = names[:: -(-files // ASKED)]
        with watch("candidates"):
            found = [places.profile_candidates(device, space, settings) for device, space in asked]
        if [len(paths) for paths in found] != [1] * len(asked):
            raise AssertionError("every profile is found, and no other")
        device, _ = asked[-1]
        with watch("of_device"):
            places.profiles_of(device)
        watch.costs["candidates_s"] /= len(asked)


def series(files: Sequence[int], repeats: int) -> Iterator[Series]:
    """Seconds of one look-up against the number of files."""
    found = [costs_of(f"{HERE}:find", repeats, files=count) for count in files]
    sizes = tuple(map(float, files))
    words = {"candidates_s": "profiles of a device and space", "of_device_s": "profiles of a device"}
    for cost, what in words.items():
        yield Series(f"find the {what}", "s", "files", sizes, tuple(one[cost] for one in found))
