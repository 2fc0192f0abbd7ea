"""Measurements that others published, as networks of the shipped spaces with their latencies.

The tables lie in the folder `HWPROFILE_TEST_DATA`, `shared/data` beside the repository unless told. Their
sources: HELP (Lee et al., NeurIPS 2021); HW-NAS-Bench-360 for pixel_litert_360.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwprofile.description import Description, background_of, rows_of
from ponas_core.cell_space import CELL_SPACES
from ponas_core.elastic import ElasticArchitecture
from ponas_core.features import Features, NetworkSpace
from ponas_core.space import Architecture
from ponas_core.space_file import elastic_space, shipped_space
from predictors.sources import Sources

ROOT = Path(__file__).parents[1]
SPACES = ("fbnet", "nasbench201", "ofa-mbv3")
NOISY = {"samsung_a50", "samsung_s7", "essential_ph_1"}
"""Phones that report whole milliseconds."""
SUMMED = {("fbnet", "pixel3")}
"""Added up from a table, not measured."""
ROWS_LEARNED, ROWS_TESTED = range(3000), range(3000, 4000)
CELLS_TESTED = 3000
KNOWN_NETWORKS = 1000
"""Networks that were measured on a device which counts as known."""

KERNELS, EXPANSIONS, SKIP = ("3", "5", "7"), ("3", "4", "6"), 9
Row = Mapping[str, str]


@dataclass(frozen=True)
class Published:
    """Networks of a space, measured on several devices.

    Attributes:
        space: the space.
        networks: its networks.
        latency_ms: by device, one a network; nan where it was not measured.
        kinds: class of isomorphic cells of every network, -1 where input and output are not connected; None
            where networks have no classes.
    """

    space: NetworkSpace
    networks: Sequence[Any]
    latency_ms: Mapping[str, NDArray[np.float64]]
    kinds: NDArray[np.int64] | None = None

    def quiet(self) -> list[str]:
        """Devices that measured, and not in whole milliseconds."""
        return [
            device
            for device in self.latency_ms
            if device not in NOISY and (self.space.name, device) not in SUMMED
        ]

    def split(self, device: str, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indexes to learn from, in random order, and to be tested on; isomorphic cells are on one side."""
        rng = np.random.default_rng(seed)
        if self.kinds is None:
            return rng.permutation(np.array(ROWS_LEARNED)), np.array(ROWS_TESTED)
        usable = (self.kinds >= 0) & np.isfinite(self.latency_ms[device])
        kinds = rng.permutation(np.unique(self.kinds[usable]))
        learned = np.isin(self.kinds, kinds[: len(kinds) // 2])
        tested = rng.permutation(np.flatnonzero(usable & ~learned))[:CELLS_TESTED]
        return rng.permutation(np.flatnonzero(usable & learned)), tested


def folder() -> Path:
    """Where the tables are looked for."""
    return Path(os.environ.get("HWPROFILE_TEST_DATA", ROOT.parent / "shared" / "data"))


def rows(name: str) -> list[Row]:
    """Rows of a table by its columns, all of them text; FileNotFoundError where it is absent."""
    path = folder() / name
    if not path.is_file():
        raise FileNotFoundError(
            f"the published measurements {path} are absent; HWPROFILE_TEST_DATA tells their folder"
        )
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if name.endswith(".gz") else packed).decode()
    return list(csv.DictReader(text.splitlines()))


@cache
def published(name: str) -> Published:
    """The measurements of a space in `SPACES`; FileNotFoundError where they are absent."""
    if name == "nasbench201":
        cells = rows("nb201_acc.csv.gz")
        space = CELL_SPACES[name]
        networks = [space.parse(row["arch"]) for row in cells]
        classes = zip(cells, networks, strict=True)
        kinds = np.array([int(row["iso_class"]) if cell.connected else -1 for row, cell in classes])
        return Published(space, networks, _latencies(rows("nb201_latency.csv.gz")), kinds)
    if name == "fbnet":
        chains = [architecture for architecture, _ in fbnet()]
        return Published(shipped_space(name), chains, _latencies(rows("fbnet_latency.csv.gz")))
    elastic = once_for_all()
    architecture_columns = tuple(f"{kind}{at:02}" for kind in ("ks", "e") for at in range(20))
    architecture_columns += (*(f"d{at}" for at in range(5)), "r")
    latency_ms = _latencies([row for _, row in elastic], architecture_columns)
    return Published(elastic_space(name), [network for network, _ in elastic], latency_ms)


@cache
def features(name: str) -> tuple[Features, Features]:
    """Of all networks of a data set, and of networks that nobody measured."""
    data = published(name)
    return data.space.describe(data.networks), background_of(data.space, 0)


def described(name: str, known: Sequence[str] = ()) -> tuple[Description, NDArray[np.float64]]:
    """How networks of a data set are described where other devices are known, and the rows of all of them."""
    all_networks, background = features(name)
    sources = Sources.of([_known(name, device) for device in known]) if known else None
    return Description(published(name).space, background, sources), rows_of(all_networks, sources)


@cache
def _known(name: str, device: str) -> Any:
    """The Gaussian process of a device that many networks were measured on."""
    description, rows = described(name)
    learned = published(name).split(device, 0)[0][:KNOWN_NETWORKS]
    return description.unfitted("gp", "none").fit(rows[learned], published(name).latency_ms[device][learned])


def fbnet() -> list[tuple[Architecture, Row]]:
    """HELP's 4,000 networks of FBNet: columns l00 to l21 are op indexes."""
    space = shipped_space("fbnet")
    names = [f"l{layer:02}" for layer in range(22)]
    return [
        (space.architecture([int(row[name]) for name in names]), row) for row in rows("fbnet_arch.csv.gz")
    ]


def once_for_all() -> list[tuple[ElasticArchitecture, Row]]:
    """HELP's 4,000 networks of Once-for-All.

    Columns ks00 to ks19 and e00 to e19 are kernel and expansion, d0 to d4 the depth of a stage, r the
    resolution. Kernel and expansion of a layer beyond the depth of its stage mean nothing.
    """
    space = elastic_space("ofa-mbv3")
    return [
        (space.architecture(int(row["r"]), [_op(row, layer) for layer in range(20)]), row)
        for row in rows("ofa_arch_latency.csv.gz")
    ]


def _op(row: Row, layer: int) -> int:
    if layer % 4 >= int(row[f"d{layer // 4}"]):
        return SKIP
    return 3 * EXPANSIONS.index(row[f"e{layer:02}"]) + KERNELS.index(row[f"ks{layer:02}"])


def _latencies(table: Sequence[Row], others: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    devices = [name for name in table[0] if name not in {"idx", *others}]
    return {device: np.array([float(row[device] or "nan") for row in table]) for device in devices}
