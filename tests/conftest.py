"""Which tests are slow, and the seeded two-layer models that all tests share."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

# No deadlines: a busy machine would miss them.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
settings.register_profile("fuzz", max_examples=2000, deadline=None)  # `make fuzz`
# `make mutants`: a failing example need not be made small, and none is kept for the next mutant.
settings.register_profile("mutants", database=None, deadline=None, phases=[Phase.explicit, Phase.generate])

PIPELINE = Path(__file__).parent / "pipeline"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the pipeline's tests as slow, and let the files with slow tests start first on the two workers.

    A file's tests share a worker (`--dist loadfile`), and so their fixtures.
    """
    for item in items:
        if item.path.is_relative_to(PIPELINE):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name != "test_smoke.py", item.path not in slow))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Byte-level BPE tokenizer with a ChatML template."""
    from tightlip.models.random_model import random_tokenizer

    return random_tokenizer()


@pytest.fixture(scope="session")
def tiny_model(tiny_tokenizer: Any) -> Any:
    """Two-layer Llama in eval mode; tests that change it work on a copy."""
    from tightlip.models.random_model import random_model

    return random_model(tiny_tokenizer, seed=0).eval()


@pytest.fixture(scope="session")
def sliding_model() -> Any:
    """Two-layer Qwen2 in eval mode, one of whose layers sees the last four tokens alone."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=80, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, use_sliding_window=True, sliding_window=4, max_window_layers=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_model: Any, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two saved as `load_model` and `load_tokenizer` expect them; not to be written to."""
    path = tmp_path_factory.mktemp("tiny_model")
    tiny_model.save_pretrained(path)
    tiny_tokenizer.save_pretrained(path)
    return path
