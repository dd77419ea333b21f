"""Dialogues of others: a reader per format, one repair of turns, one way to find the personal values."""
