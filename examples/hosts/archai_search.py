"""Archai's evolutionary Pareto search with our latency as a cheap objective and constraint, in seconds.

    pip install archai pandas
    hwprofile bench --space cifar-tiny --out mine.profile.jsonl
    python examples/hosts/archai_search.py mine.profile.jsonl 0.2 outputs     # milliseconds; a folder

Multiply-accumulates stand in for accuracy here: put your own evaluator in their place.
"""

import sys
from pathlib import Path

import numpy as np
from archai.discrete_search.algos import EvolutionParetoSearch
from archai.discrete_search.api import ArchaiModel, EvolutionarySearchSpace, ModelEvaluator, SearchObjectives
from overrides import overrides

from hwprofile.catalog import scores_named
from hwprofile.hosts.archai import latency_evaluator
from hwprofile.hosts.latency_of_ops import latency_of


class Networks(EvolutionarySearchSpace):
    """A space of ours as Archai's; an `archid` is a network's op indexes, and `arch` its op indexes too."""

    def __init__(self, space):
        """Draw from a space."""
        self.space, self.rng = space, np.random.default_rng(0)

    def model(self, ops):
        """A network as Archai's; your torch module stands where its op indexes do."""
        network = self.space.architecture(list(map(int, ops)))
        return ArchaiModel(network.ops, str(network))

    @overrides
    def random_sample(self):
        """Any network."""
        return self.model(self.rng.integers(self.space.op_counts))

    @overrides
    def mutate(self, arch):
        """Another op in one layer."""
        ops, layer = list(self.space.parse(arch.archid).ops), self.rng.integers(len(self.space.layers))
        ops[layer] = self.rng.integers(self.space.op_counts[layer])
        return self.model(ops)

    @overrides
    def crossover(self, arch_list):
        """Every layer from one of two parents."""
        parents = [self.space.parse(arch.archid).ops for arch in arch_list[:2]]
        return self.model(np.where(self.rng.random(len(parents[0])) < 0.5, *parents))

    @overrides
    def save_arch(self, model, file_path):
        """The `archid` is all there is."""
        Path(file_path).write_text(model.archid)

    @overrides
    def load_arch(self, file_path):
        """Read what `save_arch` wrote."""
        return self.model(self.space.parse(Path(file_path).read_text()).ops)

    @overrides
    def save_model_weights(self, model, file_path):
        """There are none."""

    @overrides
    def load_model_weights(self, model, file_path):
        """There are none."""


class Score(ModelEvaluator):
    """What is maximised."""

    def __init__(self, space):
        """Of a space."""
        self.space, self.table = space, scores_named(space, "macs").table

    @overrides
    def evaluate(self, arch, budget=None):
        """Millions of multiply-accumulates."""
        return self.table.total(self.space.parse(arch.archid).ops)


def main(file: str, budget_ms: float, folder: str) -> None:
    """Search, and print the front; Archai's own results are in the folder."""
    latency = latency_of(file)
    objectives = SearchObjectives()
    objectives.add_objective("score", Score(latency.space), higher_is_better=True, compute_intensive=True)
    seconds = latency_evaluator(latency)
    objectives.add_objective(
        "latency_s",
        seconds,
        higher_is_better=False,
        compute_intensive=False,
        constraint=(0, budget_ms / 1000),
    )
    search = EvolutionParetoSearch(
        Networks(latency.space), objectives, folder, num_iters=5, save_pareto_model_weights=False
    )
    found = search.search()
    for model in found.get_pareto_frontier()["models"]:
        sys.stdout.write(f"front {model.archid} {1000 * seconds.evaluate(model):.9g} ms\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
