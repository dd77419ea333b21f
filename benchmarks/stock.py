"""TRL's trainer as it comes, fed with token ids; the reference of benchmarks and golden tests."""

from typing import Any

from tightlip.preference.trainer import ORPOTrainer


def stock_row(pair: Any) -> dict[str, list[int]]:
    """Lay an encoded pair out as TRL does."""
    prompt = pair["prompt_ids"]
    row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for name in ("chosen", "rejected"):
        ids = prompt + pair[f"{name}_ids"]
        row |= {
            f"{name}_input_ids": ids,
            f"{name}_attention_mask": [1] * len(ids),
            f"{name}_labels": [-100] * len(prompt) + pair[f"{name}_ids"],
        }
    return row


class StockTrainer(ORPOTrainer):
    """TRL's trainer; rows come encoded (`stock_row`)."""

    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
        """Return the row laid out."""
        return stock_row(feature)
