"""Once-for-All's evolution finds sub-networks within a latency budget on our profiles, one a resolution.

    pip install ofa torchvision
    hwprofile bench --space ofa-mbv3@160 --out r160.profile.jsonl
    hwprofile bench --space ofa-mbv3 --out r224.profile.jsonl
    python examples/hosts/ofa_search.py 30 r160.profile.jsonl r224.profile.jsonl     # milliseconds

The accuracy predictor here has random weights: load the released ones with `checkpoint_path`.
"""

import random
import sys

import numpy as np
import torch
from ofa.nas.accuracy_predictor import AccuracyPredictor, MobileNetArchEncoder
from ofa.nas.search_algorithm import EvolutionFinder

from hwprofile.catalog import space_named
from hwprofile.hosts.once_for_all import OfaLatency, sub_network


def main(budget_ms: float, *files: str) -> None:
    """Search, and print the best sub-network."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    latency = OfaLatency.from_files(files)
    encoder = MobileNetArchEncoder(list(latency.resolutions))
    accuracy = AccuracyPredictor(encoder, device="cpu")
    finder = EvolutionFinder(latency, accuracy, population_size=20, max_time_budget=5)
    _, (_, chosen, latency_ms) = finder.run_evolution_search(budget_ms)
    resolution = chosen["image_size"]
    network = space_named("ofa-mbv3").architecture(sub_network(space_named("ofa-mbv3"), chosen))
    sys.stdout.write(f"best r{resolution}:{network} {latency_ms:.9g} ms\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
