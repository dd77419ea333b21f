from typing import Any

import pytest

from tightlip.models.encoding import encode_prompt
from tightlip.preference.pair_encoding import encode_pairs
from tightlip.records import Message, Pair

PAIR = Pair(
    id="p1", sample_id="s1", source="base", condition="none", messages=(Message(role="user", content="Who am I?"),),
    prefix="You are", chosen=" a friend of mine, and a good one.", rejected=" Anna.",
)  # fmt: skip


def test_both_completions_follow_the_same_prompt_and_end_with_eos(tiny_tokenizer: Any) -> None:
    (row,) = encode_pairs(tiny_tokenizer, [PAIR], max_tokens=512)
    assert row["prompt_ids"] == encode_prompt(tiny_tokenizer, PAIR.messages, PAIR.prefix)
    assert tiny_tokenizer.decode(row["chosen_ids"]) == PAIR.chosen + "<|im_end|>"
    assert tiny_tokenizer.decode(row["rejected_ids"]) == PAIR.rejected + "<|im_end|>"


def test_pairs_keep_their_order(tiny_tokenizer: Any) -> None:
    swapped = PAIR.model_copy(update={"chosen": PAIR.rejected, "rejected": PAIR.chosen})
    first, second = encode_pairs(tiny_tokenizer, [PAIR, swapped], max_tokens=512)
    assert first["chosen_ids"] == second["rejected_ids"]
    assert first["rejected_ids"] == second["chosen_ids"]


@pytest.mark.parametrize("longer", ["chosen", "rejected"])
def test_a_pair_over_the_limit_is_an_error_that_names_it_and_not_its_text(tiny_tokenizer: Any, longer: str) -> None:
    swapped = PAIR.model_copy(update={"chosen": PAIR.rejected, "rejected": PAIR.chosen})
    pair = PAIR if longer == "chosen" else swapped
    (row,) = encode_pairs(tiny_tokenizer, [pair], max_tokens=512)
    size = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
    assert len(encode_pairs(tiny_tokenizer, [pair], max_tokens=size)) == 1
    with pytest.raises(ValueError, match=rf"pair p1: {size} tokens, more than pairs.max_tokens = {size - 1}") as caught:
        encode_pairs(tiny_tokenizer, [pair], max_tokens=size - 1)
    assert "Anna" not in str(caught.value)
