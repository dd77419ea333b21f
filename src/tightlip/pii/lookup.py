"""Finds values of very many dialogues in a text without trying each: ten thousand dialogues have a million patterns."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tightlip.pii.matching import HAS_UNSPACED, TITLES, WORD, ValueMatch, find_values
from tightlip.records import Value

_MIN_WORD = 3  # letters of a word by which a value is looked up, if it has such a word
_MIN_DIGITS = 7  # of a number that is looked up however it is grouped
_NUMBER = re.compile(r"\d[\d\s().\-/]*\d")


class ValueIndex:
    """Values by a word or number that a text must contain to contain the value.

    A name is looked up by each of its words, since a part of it is a leak; another value by the one of its words that
    the fewest values have; a long number by its digits; a value in a script without spaces by itself. Near copies that
    share no word with the value (letters written apart, words glued together) are therefore not found: for the
    dialogue's own values there is `find_values`.

    Args:
        values: of all dialogues; each counts once.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        self.values = dict.fromkeys(values)
        self._by_key: dict[str, list[Value]] = {}
        self._unspaced: list[Value] = []
        frequency = Counter(word for value in self.values for word in set(_words(value.value)))
        for value in self.values:
            if HAS_UNSPACED.search(value.value):
                self._unspaced.append(value)
            for key in _keys(value, frequency):
                self._by_key.setdefault(key, []).append(value)

    def __contains__(self, value: Value) -> bool:
        return value in self.values

    def near(self, text: str) -> list[Value]:
        """Return the values that the text may hold."""
        keys = dict.fromkeys([*_words(text), *_numbers(text)])
        values = dict.fromkeys(value for key in keys for value in self._by_key.get(key, ()))
        return [*values, *(value for value in self._unspaced if value.value in text)]

    def find(self, text: str) -> list[ValueMatch]:
        """Find the values in a text (`matching.find_values`)."""
        return find_values(text, self.near(text))


def _keys(value: Value, frequency: Counter[str]) -> Iterator[str]:
    words, numbers = _words(value.value), _numbers(value.value)
    long = [word for word in words if len(word) >= _MIN_WORD and word not in TITLES] or words
    yield from numbers
    if value.type == "NAME":
        yield from dict.fromkeys(long)
    elif long:
        yield min(long, key=lambda word: frequency[word])


def _words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text)]


def _numbers(text: str) -> list[str]:
    digits = (re.sub(r"\D", "", number) for number in _NUMBER.findall(text))
    return [number for number in digits if len(number) >= _MIN_DIGITS]
