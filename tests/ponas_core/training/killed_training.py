"""A training that writes its state as often as it can, for a test that kills it: `killed_training FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from ponas_core.training.training_file import TrainingFile
from tests.ponas_core.training.toys import trainer

CHANGES: dict[str, Any] = {"epochs": 60, "shared_epochs": 10, "sampling": "uniform"}


def main() -> None:
    torch.set_num_threads(1)
    TrainingFile(trainer(**CHANGES), Path(sys.argv[1]), "toy", {"data": "made up"}, every_s=0).train()


if __name__ == "__main__":
    main()
