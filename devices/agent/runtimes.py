"""What can run graphs here: the module `devices.agent.<name>_runtime`, imported when it is asked for.

A module has `NAME`; `version()`, which imports no runtime; and `load(artefact, settings)`, which gives a
`Loaded` graph, inputs and outputs already in place. It may have `details()`,
what else the runtime tells of itself, and `node_times(artefact, settings, plan)`, times inside a graph.
"""

import importlib
import re
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9_]*")


def runtime(name: str) -> Any:
    """The module of a runtime.

    Raises:
        ValueError: no such module has come with the agent.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError("{!r:.80} is no name of a runtime".format(name))
    module = "devices.agent.{}_runtime".format(name)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ValueError("the agent brings no runtime {!r:.80}".format(name)) from None
