"""The report: one HTML page that says what a run shows; a package of its own, so that its looks make no table anew."""
