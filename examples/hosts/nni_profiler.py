"""NNI: a latency filter over samples of a model space, and the expected latency that a loss differentiates.

pip install nni==3.0 pytorch_lightning
hwprofile bench --space cifar-tiny --out mine.profile.jsonl
python examples/hosts/nni_profiler.py mine.profile.jsonl 0.2     # milliseconds
"""

import sys

import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty, RangeProfilerFilter

from hwprofile.hosts.latency_of_ops import choices_of, latency_of, ops_of
from hwprofile.hosts.nni import latency_profiler


class Space(ModelSpace):
    """A choice for every layer, labelled with its name; your modules stand where the identities do."""

    def __init__(self, choices: dict[str, list[str]]) -> None:
        """Offer these blocks."""
        super().__init__()
        self.layers = torch.nn.ModuleList(
            LayerChoice({block: torch.nn.Identity() for block in blocks}, label=layer)
            for layer, blocks in choices.items()
        )


def main(file: str, budget_ms: float) -> None:
    """Print random samples that hold the budget, then lower the expected latency by its gradient."""
    latency = latency_of(file)
    choices = choices_of(latency.space)
    model = Space(choices)
    profiler = latency_profiler(model, latency)
    holds = RangeProfilerFilter(profiler, max=budget_ms)
    mutables = {layer: model.simplify()[layer] for layer in choices}
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        sample = {
            layer: choice.values[int(torch.randint(len(choice.values), (), generator=generator))]
            for layer, choice in mutables.items()
        }
        if holds(sample):
            network = latency.space.architecture(ops_of(latency.space, sample))
            sys.stdout.write(f"held {network} {profiler.profile(sample):.9g} ms\n")
    penalty = ExpectationProfilerPenalty(profiler, baseline=budget_ms, scale=1.0, nonlinear="positive")
    alphas = {layer: torch.zeros(len(blocks), requires_grad=True) for layer, blocks in choices.items()}
    optimizer = torch.optim.Adam(alphas.values(), lr=0.3)
    for _ in range(100):
        chances = {
            layer: dict(zip(choices[layer], alpha.softmax(0), strict=True)) for layer, alpha in alphas.items()
        }
        loss, details = penalty(torch.zeros(()), chances)
        if details["penalty"].item() <= budget_ms:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sys.stdout.write(f"expected latency {details['penalty'].item():.9g} ms\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
