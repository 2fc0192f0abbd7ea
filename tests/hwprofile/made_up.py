"""A made-up machine: every graph's true latency is a formula, processes scatter by a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from devices.measurement import EnergySource, EnergyVisit, Visit
from devices.rounds import Reading
from hwprofile.catalog import default_table
from hwprofile.latency import block_numbers
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header
from hwprofile.profile_writer import ProfileWriter
from hwprofile.subjects import SpaceSubject
from ponas_core.space import SearchSpace

REFERENCES = 16
"""Visits of the thermometer in a round: as many as a bench of proxyless makes."""
TINY = """
schema_version = 1
name = "tiny"
description = "three layers, for tests that measure"
input = [3, 16, 16]
activation = "relu"

[[stem]]
block = "conv_k3"
channels = 8

[[stages]]
layers = 1
channels = 16
stride = 2
blocks = ["mb_k3_e2", "mb_k5_e4"]

[[stages]]
layers = 2
channels = 16
blocks = ["mb_k3_e2", "mb_k5_e4", "skip"]

[[head]]
block = "classifier"
channels = 10
"""


def true_block_ms(space: SearchSpace, key: str) -> float:
    """Made-up physics: arithmetic and traffic."""
    layer, op = space.keyed_blocks[key]
    numbers = block_numbers(space, key, 1.0)
    macs = layer.recipe(op).macs(layer.place.shape_in)
    return macs / 3e7 + numbers["activation_bytes"] / 4e7 + numbers["weight_bytes"] / 3e7 + 0.004


def true_network_ms(space: SearchSpace, name: str) -> float:
    """A network takes a tenth more than its blocks, and a little once."""
    return 0.03 + 1.1 * sum(true_block_ms(space, key) for key in space.parse(name).keys)


def made_up_visit(latency_ms: float, rng: np.random.Generator, sd: float) -> Visit:
    middle = latency_ms * float(np.exp(sd * rng.standard_normal()))
    walls = tuple(int(middle * 1e6 * (1 + 0.002 * rng.random())) for _ in range(3))
    return Visit(1, walls, walls, 5, True)


SOURCE = EnergySource("rapl package-0", "processor package", 1.0)


def true_block_mj(space: SearchSpace, key: str) -> float:
    """Made-up physics: traffic weighs more than in latencies."""
    numbers = block_numbers(space, key, 1.0)
    return 3 * true_block_ms(space, key) + numbers["weight_bytes"] / 4e6


def true_network_mj(space: SearchSpace, name: str) -> float:
    """A network takes a twentieth more than its blocks, and a little once."""
    return 0.1 + 1.05 * sum(true_block_mj(space, key) for key in space.parse(name).keys)


def made_up_energy(energy_mj: float, rng: np.random.Generator, sd: float) -> EnergyVisit:
    """A visit of 1000 runs; a fifth of it is what an idle machine uses."""
    uj = round(1e6 * energy_mj * float(np.exp(sd * rng.standard_normal())))
    return EnergyVisit(1000, 10**9, uj, SOURCE.name, 10**9, uj // 5)


def write_made_up_profile(
    path: Path, space: SearchSpace, header: Header, rounds: int = 6, sd: float = 0.005, seed: int = 0
) -> Profile:
    """Write what a bench of this space would have written on the made-up machine."""
    rng = np.random.default_rng(seed)
    subject = SpaceSubject(space, default_table(space), space.name, 1, 10)
    profile = Profile(path, header)
    with ProfileWriter(profile) as writer:
        for number in range(rounds):
            kinds = dict(subject.first())
            kinds |= dict.fromkeys(profile.chosen or {}, "network")
            for name, kind in kinds.items():
                true = (true_block_ms if kind == "block" else true_network_ms)(space, name)
                reading = Reading(name, number + 1, made_up_visit(true, rng, sd))
                writer.reading(reading, kind, number)
                if header.energy is not None:
                    joules = (true_block_mj if kind == "block" else true_network_mj)(space, name)
                    energy = made_up_energy(joules, rng, sd)
                    writer.reading(Reading(name, number + 1, energy=energy, is_energy=True), kind, number)
            for _ in range(REFERENCES):
                reading = Reading(
                    subject.reference().name, number + 1, made_up_visit(0.1, rng, sd), is_reference=True
                )
                writer.reading(reading, "block", number)
            writer.append({"row": "round", "round": number, "conditions": [], "seconds": 1.0})
            if number == 0:
                writer.append({"row": "chosen", "networks": dict(subject.choose(profile))})
        writer.append({"row": "end", "rounds": rounds})
    return profile
