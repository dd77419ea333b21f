"""The paper's recipes for candidate answers (section 2.2), applied to a sample."""

from tightlip.params import Source
from tightlip.prompts import GENERATION_SYSTEM, START_WITH, with_nudge, with_sentence
from tightlip.records import Message, Sample


def recipe_messages(sample: Sample, source: Source) -> tuple[Message, ...]:
    """Return the messages that ask for an answer without personal data."""
    messages = with_sentence(sample.messages, GENERATION_SYSTEM)
    if source.nudge:
        messages = with_nudge(messages)
    if source.start_with and sample.prefix:
        system, *rest = messages
        instruction = START_WITH.format(prefix=sample.prefix)
        messages = (Message(role="system", content=f"{system.content} {instruction}"), *rest)
    return messages


def continuation(answer: str, prefix: str, source: Source) -> str:
    """Return the text after the prefix: all in completion mode; in chat mode the rest, if the answer starts with it."""
    if source.mode == "completion" or not prefix:
        return answer
    return answer[len(prefix) :] if answer.startswith(prefix) else answer
