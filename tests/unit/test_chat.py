import io
from pathlib import Path

import pytest
from rich.console import Console

from tightlip import chat as chatting
from tightlip.chat import Chat, Side, ask, converse, obey, open_chat, side_by_side
from tightlip.models.adapter_metadata import write_adapter_metadata
from tightlip.prompts import DEFAULT_SYSTEM, NEGATIVE, POSITIVE
from tightlip.records import Message
from tightlip.table_rows import UNGUIDED, Guidance, parse_row


@pytest.fixture
def chat(tiny_model, tiny_tokenizer):
    row = parse_row("ch-lora-cfg_e2_g300_prob")
    return Chat(
        row, tiny_tokenizer, (Side(tiny_model, False), Side(tiny_model, True)), Guidance(3.0, "prob"), max_new_tokens=6
    )


@pytest.fixture
def calls(monkeypatch, tiny_tokenizer):
    """What the decoder is asked, as text; it answers `one`, `two`, …"""
    made = []

    def generate(model, prompts, negatives=None, *, guidance, **kwargs):
        texts = [tiny_tokenizer.decode(ids) for (ids,) in filter(None, (prompts, negatives))]
        made.append({"texts": texts, "guidance": guidance})
        return [tiny_tokenizer.encode(f" {['one', 'two', 'three', 'four'][len(made) - 1]} ", add_special_tokens=False)]

    monkeypatch.setattr("tightlip.guidance.completion.generate", generate)
    return made


def plain_console():
    return Console(file=io.StringIO(), force_terminal=False)


def output(console):
    return console.file.getvalue()


def test_both_models_answer_and_remember_their_own_words(chat, calls):
    assert ask(chat, "Hello") == ["one", "two"]
    assert ask(chat, "Again") == ["three", "four"]
    histories = [[message.content for message in side.history] for side in chat.sides]
    assert histories == [["Hello", "one", "Again", "three"], ["Hello", "two", "Again", "four"]]


def test_undefended_side_hears_no_sentence_and_the_defended_both(chat, calls):
    ask(chat, "Hello")
    undefended, defended = calls
    assert undefended["guidance"] == UNGUIDED
    assert [POSITIVE in text or NEGATIVE in text for text in undefended["texts"]] == [False]
    assert [(POSITIVE in text, NEGATIVE in text) for text in defended["texts"]] == [(True, False), (False, True)]
    assert defended["guidance"] == Guidance(3, "prob")


def test_scale_1_is_the_sentence_alone(chat, calls):
    chat.guidance = UNGUIDED
    ask(chat, "Hello")
    assert [POSITIVE in text for text in calls[1]["texts"]] == [True]


def test_row_without_defence_hears_no_sentence(chat, calls):
    chat.guidance = None
    ask(chat, "Hello")
    assert calls[0] == calls[1]
    assert chat.titles()[1] == "ch-lora-cfg_e2, no sentence"


def test_real_models_answer_greedily(chat):
    first = ask(chat, "Hello")
    chat.reset()
    assert ask(chat, "Hello") == first


def test_message_beyond_the_context_is_an_error_and_is_not_remembered(chat):
    with pytest.raises(ValueError, match="the last message alone takes"):
        ask(chat, "the and " * 2000)
    assert [side.history for side in chat.sides] == [[], []]


def test_long_conversation_forgets_its_oldest_turns_but_not_the_sentence(chat, calls):
    for side in chat.sides:
        side.history += [Message(role="user", content="OLDEST " * 600), Message(role="assistant", content="yes")]
    ask(chat, "Hello")
    positive, negative = calls[1]["texts"]
    assert "OLDEST" not in positive + negative
    assert POSITIVE in positive
    assert NEGATIVE in negative


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("/scale 2.5", "defended (ch-lora-cfg_e2, γ=2.5, prob)"),
        ("/scale 1", "defended (ch-lora-cfg_e2, γ=1)"),
        ("/space log", "defended (ch-lora-cfg_e2, γ=3, log)"),
    ],
)
def test_guidance_changes_while_chatting(chat, line, title):
    obey(chat, line)
    assert chat.titles() == ["undefended (ch)", title]


def test_system_prompt_changes_and_conversations_start_anew(chat, calls):
    ask(chat, "Hello")
    assert "conversations start anew" in obey(chat, "/system Speak like a pirate.")
    assert all(not side.history for side in chat.sides)
    ask(chat, "Hello")
    assert f"Speak like a pirate. {POSITIVE}" in calls[3]["texts"][0]
    assert DEFAULT_SYSTEM not in calls[3]["texts"][0]


