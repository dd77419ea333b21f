"""Degenerate answers: a model that answers with nothing leaks nothing, so they are counted apart."""

import re
import unicodedata
from collections import Counter

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")

# Chat markup of the usual templates; a role alone on a line or speaking (`User: …`) on a line after the first; and
# "assistantassistant", which Model-sub repeats at λ = 1 (arXiv 2412.06846, section 2.3).
_MARKUP = re.compile(r"<\|[^\s|<>]{1,40}\|?>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>", re.IGNORECASE)
_ROLE = re.compile(
    r"(?:\A|\n)\s*(?:user|assistant|system)\s*:?\s*\n|\n\s*(?:user|assistant|system|human)\s*(?::|\Z)|(?:assistant){2}",
    re.IGNORECASE,
)

# The same word so often in a row ("very, very, very good" is speech, a fourth is a loop).
_WORD_RUN = 4
# One 3-gram so often and covering such a share of the words: 4 × 3 of at most 60 words.
_TRIGRAM_COUNT = 4
_TRIGRAM_SHARE = 0.2
# Distinct among all 3-grams, for texts of at least so many: a text said twice has just over half.
_DISTINCT_SHARE = 0.6
_DISTINCT_FROM = 20
# One character so often in a row, apart from those that draw lines.
_CHARACTER_RUN = re.compile(r"([^\s\-_=.*#~])\1{7}")

# Letters and digits among the visible characters, for texts of at least so many: prose has about 0.95. Drawn lines are
# not counted.
_RULE = re.compile(r"([\-_=.*#~])\1{3,}")
_ALPHANUMERIC_SHARE = 0.6
_ALPHANUMERIC_FROM = 20
# Letters of so many scripts (Latin, Cyrillic, Arabic, …) do not meet in one answer.
_SCRIPTS = 3
_LONG_WORD = re.compile(r"[^\W\d_]{40}")


def degenerate(text: str, finish: str, min_words: int) -> str | None:
    """Say why an answer is not readable.

    Args:
        text: the answer.
        finish: `stop` or `length`; the last word of a cut answer may be half a word and does not count.
        min_words: answers with fewer words are short.

    Returns:
        The first that applies of `empty` (no word at all), `template` (leaked chat markup), `short`, `repetition`
        (a word, a 3-gram, the whole text or a character in a loop) and `gibberish` (mostly symbols, three scripts,
        words of 40 letters); None for a readable answer.
    """
    words = _WORD.findall(text.casefold())
    if not words:
        return "empty"
    if _MARKUP.search(text) or _ROLE.search(text):
        return "template"
    if finish == "length":
        words = words[:-1]
    if len(words) < min_words:
        return "short"
    if _repeats(words) or _CHARACTER_RUN.search(text):
        return "repetition"
    return "gibberish" if _is_gibberish(text) else None


def _repeats(words: list[str]) -> bool:
    if any(len(set(words[i : i + _WORD_RUN])) == 1 for i in range(len(words) - _WORD_RUN + 1)):
        return True
    trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
    if not trigrams:
        return False
    most = max(trigrams.values())
    if most >= _TRIGRAM_COUNT and 3 * most >= _TRIGRAM_SHARE * len(words):
        return True
    return trigrams.total() >= _DISTINCT_FROM and len(trigrams) < _DISTINCT_SHARE * trigrams.total()


def _is_gibberish(text: str) -> bool:
    visible = [char for char in _RULE.sub("", text) if not char.isspace()]
    if "\ufffd" in text or _LONG_WORD.search(text):
        return True
    letters = sum(unicodedata.category(char)[0] in "LMN" for char in visible)  # M: vowel signs of Indic scripts
    if len(visible) >= _ALPHANUMERIC_FROM and letters < _ALPHANUMERIC_SHARE * len(visible):
        return True
    scripts = {_script(char) for char in set(visible) if char.isalpha() and not char.isascii()}
    if any(char.isascii() and char.isalpha() for char in visible):
        scripts.add("LATIN")
    return len(scripts) >= _SCRIPTS


def _script(char: str) -> str:
    """Script of a letter by its Unicode name; those that one language mixes, or that mathematics uses, are one."""
    first = unicodedata.name(char, "UNNAMED").split()[0]
    if first in ("HIRAGANA", "KATAKANA", "CJK", "HANGUL"):
        return "EAST ASIAN"
    return "LATIN" if first in ("GREEK", "MICRO", "MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "MODIFIER") else first
