"""hwprofile: how long does every candidate block take on my device, and which network holds my budget?"""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOMS = ("devices", "predictors", "ponas_core")


def _check_rooms() -> None:
    """Refuse to run with a stranger's package under the name of one of our rooms."""
    here = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        places = list(spec.submodule_search_locations or []) if spec else []
        found = Path(places[0]).resolve() if places else Path(spec.origin or "?") if spec else None
        if found != here / room:
            raise ImportError(
                f"hwprofile needs its own package {room!r}, but Python finds {found or 'none'}: "
                f"rename that folder or file, or run from another folder (expected {here / room})"
            )


_check_rooms()
