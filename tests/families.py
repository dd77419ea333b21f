"""Tiny tokenizers and models of other families than the default one, made in the test process."""

import json
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tightlip.models.random_model import _CORPUS, random_tokenizer

LLAMA = (
    "{{ bos_token }}{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y %f') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}"
    "{% endif %}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n{{ system }}<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""As of Llama 3.2: a date in a system prompt that is always there, turns trimmed; EOS is <|end_of_text|>."""

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
"""As of Gemma 2: no system role, turns trimmed; EOS is <eos>."""

SILENT = GEMMA.replace("{{ raise_exception('System role not supported') }}", "{% set messages = messages[1:] %}")
"""Leaves system prompts out without a word."""

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ '<<SYS>> ' + m['content'] + '\n' }}"
    "{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
"""As of Mistral 7B: no header before an answer; ends with EOS."""

THINKING = (
    "{% for m in messages %}{% set said = m['content'] %}{% if not loop.last and m['role'] == 'assistant' %}"
    "{% set said = said.split('</think>')[-1] %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + said + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
"""As of Qwen3 without thinking: what was thought is dropped from the past, a new answer begins with no thought."""


def chatml_tokenizer() -> Any:
    """The default family, but EOS is not the end of a turn."""
    tokenizer = random_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    return tokenizer


def thinking_tokenizer() -> Any:
    """Marks of thoughts are added tokens, but not special."""
    tokenizer = random_tokenizer()
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    tokenizer.chat_template = THINKING
    return tokenizer


def llama_tokenizer() -> Any:
    """Byte-level, as of Llama 3."""
    tokens = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=tokens, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=tokens[0], eos_token=tokens[1], chat_template=LLAMA
    )


def _sentencepiece(specials: list[str], others: list[str], normalizer: Any, decoder: list[Any]) -> Tokenizer:
    """A tokenizer as SentencePiece makes it: spaces are letters, unknown letters are bytes."""
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    backend = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    backend.normalizer = normalizer
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *decoder]
    )
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no word of two words
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", *specials, *fallback], show_progress=False)
    backend.train_from_iterator(_CORPUS, trainer)
    parts = json.loads(backend.to_str()) | {"pre_tokenizer": None}
    parts["added_tokens"] = [token for token in parts["added_tokens"] if token["content"] not in fallback]
    for token in parts["added_tokens"]:
        token["special"] = token["content"] not in others
    return Tokenizer.from_str(json.dumps(parts))


def gemma_tokenizer(template: str = GEMMA) -> Any:
    """SentencePiece without a space put first; the marks of turns are added tokens, but not special."""
    turns = ["<start_of_turn>", "<end_of_turn>"]
    backend = _sentencepiece(["<bos>", "<eos>", *turns, "\n"], [*turns, "\n"], normalizers.Replace(" ", "▁"), [])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", chat_template=template
    )


def mistral_tokenizer() -> Any:
    """SentencePiece that puts a space before every text."""
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend = _sentencepiece(["<s>", "</s>"], [], normalizer, [decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=MISTRAL
    )


TOKENIZERS = {
    "chatml": chatml_tokenizer(), "thinking": thinking_tokenizer(), "llama": llama_tokenizer(),
    "gemma": gemma_tokenizer(), "silent": gemma_tokenizer(SILENT), "mistral": mistral_tokenizer(),
}  # fmt: skip

_TINY = {
    "vocab_size": 720, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 1024, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WINDOW = 6
MODELS: dict[str, dict[str, Any]] = {
    "Llama": {
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
    "Qwen2": {},
    "Qwen3": {"head_dim": 16},
    "Gemma2": {
        "head_dim": 8, "query_pre_attn_scalar": 3, "sliding_window": WINDOW, "attn_logit_softcapping": 0.5,
        "final_logit_softcapping": 2.0,
    },
    "Gemma3": {
        "head_dim": 8, "query_pre_attn_scalar": 3, "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "Mistral": {"sliding_window": WINDOW},
    "Phi3": {"sliding_window": WINDOW},
}  # fmt: skip
"""What is special about each family; windows shorter than the tests' texts."""

SPEAKS = {
    "Llama": "llama", "Qwen2": "chatml", "Qwen3": "thinking", "Gemma2": "gemma", "Gemma3": "gemma",
    "Mistral": "mistral", "Phi3": "chatml",
}  # fmt: skip
"""The tokenizer of a family."""


def family_model(name: str, seed: int = 0) -> Any:
    """A two-layer model with seeded weights, large enough that differences show."""
    kind = "Gemma3Text" if name == "Gemma3" else name
    config = getattr(transformers, f"{kind}Config")(**_TINY | MODELS[name])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model
