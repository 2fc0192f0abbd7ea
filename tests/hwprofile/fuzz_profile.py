"""What profiles are fed to: all that reads, judges and shows them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from devices.measurement import Visit
from devices.rounds import Reading
from hwprofile.profile import Profile
from hwprofile.profile_lines import ProfileError
from hwprofile.profile_writer import ProfileWriter
from hwprofile.recording import replay_device
from hwprofile.show import for_people, to_json
from tests.fuzzing import Mutator


def profiles(
    seeds: Sequence[bytes], rng: random.Random, folder: Path
) -> tuple[Callable[[], bytes], Callable[[bytes], bool]]:
    """Files of a header and a few rows; seeds are the lines of real profiles, the first one a header."""
    np.seterr(all="raise", under="ignore")
    mutator = Mutator(seeds, rng)
    path = folder / "p.profile.jsonl"

    def make() -> bytes:
        lines = [seeds[0], *rng.sample(seeds[1:], min(len(seeds) - 1, rng.randint(3, 30)))]
        for _ in range(rng.choice([1, 1, 1, 3])):
            number = rng.choice([0, rng.randrange(len(lines))])
            change = mutator.as_json if rng.random() < 0.8 else mutator.as_bytes
            lines[number] = change(lines[number])
        data = b"\n".join(lines) + (b"\n" if rng.random() < 0.9 else b"")
        return mutator.as_bytes(data) if rng.random() < 0.1 else data

    def take(data: bytes) -> bool:
        path.write_bytes(data)
        try:
            profile = Profile.load(path)
        except ProfileError as error:
            if len(str(error)) > 10_000:
                raise
            return True
        json.dumps(to_json(profile))
        for_people(profile)
        for name in profile.names:
            profile.process_ms(name)
            profile.usable_insides(name)
        with ProfileWriter(profile) as writer:  # a bench may go on with it
            number = profile.current_round
            writer.reading(Reading("more", 1, Visit(1, (5,), (5,), 1, True)), "block", number)
        assert Profile.load(path).names[-1] == "more"
        try:
            replay_device(path)
        except ProfileError:
            return False
        return False

    return make, take
