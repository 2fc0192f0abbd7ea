"""A made-up machine that measures fused kernels and the calibration networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from devices.rounds import Reading
from hwprofile.onnx_prediction import decomposed, fused
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header
from hwprofile.profile_writer import ProfileWriter
from hwprofile.subjects import KernelsSubject, calibration_network
from ponas_core.kernels import Kernel
from predictors.kernels import FusedKernel
from tests.hwprofile.made_up import made_up_visit

COUNT = 130


def true_ms(kernel: FusedKernel) -> float:
    return 0.002 + kernel.macs / 3e7 + (kernel.elements_in + kernel.elements_out) / 4e7


def network_ms(model: onnx.ModelProto) -> float:
    """A network takes a tenth less than its kernels alone."""
    return 0.9 * sum(true_ms(kernel) for kernel in decomposed(model, "network").kernels)


def write_kernels_profile(folder: Path, cpu_header: Callable[[str], Header]) -> Path:
    """A finished profile of kernels on the made-up machine, with this machine's identity."""
    subject, rng = KernelsSubject(COUNT, 1), np.random.default_rng(0)
    path = folder / f"cpu-{subject.name}.profile.jsonl"
    times = {
        name: true_ms(fused(Kernel.parse(name)))
        if kind == "kernel"
        else network_ms(calibration_network(name, 1))
        for name, kind in subject.first().items()
    }
    with ProfileWriter(Profile(path, cpu_header(subject.name))) as writer:
        for number in range(5):
            for name, kind in subject.first().items():
                visit = made_up_visit(times[name], rng, 0.005)
                writer.reading(Reading(name, number + 1, visit), kind, number)
            writer.append({"row": "round", "round": number, "conditions": [], "seconds": 1.0})
        writer.append({"row": "end", "rounds": 5})
    return path
