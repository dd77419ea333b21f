import pytest

from tightlip.pii.redaction import redact


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Maria Lopez, and call 555-123-4567.", "[REDACTED], and call [REDACTED]."),
        (" on 12 March at Elm & Sons. Then we go.", " on [REDACTED] [REDACTED] at [REDACTED]. Then we go."),
        (" to m.lopez@example.org, please", " to [REDACTED], please"),
        ("I think I'm fine. You are too.", "I think I'm fine. You are too."),
        ("your policy HP1234", "your policy [REDACTED]"),
        ("", ""),
    ],
)
def test_capitals_digits_and_addresses_are_masked(text: str, masked: str) -> None:
    assert redact([text]) == [masked]
