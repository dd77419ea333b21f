"""Reporting: the tables and the comparison of runs."""
