"""How the runs of teams go; read at start-up, as the tools are."""

from runs.pinning import TEAM
from runs.programs import register
from teams.orchestrator.program import Orchestrator

register(TEAM, Orchestrator())
