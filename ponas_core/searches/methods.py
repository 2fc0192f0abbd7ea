"""Every search by the name that people type."""

from __future__ import annotations

from ponas_core.searches.ddpnas import Ddpnas
from ponas_core.searches.evolution import RegularizedEvolution, SposEvolution
from ponas_core.searches.interface import Search
from ponas_core.searches.padnas import PadNas
from ponas_core.searches.ponas import Ponas
from ponas_core.searches.random_search import RandomSearch
from ponas_core.searches.reinforce import ProxylessReinforce, Reinforce
from ponas_core.searches.table_guided import TableGuided

METHODS: dict[str, type[Search]] = {
    "ponas": Ponas,
    "padnas": PadNas,
    "ddpnas": Ddpnas,
    "proxyless": ProxylessReinforce,
    "random": RandomSearch,
    "evolution": RegularizedEvolution,
    "spos": SposEvolution,
    "reinforce": Reinforce,
    "table-guided": TableGuided,
}
"""Name to the search's settings; those without values are the published ones, where there are any."""
