"""The HTML report of a run. A package of its own, so that a change of its looks makes no table anew."""
