from tightlip.masking import Piece, cut, mask, mask_all
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.spans import Span
from tightlip.records import Value

ANN = Value(type="NAME", value="Ann Bell")
ACME = Value(type="ORG", value="Acme Tools")


def test_true_values_are_masked_wherever_they_occur():
    truths = [ANN, Value(type="PHONE", value="555-123-4567")]
    assert mask("ANN BELL, 5551234567, or Bell.", truths) == "[NAME], [PHONE], or [NAME]."


def test_values_of_other_dialogues_and_detected_ones_are_masked_too():
    text = "Ann, ask Acme Tools or Bo."
    detected = [Span("PERSON", 23, 25, "Bo")]
    assert mask_all(text, [ANN], ValueIndex([ACME]), detected) == [
        Piece("NAME", mark=True), Piece(", ask "), Piece("ORG", mark=True), Piece(" or "),
        Piece("PERSON", mark=True), Piece("."),
    ]  # fmt: skip


def test_a_text_without_values_stays_as_it_is():
    assert mask_all("Nothing here.", [], ValueIndex([ANN]), []) == [Piece("Nothing here.")]


def test_spans_that_overlap_are_masked_whole_under_the_label_that_is_given_first():
    text = "call +1 555 0100 now"
    assert cut(text, [(8, 16, "PHONE"), (5, 11, "CARDINAL")]) == [
        Piece("call "), Piece("PHONE", mark=True), Piece(" now"),
    ]  # fmt: skip
    assert cut(text, [(5, 16, "PHONE"), (0, 20, "X")]) == [Piece("PHONE", mark=True)]


def test_neighbours_keep_their_own_marks():
    assert cut("AnnBo", [(0, 3, "A"), (3, 5, "B")]) == [Piece("A", mark=True), Piece("B", mark=True)]
