"""A report: which sections there are, and the page that holds them.

The page loads nothing: styles and the one small script stand in it, and its policy allows that script only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import count
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hwprofile.errors import UserError
from hwprofile.report.comparison_section import comparison_section
from hwprofile.report.device_section import device_section
from hwprofile.report.documents import ResultFile
from hwprofile.report.front_section import front_section
from hwprofile.report.history_section import history_section
from hwprofile.report.inputs import KNOWN, Inputs, read_inputs
from hwprofile.report.network_section import network_section
from hwprofile.report.parts import FrontView, Section
from hwprofile.report.prediction_section import model_section, networks_section, validation_section
from hwprofile.report.table_section import table_section
from hwprofile.report.views import ProfileView


def report(paths: Sequence[Path]) -> str:
    """The page of these files, in any order.

    Raises:
        UserError: a file is missing, unknown or malformed, or there is nothing to show.
    """
    found = list(sections(read_inputs(paths)))
    if not found:
        raise UserError(f"a score table alone is nothing to look at: give {KNOWN}")
    return html(found)


def sections(found: Inputs) -> Iterator[Section]:
    """Every section whose input is there: what was chosen, then what it rests on."""
    views = [ProfileView.of(profile) for profile in found.profiles]
    keys = (f"section-{number}" for number in count(1))
    for result in found.results:
        yield network_section(result, _view_for(result, views), next(keys))
    for view in views:
        if view.latency is not None:
            here = next((one for one in found.results if _view_for(one, views) is view), None)
            yield front_section(view.latency, found.scores, here, view.name, next(keys))
    for view in views:
        yield from _of_profile(view, keys)
    for validation in found.validations:
        yield validation_section(validation, next(keys))
    for path, saved in found.models:
        yield model_section(path, saved, next(keys))
    for other in views[1:]:
        yield comparison_section(views[0], other, next(keys))
    for search in found.searches:
        yield history_section(search, next(keys))


def _of_profile(view: ProfileView, keys: Iterator[str]) -> Iterator[Section]:
    yield device_section(view, next(keys))
    if view.space is not None:
        yield table_section(view.profile, view.space, view.name, next(keys))
    if view.latency is not None:
        networks = networks_section(view.profile, view.latency, view.name, next(keys))
        if networks is not None:
            yield networks


def _view_for(result: ResultFile, views: Sequence[ProfileView]) -> ProfileView | None:
    """The profile that a result was made with, or else one of its space and device."""
    device = [view for view in views if view.profile.header.device == result.device]
    fits = [view for view in device if view.latency and view.latency.space.name == result.space]
    named = [view for view in fits if view.profile.path.name == result.profile_name]
    return next(iter(named or fits), None)


def html(found: Sequence[Section]) -> str:
    """Sections as a page that opens from disk."""
    with_front = any(isinstance(part, FrontView) for section in found for part in section.parts)
    script = _own("budget.js") if with_front else ""
    return _template().render(
        sections=found,
        style=Markup(_own("report.css")),
        script=Markup(script),
        policy=policy(script),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("hwprofile.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def policy(script: str) -> str:
    """What the page may load: nothing. What it may run: this script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'; "
        "form-action 'none'"
    )


def _own(name: str) -> str:
    """A file that lies beside the template; it is ours, so it is not escaped."""
    return resources.files("hwprofile.report").joinpath("page", name).read_text("utf-8")
