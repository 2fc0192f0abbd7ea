"""The devices that people can name, and what they are told about those that are not there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from devices.catalog import NotConfigured, built, device, settings_for, spec_named
from devices.connection import DeviceError
from devices.links import catalog as links
from devices.links.catalog import LINKS, LinkKind, link_fields, link_of
from devices.links.link import Link
from devices.links.ssh import SshLink
from devices.presets import PRESETS, Preset
from devices.registry import Registry, RegistryError, Spec
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
    if PRESETS[name].is_local and not PRESETS[name].lacks():
        found = device(name, settings)
        assert (found.name, found.settings) == (name, settings)
        return
    with pytest.raises(NotConfigured, match=f"^device {name} is not (configured|ready): ") as caught:
        device(name, settings)
    assert WHAT_TO_TYPE.search(str(caught.value))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_names_a_link_that_there_is(preset: Preset) -> None:
    assert preset.link in LINKS
    assert preset.description
    assert not preset.install or preset.runtime in preset.install


def test_a_preset_that_lacks_something_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "gpu", Preset("a GPU", "local", "onnxruntime", lacks=lambda: "no driver"))
    with pytest.raises(NotConfigured, match="device gpu is not ready: no driver"):
        spec_named("gpu")
    registry = Registry().adding(Spec("mine", "local", "gpu", "onnxruntime"))
    with pytest.raises(NotConfigured, match="device mine is not ready: no driver"):
        spec_named("mine", registry)
    monkeypatch.setitem(PRESETS, "gpu", Preset("a GPU", "local", "onnxruntime"))
    assert spec_named("gpu") == Spec("gpu", "local", "gpu", "onnxruntime")


def test_the_local_processor_needs_no_configuration() -> None:
    assert device("cpu", Settings()).name == "cpu"


def test_an_unconfigured_preset_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="device jetson is not configured"):
        device("jetson", Settings())


# --- a user's devices, and links


def test_a_users_device_is_built_with_its_link() -> None:
    registry = Registry().adding(Spec("oven", "ssh", options={"host": "oven.local", "port": 2222}))
    found = device("oven", Settings(threads=2), registry=registry)
    assert (found.name, found.settings.threads) == ("oven", 2)
    assert getattr(found, "link", None) == SshLink("oven", "oven.local", port=2222)


def test_a_configured_preset_is_the_users_device() -> None:
    registry = Registry().adding(Spec("pi", "ssh", "pi", options={"host": "berry"}))
    assert spec_named("pi", registry).options == {"host": "berry"}
    with pytest.raises(KeyError, match="known devices: cpu, gpu, jetson, phone, pi"):
        device("oven", Settings(), registry=registry)


def test_a_device_that_is_always_there_cannot_be_replaced() -> None:
    registry = Registry().adding(Spec("cpu", "ssh", options={"host": "elsewhere"}))
    assert spec_named("cpu", registry).link == "local"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec("a", "pigeon"), "no link 'pigeon'; known links: local, ssh"),
        (Spec("a", "ssh"), "host is missing: link ssh needs it"),
        (Spec("a", "ssh", options={"host": "-oProxyCommand=x"}), "host"),
        (Spec("a", "ssh", options={"host": "b", "port": "22"}), "port is a number, got '22'"),
        (Spec("a", "ssh", options={"host": 3}), "host is a text, got 3"),
        (Spec("a", "ssh", options={"host": "b", "alias": "c"}), "alias is nothing that link ssh has"),
        (Spec("a", "local", options={"host": "b"}), "it has nothing"),
    ],
)
def test_what_a_link_cannot_take_is_an_error_that_names_device_and_key(spec: Spec, message: str) -> None:
    registry = Registry().adding(spec)
    with pytest.raises(RegistryError, match=f"device 'a': .*{message}") as caught:
        device("a", Settings(), registry=registry)
    assert "hwprofile devices remove" in str(caught.value)


@pytest.mark.parametrize("name", sorted(LINKS))
def test_a_link_is_there_or_says_that_it_is_not(name: str) -> None:
    try:
        LINKS[name].device_class()
        fields = link_fields(name)
    except LookupError as error:
        assert "is not part of this installation" in str(error)  # noqa: PT017  # whichever it is
        return
    assert "alias" not in [field.name for field in fields]


@dataclass(frozen=True)
class Hose(Link):
    """A link with a field of every kind."""

    alias: str
    length: int
    color: str = "green"
    ends: tuple[str, ...] = ()
    map: Path | None = None

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        raise NotImplementedError


def test_fields_of_a_link_are_read_as_their_kinds_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(links.LINKS, "hose", LinkKind("a hose", f"{__name__}:Hose"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Hose.__module__])
    texts = {"length": "3", "color": "3", "ends": "in,out", "map": "/a/map"}
    assert Path(str(next(one for one in link_fields("hose") if one.name == "map").read("here"))).is_absolute()
    options = {one.name: one.read(texts[one.name]) for one in link_fields("hose")}
    assert options == {"length": 3, "color": "3", "ends": ("in", "out"), "map": "/a/map"}
    assert link_of("hose", "garden", options) == Hose("garden", 3, "3", ("in", "out"), Path("/a/map"))
    with pytest.raises(ValueError, match="length is missing"):
        link_of("hose", "garden", {})


def test_a_described_device_gets_the_time_that_a_graph_may_take() -> None:
    assert getattr(built(Spec("a", "local"), Settings(), graph_timeout_s=7), "graph_timeout_s", None) == 7


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
