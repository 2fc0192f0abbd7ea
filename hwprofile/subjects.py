"""What can be benched: a search space, fused kernels, or ONNX files of a user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.measurement import Graph
from hwprofile.bench_plan import INSIDE
from hwprofile.catalog import family_named
from hwprofile.errors import UserError
from hwprofile.export import model_of
from hwprofile.latency import measured_blocks, raw_cost
from hwprofile.networks_csv import networks_in
from hwprofile.profile import Kind, Profile
from ponas_core import probes
from ponas_core.cells import Cell
from ponas_core.features import NetworkSpace
from ponas_core.score_table import ScoreTable, macs_proxy
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space

if TYPE_CHECKING:
    import onnx

RANDOM_NETWORKS = 2
TIMES_INSIDE = 2
"""In how many networks every candidate of a layer is looked at, with `inline`."""


@dataclass(frozen=True)
class SpaceSubject:
    """All distinct blocks of a space, canaries, and networks that the solver and chance pick.

    Attributes:
        definition: the space.
        scores: what the solver maximises when it picks.
        origin: name or file of the space.
        batch: inputs of one inference.
        networks: how many networks the solver shall pick.
        inline: whether networks that hold every block shall be looked into.
    """

    definition: SearchSpace
    scores: ScoreTable
    origin: str
    batch: int
    networks: int
    inline: bool = False

    @property
    def name(self) -> str:
        """Name of the space."""
        return self.definition.name

    @property
    def space(self) -> str:
        """Name or file of the space."""
        return self.origin

    def first(self) -> Mapping[str, Kind]:
        """Every distinct block, and the canaries."""
        blocks: dict[str, Kind] = dict.fromkeys(self.definition.keyed_blocks, "block")
        return blocks | {str(canary): "network" for canary in probes.canaries(self.definition)}

    def choose(self, profile: Profile) -> Mapping[str, str]:
        """Canaries, winners over the raw table, and a few random networks.

        Where the device refuses a block there is no table to win on; the other graphs are measured all the
        same.
        """
        roles = {str(canary): "canary" for canary in probes.canaries(self.definition)}
        if set(self.definition.keyed_blocks) <= set(measured_blocks(profile)):
            cost = raw_cost(self.definition, profile)
            for architecture in probes.winners(self.definition, self.scores, cost, self.networks):
                roles.setdefault(str(architecture), "winner")
        rng = np.random.default_rng(0)
        for _ in range(RANDOM_NETWORKS):
            roles.setdefault(str(self.definition.sample(rng)), "random")
        if self.inline:
            for architecture in probes.covering(self.definition, rng, TIMES_INSIDE):
                if roles.get(str(architecture)) != "canary":  # canaries are looked into as well
                    roles[str(architecture)] = INSIDE
        return roles

    def graph(self, name: str, kind: Kind) -> Graph:
        """The graph of a block's key or of an architecture."""
        from ponas_core import onnx_graph

        if kind == "block":
            layer, op = self.definition.keyed_blocks[name]
            return Graph(name, cache(lambda: _bytes(onnx_graph.block_model(layer, op, batch=self.batch))))
        architecture = self.definition.parse(name)
        return Graph(name, cache(lambda: _bytes(onnx_graph.network_model(architecture, batch=self.batch))))

    def reference(self) -> Graph:
        """A block of middling size."""
        layers = self.definition.keyed_blocks
        by_macs = sorted(
            layers, key=lambda key: layers[key][0].recipe(layers[key][1]).macs(layers[key][0].place.shape_in)
        )
        return self.graph(by_macs[len(by_macs) // 2], "block")


@dataclass(frozen=True)
class NetworksSubject:
    """Given networks of any space, whole: what a predictor learns from.

    Attributes:
        definition: the space.
        origin: name or file of the space.
        networks: by the text that names them.
        batch: inputs of one inference.
    """

    definition: NetworkSpace
    origin: str
    networks: Mapping[str, Any]
    batch: int

    @classmethod
    def from_file(cls, path: Path, space_name: str, batch: int) -> NetworksSubject:
        """The networks in a CSV file (`arch`); UserError where it is unusable."""
        space = family_named(space_name)
        _, networks = networks_in(path, space)
        if not networks:
            raise UserError(f"{path} holds no networks")
        idle = [network for network in networks if isinstance(network, Cell) and not network.connected]
        if idle:
            raise UserError(f"{path}: the output of {idle[0]} does not depend on its input: leave it out")
        return cls(space, space_name, {str(network): network for network in networks}, batch)

    @property
    def name(self) -> str:
        """Name of the space, and a digest of the networks."""
        digest = hashlib.sha256("\n".join(sorted(self.networks)).encode()).hexdigest()[:8]
        return f"networks-{self.definition.name}-{digest}"

    @property
    def space(self) -> str:
        """Name or file of the space."""
        return self.origin

    @property
    def inline(self) -> bool:
        """Times inside networks are for tables of blocks."""
        return False

    def first(self) -> Mapping[str, Kind]:
        """Every network."""
        return dict.fromkeys(self.networks, "network")

    def choose(self, profile: Profile) -> Mapping[str, str]:
        """Nothing more."""
        return {}

    def graph(self, name: str, kind: Kind) -> Graph:
        """The network of this text."""
        network = self.networks[name]
        return Graph(name, cache(lambda: _bytes(model_of(self.definition, network, batch=self.batch))))

    def reference(self) -> Graph:
        """A small block that stands for the machine, not for the networks."""
        return standard_reference()


KERNELS_SUBJECT = "kernels-v2"
"""How names of kernel profiles begin; another sample of kernels gets another number (`kernels.SAMPLING`)."""
CALIBRATION_NETWORKS = 40
KERNELS_A_NETWORK = 10
"""A profile of fewer kernels has fewer calibration networks."""
CALIBRATION = "random-"


def calibration_network(name: str, batch: int) -> onnx.ModelProto:
    """The calibration network of this name; UserError for anything else."""
    from ponas_core.random_networks import random_network

    number = name.removeprefix(CALIBRATION)
    if number == name or not number.isdecimal():
        raise UserError(f"{name} is no calibration network, such as {CALIBRATION}0")
    return random_network(int(number), batch)


@dataclass(frozen=True)
class KernelsSubject:
    """Fused kernels over a range of shapes, for networks that belong to no space.

    Networks drawn at random are measured along: they tell how kernels alone differ from kernels in networks.

    Attributes:
        count: how many.
        batch: inputs of one inference.
    """

    count: int
    batch: int

    @property
    def name(self) -> str:
        """Short name for the file of the profile."""
        return f"{KERNELS_SUBJECT}-{self.count}"

    @property
    def space(self) -> None:
        """There is none."""
        return

    @property
    def inline(self) -> bool:
        """Kernels are not parts of networks here."""
        return False

    def first(self) -> Mapping[str, Kind]:
        """The same kernels and networks for the same count; UserError for too few."""
        from ponas_core.kernels import sample_kernels

        try:
            found = sample_kernels(self.count, np.random.default_rng(0))
        except ValueError as error:
            raise UserError(f"--kernels {self.count}: {error}") from error
        networks = min(CALIBRATION_NETWORKS, self.count // KERNELS_A_NETWORK)
        kernels: dict[str, Kind] = {str(kernel): "kernel" for kernel in found}
        return kernels | dict.fromkeys((f"{CALIBRATION}{number}" for number in range(networks)), "network")

    def choose(self, profile: Profile) -> Mapping[str, str]:
        """Nothing more."""
        return {}

    def graph(self, name: str, kind: Kind) -> Graph:
        """The kernel of this key, or the calibration network of this name."""
        from ponas_core.kernels import Kernel

        if kind == "network":
            return Graph(name, cache(lambda: _bytes(calibration_network(name, self.batch))))
        return Graph(name, cache(lambda: _bytes(Kernel.parse(name).model(self.batch))))

    def reference(self) -> Graph:
        """A small block that stands for the machine."""
        return standard_reference()


def _bytes(model: object) -> bytes:
    return model.SerializeToString()  # type: ignore[attr-defined, no-any-return]  # protobuf has no stubs


class GraphsAlone:
    """What subjects without a space have in common: no blocks to find inside, no networks to pick."""

    @property
    def space(self) -> None:
        """There is none."""
        return

    @property
    def inline(self) -> bool:
        """There are no blocks to find inside."""
        return False

    def choose(self, profile: Profile) -> Mapping[str, str]:
        """Nothing more."""
        return {}

    def reference(self) -> Graph:
        """A small block that stands for the machine, not for what is measured."""
        return standard_reference()


@dataclass(frozen=True)
class ModelsSubject(GraphsAlone):
    """ONNX files of a user's own."""

    name: str
    files: Mapping[str, Path]

    @classmethod
    def from_paths(cls, paths: Sequence[Path]) -> ModelsSubject:
        """Files, and all `.onnx` files in folders.

        Raises:
            UserError: a path is missing, is no ONNX file, or two files share a name.
        """
        files: dict[str, Path] = {}
        for path in paths:
            found = sorted(path.rglob("*.onnx")) if path.is_dir() else [path]
            if not found or not found[0].is_file():
                raise UserError(f"{path}: no ONNX file there")
            for file in found:
                name = str(file.relative_to(path)) if path.is_dir() else file.name
                if name in files:
                    raise UserError(
                        f"two files are called {name}: {files[name]} and {file}; bench them apart"
                    )
                files[name] = file
        digest = hashlib.sha256()
        for name, file in sorted(files.items()):
            digest.update(name.encode() + _read(file))
        first = re.sub(r"[^A-Za-z0-9._-]", "_", paths[0].stem or paths[0].resolve().name)
        return cls(f"onnx-{first}-{digest.hexdigest()[:8]}", files)

    def first(self) -> Mapping[str, Kind]:
        """Every file."""
        return dict.fromkeys(self.files, "model")

    def graph(self, name: str, kind: Kind) -> Graph:
        """The file of this name."""
        file = self.files[name]
        return Graph(name, cache(lambda: _read(file)))


def standard_reference() -> Graph:
    """A block of middling size of a small space."""
    space = shipped_space("nasbench-macro")
    return SpaceSubject(space, macs_proxy(space), space.name, 1, 0).reference()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
