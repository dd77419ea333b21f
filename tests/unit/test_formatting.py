import pytest

from tightlip.tables.formatting import interval_text, p_text, percent_text, signed_text, split_interval
from tightlip.tables.statistics import Interval


@pytest.mark.parametrize(
    ("interval", "form", "parts"),
    [
        (Interval(12, 8.4, 15.6), ".0f", ("12", "[8, 16]")),
        (Interval(0.5), ".1f", ("0.5", "")),
        (Interval(-3, -7, 0), ".1f", ("-3.0", "[-7.0, 0.0]")),
    ],
)
def test_bounds_stand_in_brackets_behind_the_value_and_can_be_split_off(interval, form, parts):
    text = interval_text(interval, form)
    assert text == " ".join(parts).strip()
    assert split_interval(text) == parts


def test_sentences_have_percent_with_a_dash_between_the_bounds():
    assert percent_text(Interval(0.92, 0.812, 0.969).scaled(100)) == "92.0%, 95% CI 81.2–96.9%"
    assert percent_text(Interval(7)) == "7.0%"


@pytest.mark.parametrize(("points", "text"), [(-6.49, "−6.5"), (3, "+3.0"), (0.04, "±0.0"), (-0.04, "±0.0")])
def test_differences_are_written_with_their_sign(points, text):
    assert signed_text(points) == text


@pytest.mark.parametrize(("p", "text"), [(0.0009, "< 0.001"), (0.001, "0.001"), (1, "1.000")])
def test_small_p_values_are_written_as_a_bound(p, text):
    assert p_text(p) == text
