"""The walk of `hwprofile predict --onnx`: ONNX files and a profile of fused kernels in, latencies out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.device import Device
from hwprofile import places
from hwprofile.display import table
from hwprofile.errors import UserError
from hwprofile.matching import check_fits, device_header
from hwprofile.profile import Profile
from hwprofile.profile_lines import ProfileError
from hwprofile.subjects import KERNELS_SUBJECT, calibration_network
from ponas_core.kernels import Kernel
from predictors.kernel_networks import KernelNetworks, MeasuredNetwork, NetworkLatency
from predictors.kernels import Decomposition, FusedKernel, UnreadableGraph

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FilePrediction:
    """What a profile says of an ONNX file.

    Attributes:
        file: the file.
        decomposition: its fused kernels, and what none stands for.
        latency: the prediction and what it rests on.
    """

    file: Path
    decomposition: Decomposition
    latency: NetworkLatency


def fused(kernel: Kernel) -> FusedKernel:
    """A kernel of a profile as what the graphs of networks are read into, of batch 1."""
    image = (kernel.size, kernel.size)
    out = kernel.channels_out or kernel.channels
    of_two = kernel.kind in ("add", "concat", "scale")
    return FusedKernel(
        kernel.kind,
        (kernel.channels, *image),
        (out, kernel.size_out, kernel.size_out),
        kernel=(kernel.kernel, kernel.kernel),
        stride=(kernel.stride, kernel.stride),
        groups=kernel.groups,
        activation=kernel.activation,
        residual=kernel.residual,
        inputs=2 if of_two else 1,
    )


def model_of(profile: Profile) -> KernelNetworks:
    """Learn from the kernels and the calibration networks of a profile.

    Raises:
        UserError: the profile holds no kernels, or kernels that this version does not know.
    """
    batch = _batch(profile)
    measured = measured_kernels(profile)
    networks = [
        MeasuredNetwork(
            decomposed(calibration_network(name, batch), name).kernels, profile.summary(name).median_ms
        )
        for name in profile.of_kind("network")
        if profile.usable_visits(name)
    ]
    return KernelNetworks().fit(measured, networks)


def measured_kernels(profile: Profile) -> dict[FusedKernel, float]:
    """Latencies of the kernels of a profile, milliseconds; UserError where it holds none."""
    batch = _batch(profile)
    found = {
        replace(_parsed(profile, name), batch=batch): profile.summary(name).median_ms
        for name in profile.of_kind("kernel")
        if profile.usable_visits(name)
    }
    if not found:
        raise UserError(f"{profile.path} holds no kernels: hwprofile bench --kernels --kernel-count 1000")
    return found


def _batch(profile: Profile) -> int:
    return int(profile.header.identity.get("batch", 1))


def _parsed(profile: Profile, name: str) -> FusedKernel:
    try:
        return fused(Kernel.parse(name))
    except ValueError as error:
        raise UserError(f"{profile.path}: {error}; measure anew with --fresh") from error


def newest_profile(device: Device) -> Profile:
    """The newest finished profile of kernels of this device and these settings.

    Raises:
        UserError: there is none; the message says how to measure one.
        DeviceUnreachable: the device's agent cannot be started.
    """
    for path in places.family_candidates(device.name, KERNELS_SUBJECT, device.settings):
        try:
            profile = Profile.load(path)
            check_fits(profile, device_header(device, profile.header.subject))
        except ProfileError:
            continue  # damaged, or of another machine: kept, and left alone
        if profile.finished:
            return profile
    raise UserError(
        f"no finished profile of kernels on {device.name} with these settings: first "
        f"hwprofile bench --device {device.name} --kernels --kernel-count 1000"
    )


def predictions(files: Sequence[Path], model: KernelNetworks) -> list[FilePrediction]:
    """Latencies of ONNX files.

    Raises:
        UserError: a file cannot be read, or has symbolic sizes.
    """
    read = [decomposed(_loaded(file), str(file)) for file in files]
    found = model.predict(read)
    return [FilePrediction(*parts) for parts in zip(files, read, found, strict=True)]


def _loaded(file: Path) -> onnx.ModelProto:
    import onnx

    try:
        model = onnx.load(file, load_external_data=False)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except Exception as error:  # protobuf's own, which it keeps in a module without types
        raise UserError(f"{file} is no ONNX file") from error
    if not model.graph.node:
        raise UserError(f"{file} holds no graph")
    return model


def decomposed(model: onnx.ModelProto, name: str) -> Decomposition:
    """The fused kernels of a graph; UserError names the file where it cannot be read."""
    from predictors.onnx_kernels import decompose

    try:
        return decompose(model)
    except UnreadableGraph as error:
        raise UserError(f"{name}: {error}") from error


def to_json(found: Sequence[FilePrediction], profile: Profile) -> dict[str, Any]:
    """Predictions as JSON values."""
    return {
        "profile": str(profile.path),
        "files": [
            {
                "file": str(one.file),
                **asdict(one.latency),
                "lower_bound": one.latency.is_lower_bound,
                "kernels": len(one.decomposition.kernels),
                "macs": one.decomposition.macs,
                "free": dict(one.decomposition.free),
            }
            for one in found
        ],
    }


def for_people(found: Sequence[FilePrediction], profile: Profile) -> str:
    """An aligned table, and what the marks in it mean."""
    header = ["file", "latency", "95 % interval", "measured", "in range", "extrapolated", "unknown operators"]
    rows = [_row(one) for one in found]
    lines = [table(header, rows), "", f"profile: {profile.path}"]
    if any(one.latency.is_lower_bound for one in found):
        lines.append("≥: operators without a model take time that is not in the sum")
    return "\n".join(lines)


def _row(one: FilePrediction) -> list[str]:
    latency = one.latency
    at_least = "≥ " if latency.is_lower_bound else ""
    return [
        str(one.file),
        f"{at_least}{latency.median_ms:.3f} ms",
        f"{latency.low_ms:.3f} – {latency.high_ms:.3f}",
        *(f"{share:.0%}" for share in (latency.measured, latency.in_range, latency.extrapolated)),
        _counts(latency.unknown),
    ]


def _counts(unknown: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in unknown.items()) or "–"
