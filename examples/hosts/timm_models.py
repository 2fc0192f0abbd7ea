"""Any torch module, here `timm`'s by name: written as ONNX and predicted from a profile of kernels.

pip install timm
hwprofile bench --kernels --kernel-count 1000 --out kernels.profile.jsonl
python examples/hosts/timm_models.py kernels.profile.jsonl outputs resnet18 mobilenetv3_small_050
hwprofile bench --onnx outputs/resnet18.onnx     # measures what was predicted
"""

import sys
from pathlib import Path

import timm
import torch

from hwprofile.hosts.torch_models import ModuleLatency
from hwprofile.torch_export import onnx_of


def main(profile: str, folder: str, *names: str) -> None:
    """Write and predict each model."""
    latency = ModuleLatency.from_profile(Path(profile))
    for name in names:
        model = timm.create_model(name, pretrained=False)
        inputs = (torch.zeros(1, *model.default_cfg["input_size"]),)
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(onnx_of(model, inputs))
        found = latency.predict(model, inputs)
        at_least = "at least " if found.is_lower_bound else ""
        sys.stdout.write(f"{path} {at_least}{found.median_ms:.9g} ms\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
