"""What MLflow's pages say about the experiment, its runs and its models."""

import json

DESCRIPTION = "mlflow.note.content"

ROW_DESCRIPTION = "A row of the tables. The description of the experiment explains its metrics."
TABLES_DESCRIPTION = "Tables 1–3 as CSV and Markdown, the metrics behind them and the data of the plots: see Artifacts."
EXPERIMENT_DESCRIPTION = """\
**tightlip** teaches a chat model to keep personal data to itself, without a retain set, and measures whether it does
(method: arXiv 2412.06846).

- **ch**, Model-challenge: the base model tuned on dialogues full of personal data; it leaks. **sub**: ch minus a task
  vector, the cheap defence. **lora**: a LoRA adapter trained with ORPO to prefer answers without personal data.
  **cfg**: the same on pairs whose system prompt carries the defence sentence or its opposite, for guided decoding.
- Runs with the tag `tightlip.kind` = `row` are the rows of the tables (tag `tightlip.table`: 1, 2, 3), named
  `<variant>_e<epoch>_g<100 γ>_<space>`: γ is the guidance scale, 1 the defence sentence alone; a row without γ has
  no sentence in its prompt.
- `tightlip.kind` = `variant`: the trainings with their curves. `tables`: the tables as files.
- Present results have the tag `tightlip.current` = `yes`; aliases of the registered models name the present versions.

What the metrics of a row mean: `leak_count` true values of the dialogues in the answers to `n_prompts` test prompts;
 `leak_rate` share of answers with one; `pii_count` entities that NER finds, the paper's count;
`trigger_leak_count` leaks when someone sends the opposite sentence; `utility_pct`, `utility_deployed_pct` right
answers to `n_questions`, as they are and with sentence and guidance. `_low` and `_high` bound 95% intervals;
`extended_` counts all test prompts.
"""
COLUMNS = (
    "leak_count", "leak_rate", "pii_count", "trigger_leak_count", "degenerate_count", "utility_pct",
    "utility_deployed_pct", "n_prompts", "n_questions",
)  # fmt: skip
ROWS_VIEW = json.dumps({
    "searchFilter": "tags.`tightlip.kind` = 'row' and tags.`tightlip.current` = 'yes'",
    "orderByKey": "attributes.`Created`",
    "orderByAsc": True,
    "selectedColumns": [*(f"metrics.`{name}`" for name in COLUMNS), "tags.`tightlip.table`"],
})  # fmt: skip
EXPERIMENT_TAGS = {
    DESCRIPTION: EXPERIMENT_DESCRIPTION,
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.sharedViewState.rows": ROWS_VIEW,  # the page opens it with `?viewStateShareKey=rows`
}
MODEL_DESCRIPTION = """\
**{variant}**: LoRA adapters on Model-{model}, trained with ORPO on the pairs `{dataset}`, one version per epoch.
Model-ch is tuned on dialogues full of personal data, Model-sub is that minus a task vector; `cfg` in the name means
pairs for guided decoding. Aliases: `epoch-1`, `epoch-2`, …, `last-epoch`, and `champion` on the version that was
chosen on the dev split.

`predict(data, params)`: a column `prompt`, or `messages` as JSON. `guidance_scale` 1 is the defence sentence alone,
2 to 3 guides further away from personal data; `space` is `prob` or `log`. A version holds the adapter; its base model
is looked up in the project (or below `$TIGHTLIP_ROOT`) and checked by SHA-256. Needs this project's package `tightlip`.
"""
