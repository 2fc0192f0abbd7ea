"""The devices that people can name, and what they are told about those that are not there."""

from __future__ import annotations

import re

import pytest

from devices.catalog import PRESETS, NotConfigured, device, settings_for
from devices.connection import DeviceError
from devices.runtimes.catalog import RUNTIMES
from devices.settings import Settings

WHAT_TO_TYPE = re.compile(r"`(hwprofile|pip) \w[^`]*`")


def test_an_unknown_name_is_answered_with_all_known_ones() -> None:
    with pytest.raises(KeyError, match="no device 'toaster'; known devices: ") as caught:
        device("toaster", Settings())
    assert all(re.search(rf"\b{name}\b", str(caught.value)) for name in PRESETS)


@pytest.mark.parametrize("name", ["", "CPU", " cpu", "cpu\n"])
def test_names_are_not_guessed_at(name: str) -> None:
    with pytest.raises(KeyError, match="known devices"):
        device(name, Settings())


def test_the_promised_names_exist_from_the_start() -> None:
    assert {"cpu", "gpu", "jetson", "phone", "pi"} <= set(PRESETS)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_built_with_its_settings_or_says_what_to_type(name: str) -> None:
    settings = Settings(batch=3)
    if PRESETS[name].build is not None:
        built = device(name, settings)
        assert (built.name, built.settings) == (name, settings)
        return
    with pytest.raises(NotConfigured, match=f"^device {name} is not configured: ") as caught:
        device(name, settings)
    assert WHAT_TO_TYPE.search(str(caught.value))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_needs_something_only_where_it_cannot_be_built(name: str) -> None:
    assert bool(PRESETS[name].needs) == (PRESETS[name].build is None)
    assert PRESETS[name].description


def test_the_local_processor_needs_no_configuration() -> None:
    assert device("cpu", Settings()).name == "cpu"


def test_an_unconfigured_preset_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="device jetson is not configured"):
        device("jetson", Settings())


# --- runtimes


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_a_runtime_is_chosen_with_its_first_provider(name: str) -> None:
    runtime = RUNTIMES[name]
    for precision in runtime.precisions:
        chosen = settings_for(name, precision=precision, threads=2)
        assert (chosen.runtime, chosen.provider) == (name, runtime.providers[0])
        assert (chosen.precision, chosen.threads) == (precision, 2)
    assert set(runtime.in_caller) <= set(runtime.providers)


def test_without_a_name_it_is_onnx_runtime() -> None:
    assert settings_for() == Settings()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("caffe", None, "fp32"), "no runtime 'caffe'; known runtimes: onnxruntime"),
        (("pytorch", None, "int8"), "pytorch computes in fp32, not in int8"),
        (("litert", None, "fp16"), "litert computes in fp32, int8, not in fp16"),
        (("tensorrt", "eager", "fp16"), "tensorrt has the providers graph, stream, not eager"),
        (("litert", "gpu", "fp32"), "litert has the providers XNNPACK, builtin, not gpu"),
    ],
)
def test_what_a_runtime_has_not_is_answered_with_what_it_has(
    given: tuple[str, str | None, str], message: str
) -> None:
    with pytest.raises((KeyError, ValueError), match=re.escape(message)):
        settings_for(*given)


def test_onnx_runtime_may_have_more_providers_on_a_target() -> None:
    assert settings_for(provider="XnnpackExecutionProvider").provider == "XnnpackExecutionProvider"
