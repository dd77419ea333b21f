from types import SimpleNamespace
from typing import Any

import pytest

from families import chatml_tokenizer
from tightlip.models.encoding import SENTENCE_TOKENS, encode_completion, encode_prompt, eos_ids, fit_messages
from tightlip.prompts import SENTENCES
from tightlip.records import Message
from tightlip.secret import with_condition

CHAT = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hello, my name is Anna."),
    Message(role="assistant", content="Hello, Anna."),
    Message(role="user", content="I live in a small town."),
    Message(role="assistant", content="Thank you."),
    Message(role="user", content="What is my name?"),
)


def size(tokenizer: Any, messages: tuple[Message, ...], prefix: str = "") -> int:
    return len(encode_prompt(tokenizer, messages, prefix))


# --- Encoding ------------------------------------------------------------------------------------------------------


def test_a_prompt_is_the_rendered_template_and_the_beginning_of_the_answer(tiny_tokenizer: Any) -> None:
    ids = encode_prompt(tiny_tokenizer, CHAT[-1:], "Your name is")
    expected = "<|im_start|>user\nWhat is my name?<|im_end|>\n<|im_start|>assistant\nYour name is"
    assert tiny_tokenizer.decode(ids) == expected


def test_a_turn_with_entities_is_encoded_as_a_message(tiny_tokenizer: Any) -> None:
    from tightlip.records import Entity, Turn

    turn = Turn(role="user", content="I am Anna.", entities=(Entity(type="NAME", value="Anna", start=5, end=9),))
    plain = Message(role="user", content="I am Anna.")
    assert encode_prompt(tiny_tokenizer, [turn]) == encode_prompt(tiny_tokenizer, [plain])


@pytest.mark.parametrize(
    "answer", ["Your name is Anna.", "It is 42 High St., Anna!", "A\n\n B  C", "Łódź — not London", "(Anna)"]
)
def test_prompt_and_completion_join_to_the_ids_of_the_whole_wherever_the_answer_is_cut(
    tiny_tokenizer: Any, answer: str
) -> None:
    whole = [*encode_prompt(tiny_tokenizer, CHAT[-1:]), *encode_completion(tiny_tokenizer, answer)]
    cuts = [i for i, char in enumerate(answer) if i and char == " " and not answer[i - 1].isspace()]
    for cut in cuts:
        prompt = encode_prompt(tiny_tokenizer, CHAT[-1:], answer[:cut])
        assert [*prompt, *encode_completion(tiny_tokenizer, answer[cut:])] == whole


def test_a_completion_ends_with_eos_unless_told_otherwise(tiny_tokenizer: Any) -> None:
    ended = encode_completion(tiny_tokenizer, " Anna.")
    assert ended == [*encode_completion(tiny_tokenizer, " Anna.", end=False), tiny_tokenizer.eos_token_id]
    assert tiny_tokenizer.eos_token_id not in ended[:-1]


@pytest.mark.parametrize("prefix", ["Your name is ", "Your name is\n", " "])
def test_a_prefix_that_ends_in_white_space_is_an_error(tiny_tokenizer: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match="must not end in white space"):
        encode_prompt(tiny_tokenizer, CHAT, prefix)


def test_no_special_token_is_added_before_a_text(tiny_tokenizer: Any) -> None:
    assert tiny_tokenizer.decode(encode_completion(tiny_tokenizer, " Anna", end=False)) == " Anna"


# --- Fitting -------------------------------------------------------------------------------------------------------


def test_messages_within_the_limit_stay_as_they_are(tiny_tokenizer: Any) -> None:
    assert fit_messages(tiny_tokenizer, CHAT, "", size(tiny_tokenizer, CHAT) + SENTENCE_TOKENS) == CHAT


@pytest.mark.parametrize(("dropped", "kept"), [(1, (0, 3, 4, 5)), (2, (0, 5))])
def test_whole_oldest_exchanges_go_and_the_system_prompt_stays(
    tiny_tokenizer: Any, dropped: int, kept: tuple[int, ...]
) -> None:
    expected = tuple(CHAT[i] for i in kept)
    room = size(tiny_tokenizer, expected, "Your name") + SENTENCE_TOKENS
    assert fit_messages(tiny_tokenizer, CHAT, "Your name", room) == expected
    more = (CHAT[0], *CHAT[2 * dropped - 1 :])  # one exchange less dropped is one token too long
    assert size(tiny_tokenizer, more, "Your name") + SENTENCE_TOKENS > room


def test_without_system_prompt_exchanges_go_all_the_same(tiny_tokenizer: Any) -> None:
    room = size(tiny_tokenizer, CHAT[3:]) + SENTENCE_TOKENS
    assert fit_messages(tiny_tokenizer, CHAT[1:], "", room) == CHAT[3:]


def test_a_last_message_that_is_too_long_alone_is_an_error(tiny_tokenizer: Any) -> None:
    room = size(tiny_tokenizer, (CHAT[0], CHAT[-1])) + SENTENCE_TOKENS - 1
    with pytest.raises(ValueError, match=r"the last message alone takes \d+ tokens.*raise max_prompt_tokens"):
        fit_messages(tiny_tokenizer, CHAT, "", room)


@pytest.mark.parametrize("condition", sorted(SENTENCES))
@pytest.mark.parametrize("messages", [CHAT, CHAT[1:]], ids=["system prompt", "none"])
def test_the_sentence_fits_into_the_room_kept_for_it(
    tiny_tokenizer: Any, messages: tuple[Message, ...], condition: Any
) -> None:
    room = size(tiny_tokenizer, messages) + SENTENCE_TOKENS
    told = with_condition(fit_messages(tiny_tokenizer, messages, "", room), condition)
    assert size(tiny_tokenizer, told) <= room


# --- End of an answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("configured", "expected"), [(None, set()), (0, {0}), (7, {7}), ([7, 9], {7, 9})])
def test_every_token_that_ends_an_answer_is_known(configured: Any, expected: set[int]) -> None:
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=configured))
    tokenizer = chatml_tokenizer()
    ends = {tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")}
    assert len(ends) == 2
    assert eos_ids(model, tokenizer) == ends | expected


def test_an_end_that_is_no_token_is_an_error(tiny_tokenizer: Any) -> None:
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id="</s>"))
    with pytest.raises(ValueError, match="eos_token_id must be a token's number"):
        eos_ids(model, tiny_tokenizer)