def test_reset_forgets_both_conversations(chat, calls):
    ask(chat, "Hello")
    obey(chat, "/reset")
    assert all(not side.history for side in chat.sides)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/dance", "cannot do '/dance'; /help"),
        ("/space sideways", "cannot do '/space sideways'"),
        ("/system", "cannot do '/system'"),
        ("/scale", "cannot take ''"),
        ("/scale much", "cannot take 'much'"),
        ("/scale -1", "cannot take '-1'"),
        ("/scale nan", "cannot take 'nan'"),
        ("/scale inf", "cannot take 'inf'"),
    ],
)
def test_wrong_commands_say_what_to_write(chat, line, problem):
    with pytest.raises(ValueError, match=problem):
        obey(chat, line)


def test_help_lists_every_command(chat):
    assert [line.split()[0] for line in obey(chat, "/help").splitlines()] == [
        "/scale", "/space", "/system", "/reset", "/help", "/quit",
    ]  # fmt: skip


def test_piped_chat_is_plain_text_and_survives_errors(chat, calls, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\n/scale x\n/scale 2\nAgain\n/quit\nNever\n"))
    console = plain_console()
    converse(chat, console)
    assert output(console).splitlines() == [
        "you: Hello",
        "undefended (ch): one",
        "defended (ch-lora-cfg_e2, γ=3, prob): two",
        "error: cannot take 'x' as guidance scale; write a number from 0, for instance /scale 3",
        "guidance scale γ = 2",
        "you: Again",
        "undefended (ch): three",
        "defended (ch-lora-cfg_e2, γ=2, prob): four",
    ]


def test_piped_bytes_that_are_no_text_and_escapes_do_not_reach_model_or_terminal(chat, calls, monkeypatch):
    piped = io.TextIOWrapper(io.BytesIO(b"Hi \xff\n/system \x1b[2Jcalm\n\x1b]0;title\x07\n"), errors="surrogateescape")
    monkeypatch.setattr("sys.stdin", piped)
    console = plain_console()
    converse(chat, console)
    assert "you: Hi ?" in output(console)
    assert not [each for each in output(console) if not each.isprintable() and each != "\n"]
    assert chat.system == "\x1b[2Jcalm"  # the model reads what was written


def test_typed_chat_shows_columns_and_ends_with_the_input(chat, calls, monkeypatch):
    class Keyboard(io.StringIO):
        def isatty(self):
            return True

    typed = iter(["Hello"])

    def read(prompt=""):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("sys.stdin", Keyboard())
    monkeypatch.setattr("builtins.input", read)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    converse(chat, console)
    rows = [line for line in output(console).splitlines() if "one" in line]
    assert len(rows) == 1
    assert "two" in rows[0]


def test_interrupted_answer_leaves_the_conversations_as_they_were(chat, monkeypatch):
    def interrupt(chat, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(chatting, "ask", interrupt)
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    console = plain_console()
    converse(chat, console)
    assert "stopped" in output(console)


def test_brackets_in_an_answer_are_not_markup():
    console = plain_console()
    side_by_side(console, ["a"], ["[bold]x[/bold] [NAME]"])
    assert output(console) == "a: [bold]x[/bold] [NAME]\n"


def project(path, tiny_model_dir, models=("ch", "sub")):
    (path / "models").mkdir()
    for name in models:
        (path / "models" / name).symlink_to(tiny_model_dir)


def test_missing_adapter_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^adapters/ch-lora/epoch_2: no adapter for row .*`dvc repro`"):
        open_chat(parse_row("ch-lora_e2_g100"), 5)


def test_missing_model_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"models/ch: .*`dvc repro`"):
        open_chat(parse_row("ch_g100"), 5)


def test_row_of_the_undefended_weights_loads_them_once(tmp_path, monkeypatch, tiny_model_dir):
    monkeypatch.chdir(tmp_path)
    project(tmp_path, tiny_model_dir, ["ch"])
    chat = open_chat(parse_row("ch_g200_log"), 5)
    assert chat.sides[0].model is chat.sides[1].model
    assert chat.guidance == Guidance(2, "log")


# peft 0.21 reads a property that transformers 5.23 has deprecated
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_row_with_adapter_loads_it_on_its_own_model(tmp_path, monkeypatch, tiny_model_dir):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    monkeypatch.chdir(tmp_path)
    project(tmp_path, tiny_model_dir)
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_dir), config)
    adapted.save_pretrained("adapters/sub-lora/epoch_1")
    write_adapter_metadata(Path("adapters/sub-lora/epoch_1"), "secret")
    chat = open_chat(parse_row("sub-lora_e1_g100"), 5)
    weights = [side.model.model.layers[0].self_attn.q_proj.weight for side in chat.sides]
    assert not torch.equal(*weights)
    answers = ask(chat, "Hello")
    assert [side.history[-1].content for side in chat.sides] == answers  # each side hears its own model
    assert chat.negative == "secret"
