"""The half that travels: Python 3.8, the standard library, numpy."""

import time
from typing import Any, Dict

from devices.agent.loaded import Loaded

NAME = "nap"


def version() -> str:
    """The version of the runtime."""
    return "1.0"


def load(artefact: bytes, settings: Dict[str, Any]) -> Loaded:
    """Something to time."""
    seconds = int(artefact) * 1e-9
    return Loaded(lambda: time.sleep(seconds), notes={"provider": settings["provider"]})
