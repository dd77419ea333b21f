"""The paper's published numbers by our row keys; the tables print them beside ours.

Source: R. Smirnov, "Classifier-free guidance in LLMs Safety", arXiv 2412.06846, Tables 1–3, on Llama-3.1-8B. Utility
is the share of MMLU-Pro's 70 validation questions judged correct, without guidance or defence sentence (the published
code ignores both there). Tables 1 and 2 combine in log space (eq. 2), Table 3 in probability space (eq. 6).
"""

from typing import NamedTuple

MODEL = "Llama-3.1-8B"


class PaperRow(NamedTuple):
    """One row of the paper.

    Attributes:
        table: number of the paper's table.
        label: the row's name there.
        mmlu_pct: correct answers, percent; None if not given.
        piis_50, piis_150: entities that NER counts in the answers to 50 and 150 test prompts; None if not given.
    """

    table: int
    label: str
    mmlu_pct: float | None
    piis_50: int
    piis_150: int | None = None


# The baseline was run with the defence sentence, so it is our `ch_g100`; Model-sub is matched the same way.
TABLE1 = {
    "ch_g100": PaperRow(1, "Model-ch (baseline)", 42.9, 246),
    "sub_g100": PaperRow(1, "Model-sub", 0.0, 175),
    "sub-lora_e2_g100": PaperRow(1, "Model-sub-lora (2 epoch)", 34.3, 96),
    "sub-lora_e3_g100": PaperRow(1, "Model-sub-lora (3 epoch)", 32.9, 88),
    "sub-lora-cfg_e2_g100": PaperRow(1, "Model-sub-lora-cfg=1 (2 epoch)", 21.4, 28),
    "sub-lora-cfg_e3_g100": PaperRow(1, "Model-sub-lora-cfg=1 (3 epoch)", 30.0, 27),
    "sub-lora-cfg_e2_g200_log": PaperRow(1, "Model-sub-lora-cfg=2 (2 epoch)", 22.9, 5),
    "sub-lora-cfg_e3_g200_log": PaperRow(1, "Model-sub-lora-cfg=2 (3 epoch)", 30.0, 4),
    "ch-lora_e2_g100": PaperRow(1, "Model-ch-lora (2 epoch)", 45.7, 4),
    "ch-lora_e3_g100": PaperRow(1, "Model-ch-lora (3 epoch)", 44.3, 11),
    "ch-lora-cfg_e2_g100": PaperRow(1, "Model-ch-lora-cfg=1 (2 epoch)", 45.7, 12),
    "ch-lora-cfg_e2_g200_log": PaperRow(1, "Model-ch-lora-cfg=2 (2 epoch)", 47.1, 3),
    "ch-lora-cfg_e3_g100": PaperRow(1, "Model-ch-lora-cfg=1 (3 epoch)", 45.7, 12),
    "ch-lora-cfg_e3_g200_log": PaperRow(1, "Model-ch-lora-cfg=2 (3 epoch)", 44.3, 5),
    "ch-lora-cfg_e3_g300_log": PaperRow(1, "Model-ch-lora-cfg=3 (3 epoch)", 45.7, 1),
}

TABLE2 = {
    "ch-lora-cfg-gpt_e1_g100": PaperRow(2, "GPT-data model, cfg=1 (1 epoch)", 42.9, 35),
    "ch-lora-cfg-gpt_e1_g200_log": PaperRow(2, "GPT-data model, cfg=2 (1 epoch)", 42.9, 20),
    "ch-lora-cfg-gpt_e2_g100": PaperRow(2, "GPT-data model, cfg=1 (2 epoch)", 48.6, 39),
    "ch-lora-cfg-gpt_e2_g200_log": PaperRow(2, "GPT-data model, cfg=2 (2 epoch)", 47.1, 21),
    "ch-lora-cfg-gpt_e3_g100": PaperRow(2, "GPT-data model, cfg=1 (3 epoch)", 45.7, 38),
    "ch-lora-cfg-gpt_e3_g200_log": PaperRow(2, "GPT-data model, cfg=2 (3 epoch)", 45.7, 26),
    "ch-lora-cfg-llama_e1_g100": PaperRow(2, "Llama-data model, cfg=1 (1 epoch)", 41.4, 3),
    "ch-lora-cfg-llama_e1_g200_log": PaperRow(2, "Llama-data model, cfg=2 (1 epoch)", 41.4, 0),
    "ch-lora-cfg-llama_e2_g100": PaperRow(2, "Llama-data model, cfg=1 (2 epoch)", 41.4, 15),
    "ch-lora-cfg-llama_e2_g200_log": PaperRow(2, "Llama-data model, cfg=2 (2 epoch)", 41.4, 5),
    "ch-lora-cfg-llama_e3_g100": PaperRow(2, "Llama-data model, cfg=1 (3 epoch)", 47.1, 20),
    "ch-lora-cfg-llama_e3_g200_log": PaperRow(2, "Llama-data model, cfg=2 (3 epoch)", 47.1, 5),
}

TABLE3 = {
    "ch-lora_e3_g100": PaperRow(3, "Model-ch-lora (3 epoch)", None, 11, 27),
    # Section 5 gives its utility: "the same value of 45.7%".
    "ch-lora-cfg_e3_g300_prob": PaperRow(3, "Model-ch-lora-cfg=3 (3 epoch)", 45.7, 3, 19),
}

# Which of the paper's two data sources a source of ours stands for: the base model's own completions, or an answer
# rewritten by something else.
COUNTERPARTS = {"base": "llama", "llama": "llama", "rewriter": "gpt", "gpt": "gpt"}
