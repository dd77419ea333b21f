"""Comparing revisions of the project: what `tightlip compare` shows."""
