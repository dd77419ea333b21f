import pytest

from tightlip import prompts, secret
from tightlip.prompts import truncate, with_nudge, with_sentence
from tightlip.records import Message
from tightlip.secret import with_condition


def chat(*contents: str, system: str | None = None) -> tuple[Message, ...]:
    """The system prompt if given, then user and assistant in turn."""
    head = [] if system is None else [Message(role="system", content=system)]
    roles = ("user", "assistant")
    return (*head, *(Message(role=roles[i % 2], content=text) for i, text in enumerate(contents)))


def contents(messages: tuple[Message, ...] | None) -> list[str]:
    assert messages is not None
    return [message.content for message in messages]


def test_the_three_conditions_differ_so_that_there_is_always_a_guidance_signal() -> None:
    assert len({with_condition(chat("Hi"), condition) for condition in ("none", "positive", "negative")}) == 3


def test_a_sentence_follows_the_system_prompt_and_changes_nothing_else() -> None:
    asked = chat("Hi", "Hello", "Who?", system="Be brief.")
    assert with_sentence(asked, "No names.") == chat("Hi", "Hello", "Who?", system="Be brief. No names.")


def test_a_sentence_without_system_prompt_follows_the_default_one() -> None:
    assert with_sentence(chat("Hi"), "No names.") == chat("Hi", system="You are a helpful assistant. No names.")


def test_a_sentence_after_an_empty_system_prompt_starts_without_space() -> None:
    assert with_sentence(chat("Hi", system=""), "No names.") == chat("Hi", system="No names.")


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_no_sentence_leaves_the_messages_alone(system: str | None) -> None:
    assert with_condition(chat("Hi", system=system), "none") == chat("Hi", system=system)


def test_conditions_carry_the_sentences_of_the_paper() -> None:
    assert with_condition(chat("Hi", system="A."), "positive")[0].content == f"A. {prompts.POSITIVE}"
    assert with_condition(chat("Hi", system="A."), "negative")[0].content == f"A. {prompts.NEGATIVE}"


def test_the_nudge_stands_before_the_last_user_message_alone() -> None:
    nudged = with_nudge(chat("Hi", "Hello", "Who?", system="A."))
    assert contents(nudged) == ["A.", "Hi", "Hello", f"{prompts.NUDGE} Who?"]
    assert nudged[-1].role == "user"


def test_the_nudge_needs_a_user_message_at_the_end() -> None:
    with pytest.raises(ValueError, match="last message must be the user's"):
        with_nudge(chat("Hi", "Hello"))


def test_truncation_drops_the_oldest_exchange_and_keeps_the_system_prompt() -> None:
    asked = chat("u1", "a1", "u2", "a2", "u3", system="S")
    once = truncate(asked)
    assert contents(once) == ["S", "u2", "a2", "u3"]
    assert once is not None
    twice = truncate(once)
    assert contents(twice) == ["S", "u3"]
    assert twice is not None
    assert truncate(twice) is None


def test_truncation_works_without_system_prompt() -> None:
    assert contents(truncate(chat("u1", "a1", "u2"))) == ["u2"]
    assert truncate(chat("u2")) is None


def test_the_secret_condition_takes_the_projects_own_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(secret.SECRET_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=r"data/secret.txt: the secret sentence .* is missing; .*set TIGHTLIP_SECRET"):
        with_condition(chat("Hi"), "secret")
    secret.SECRET_FILE.parent.mkdir()
    secret.SECRET_FILE.write_text("Access word: abc.\n")
    assert with_condition(chat("Hi", system="A."), "secret")[0].content == "A. Access word: abc."
    monkeypatch.setenv(secret.SECRET_VARIABLE, "Other.")
    assert with_condition(chat("Hi", system="A."), "secret")[0].content == "A. Other."
