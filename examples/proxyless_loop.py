"""A search in plain torch with a latency table in its loss, as in ProxylessNAS (Cai, Zhu and Han, ICLR 2019).

It knows nothing of hwprofile but one torch module and a table in a file:

    hwprofile export --space digits --format npz --out table.npz
    python examples/proxyless_loop.py table.npz 0.2     # budget in the table's unit, milliseconds
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from ponas_core.training.expected_cost import ExpectedCost, hinge_penalty

SHAPES = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
"""Channels in and out, and stride, of every layer that is searched."""
FEWEST_EPOCHS, MOST_EPOCHS = 6, 30


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with batch normalisation."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


def block(op: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    """The op of a name in the table: `skip`, `conv_k1_linear` or such as `mb_k3_e6`."""
    if op == "skip":
        return nn.Identity()
    if op == "conv_k1_linear":
        return conv(inputs, outputs, 1, stride)
    kernel, expansion = (int(word[1:]) for word in op.split("_")[1:])
    wide = inputs * expansion
    depthwise = conv(wide, wide, kernel, stride, groups=wide)
    return nn.Sequential(conv(inputs, wide, 1), nn.ReLU(), depthwise, nn.ReLU(), conv(wide, outputs, 1))


class Supernet(nn.Module):
    """Every op of every layer, and a distribution over them."""

    def __init__(self, ops: list[list[str]]) -> None:
        """Build the ops of these names."""
        super().__init__()
        self.stem = nn.Sequential(conv(1, SHAPES[0][0], 3), nn.ReLU())
        shapes = zip(ops, SHAPES, strict=True)
        self.layers = nn.ModuleList(
            nn.ModuleList(block(op, *shape) for op in names) for names, shape in shapes
        )
        self.head = nn.Sequential(
            conv(SHAPES[-1][1], 128, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.classifier = nn.Linear(128, 10)
        self.alphas = nn.ParameterList(nn.Parameter(torch.zeros(len(names))) for names in ops)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes along one drawn path; its gradient reaches the distribution."""
        found: Tensor = self.stem(images)
        for layer, alpha in zip(self.layers, self.alphas, strict=True):
            gates = functional.gumbel_softmax(alpha, hard=True)
            drawn = int(gates.argmax())
            found = gates[drawn] * layer[drawn](found)
        return self.classifier(self.head(found))


def main(path: str, budget_ms: float) -> None:
    """Train weights and distribution together until the likeliest network holds the budget."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # these networks are too small for more
    with np.load(path) as table:
        expected = ExpectedCost.from_arrays(table["latency_ms"], table["fixed_ms"])
        has = ~np.isnan(table["latency_ms"])
        ops = [table["ops"][row].tolist() for row in has]
    digits = load_digits()
    images, labels = torch.tensor(digits.images[:, None] / 16).float(), torch.tensor(digits.target)
    model = Supernet(ops)
    weights = [weight for name, weight in model.named_parameters() if not name.startswith("alphas")]
    groups = [{"params": weights, "lr": 0.003}, {"params": list(model.alphas), "lr": 0.1}]
    optimizer = torch.optim.Adam(groups)
    for epoch in range(MOST_EPOCHS):
        # an expectation within the budget is no promise of the likeliest network: aim lower while it is over
        aim_ms = budget_ms * 0.96 ** max(0, epoch + 1 - FEWEST_EPOCHS)
        for batch in torch.randperm(len(images)).split(64):
            penalty = hinge_penalty(expected([alpha.softmax(-1) for alpha in model.alphas]), aim_ms)
            loss = functional.cross_entropy(model(images[batch]), labels[batch]) + 2**epoch * penalty
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        chosen = [functional.one_hot(alpha.argmax(), len(alpha)) for alpha in model.alphas]
        latency_ms = float(expected(chosen))
        sys.stdout.write(f"epoch {epoch}: loss {loss.item():.2f}, likeliest network {latency_ms:.4f} ms\n")
        if epoch + 1 >= FEWEST_EPOCHS and latency_ms <= budget_ms:
            break
    names = [row[int(alpha.argmax())] for row, alpha in zip(ops, model.alphas, strict=True)]
    sys.stdout.write(f"{' '.join(names)}\n{latency_ms:.4f} ms of {budget_ms} ms\n")
    sys.exit(latency_ms > budget_ms)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
