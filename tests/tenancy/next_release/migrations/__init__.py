"""The migrations of `runs` as the next release will have them: today's, and one more."""

from runs import migrations

__path__ = [*__path__, *migrations.__path__]
