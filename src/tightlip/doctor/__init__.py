"""`tightlip doctor`: what a run needs, whether it is there, and what it will take."""
