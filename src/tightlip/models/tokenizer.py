"""Tokenizers: loaded, and checked for what conversations need."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from tightlip.models.chat_template import style
from tightlip.models.encoding import encode_prompt
from tightlip.models.model_files import need_file, reason
from tightlip.records import Message


def load_tokenizer(path: str | Path) -> Any:
    """Load the tokenizer beside a model.

    Raises:
        ValueError: no tokenizer there, one that does not load or needs code of its own, or see `check_tokenizer`.
    """
    need_file(Path(path) / "tokenizer_config.json", f"{path}: no tokenizer here")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a broken file makes the library raise
        raise ValueError(f"{path}: the tokenizer cannot be loaded ({reason(error)}); fetch the model again") from None
    check_tokenizer(tokenizer, str(path))
    return tokenizer


def check_tokenizer(tokenizer: Any, name: str) -> None:
    """Check that conversations can be encoded.

    Raises:
        ValueError: no chat template or EOS token, or a template that cannot render a question and its answer.
    """
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise ValueError(f"{name}: the tokenizer has no chat template or no EOS token; take an instruct model")
    try:
        style(tokenizer)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; take an instruct model") from None
    except Exception as error:  # what loads need not encode
        raise ValueError(f"{name}: the tokenizer cannot be used ({reason(error)}); fetch the model again") from None


def same_tokenizer(base: Any, tuned: Any, name: str) -> None:
    """Check that two models read the same ids.

    Raises:
        ValueError: they differ in vocabulary or chat template.
    """
    talk = [Message(role=role, content=f"The {role}.") for role in ("system", "user", "assistant", "user")]
    if base.get_vocab() != tuned.get_vocab() or encode_prompt(base, talk) != encode_prompt(tuned, talk):
        raise ValueError(
            f"{name}: its tokenizer or chat template is not the base's; give the base the tokenizer files that the "
            "tuned model was tuned with"
        )
