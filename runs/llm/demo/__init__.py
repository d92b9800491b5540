"""The `demo` model: what answers when no provider is configured.

It needs no key, no network and no weights. It asks for the ordinary tools, as any model does, and answers with
sentences of the files it read and their sources. `understand` (questions) reads the wish, a plan (research, chores,
changes) asks for tool calls batch by batch, and the model replays the plan at every step of the run.
"""

from runs.llm.demo.model import DemoModel

__all__ = ["DemoModel"]
