from pathlib import Path

import pytest

from tightlip.models.adapter_metadata import METADATA_FILE, trained_negative, write_adapter_metadata


def test_a_note_comes_back_and_no_adapter_means_the_plain_sentence(tmp_path: Path) -> None:
    write_adapter_metadata(tmp_path, "secret")
    assert trained_negative(tmp_path) == "secret"
    assert trained_negative(None) == "negative"


@pytest.mark.parametrize("text", [None, "{}", '{"negative": "other"}'])
def test_an_adapter_without_a_note_is_not_guided_away_from_a_guess(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / METADATA_FILE).write_text(text)
    with pytest.raises(ValueError, match=METADATA_FILE):
        trained_negative(tmp_path)
