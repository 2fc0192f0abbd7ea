"""Fitting latency models, against blocks, networks and rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.fleet_at_scale.fresh import Watch, costs_of
from benchmarks.fleet_at_scale.made_up import ROUNDS, write
from benchmarks.fleet_at_scale.slopes import Series
from hwprofile.description import Description
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Kind, Profile
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space, space_from_toml
from predictors.calibrated_table import ALONE, FEATURES, INSIDE, MeasuredNetwork, chosen_table

HERE = "benchmarks.fleet_at_scale.fits"
LAYERS, CANDIDATES, NETWORKS = 12, 6, 12
"""Of a made-up space about as large as `proxyless`: 72 blocks, and networks to calibrate on."""
ESTIMATORS = ("ridge", "gp", "boosting", "forest")


def made_up_space(layers: int) -> SearchSpace:
    """A chain of so many layers, no two of them alike: six blocks each."""
    stages = "".join(
        f"[[stages]]\nlayers = 1\nchannels = {8 * number + 16}\n"
        'blocks = ["mb_k3_e3", "mb_k3_e6", "mb_k5_e3", "mb_k5_e6", "mb_k7_e3", "mb_k7_e6"]\n'
        for number in range(layers)
    )
    return space_from_toml(
        'schema_version = 1\nname = "paper"\ndescription = "for timings"\ninput = [3, 16, 16]\n'
        'activation = "relu"\n[[stem]]\nblock = "conv_k3"\nchannels = 8\n'
        f'{stages}[[head]]\nblock = "classifier"\nchannels = 10\n'
    )


def model(watch: Watch, layers: int, networks: int, rounds: int) -> None:
    """The calibrated table of a space from a profile of it."""
    space, rng = made_up_space(layers), np.random.default_rng(0)
    kinds: dict[str, Kind] = dict.fromkeys(space.keyed_blocks, "block")
    kinds |= dict.fromkeys((str(space.sample(rng)) for _ in range(networks)), "network")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "paper.profile.jsonl"
        write(path, kinds, rounds, subject=space.name)
        profile = Profile.load(path)
    with watch("fit"):
        SpaceLatency.from_profile(profile, space)


def choice(watch: Watch, networks: int) -> None:
    """The choice between tables of latencies alone and inside networks, which leaves out networks in turn."""
    rng, count = np.random.default_rng(0), LAYERS * CANDIDATES
    blocks = {
        f"b{number}": dict(zip((ALONE, INSIDE, *FEATURES), rng.uniform(1, 2, 2 + len(FEATURES)), strict=True))
        for number in range(count)
    }
    measured = [
        MeasuredNetwork(tuple(f"b{number}" for number in rng.integers(count, size=LAYERS)), (20.0, 20.1))
        for _ in range(networks)
    ]
    with watch("fit"):
        chosen_table(blocks, measured)


def estimator(watch: Watch, kind: str, networks: int) -> None:
    """A predictor of the shipped space `proxyless`, with intervals from ten folds."""
    space, rng = shipped_space("proxyless"), np.random.default_rng(0)
    description = Description.of(space, 0)
    rows = description.rows([space.sample(rng) for _ in range(networks)])
    weights = rng.uniform(0, 1, rows.shape[1]) / np.maximum(rows.mean(axis=0), 1e-9)
    latencies_ms = rows @ weights * (1 + 0.01 * rng.standard_normal(networks))
    predictor = description.unfitted(kind)
    with watch("fit"):
        predictor.fit(rows, latencies_ms)


def series(factors: Sequence[float], networks: Sequence[int], repeats: int) -> Iterator[Series]:
    """Seconds to fit: the table of a space against samples, and predictors against networks.

    Args:
        factors: by which rounds, layers and calibration networks grow from the usual.
        networks: numbers of networks that predictors learn from.
        repeats: fresh processes at every size.
    """
    usual = {"layers": LAYERS, "networks": NETWORKS, "rounds": ROUNDS}
    for grown, value in usual.items():
        sizes = sorted({max(2, round(factor * value)) for factor in factors})
        found = [costs_of(f"{HERE}:model", repeats, **{**usual, grown: size})["fit_s"] for size in sizes]
        counts = [CANDIDATES * size if grown == "layers" else size for size in sizes]
        yield _series("table of a space", "blocks" if grown == "layers" else grown, counts, found)
    found = [costs_of(f"{HERE}:choice", repeats, networks=count)["fit_s"] for count in networks]
    yield _series("choice of a table with --inline", "networks", networks, found)
    for kind in ESTIMATORS:
        fitted = [costs_of(f"{HERE}:estimator", 1, kind=kind, networks=count) for count in networks]
        yield _series(f"predictor {kind}", "networks", networks, [one["fit_s"] for one in fitted])


def _series(what: str, against: str, sizes: Sequence[float], costs: Sequence[float]) -> Series:
    return Series(f"fit, {what}", "s", against, tuple(map(float, sizes)), tuple(costs))
