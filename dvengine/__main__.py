"""``python -m dvengine``."""

from dvengine.cli._main import run

run()
