"""What agents can do: the tools, the policy on them, and the workspace they work in.

Importing this package registers the built-in tools; other apps add theirs in a module `tools` of their own.
"""

from django.conf import settings

from runs.tools import fetching, files, finding, memories, patching, trace  # noqa: F401  importing registers them

if settings.CONFIG.agent.exec_command:
    from runs.tools import executing, registry

    registry.register(executing.EXEC_COMMAND)
