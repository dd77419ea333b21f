"""Write `recorded.json` from the records of a whole run: `python -m tightlip.doctor.record`, in the project's root."""

from pathlib import Path
from typing import Any

import click

from tightlip.doctor.dialogue_checks import characters_per_token, draw_samples, load_dialogues, measure_texts
from tightlip.doctor.model_checks import load_source_tokenizer
from tightlip.doctor.model_size import find_config, measure_size
from tightlip.doctor.speed import Speed, measure_speed
from tightlip.doctor.stage_estimates import RECORDED, Stage, plan_stages
from tightlip.files import one_line, read_json, write_json
from tightlip.params import Params, load_params


def make_recorded(params: Params, root: Path, records: dict[str, Any], speed: Speed, source: str) -> dict[str, Any]:
    """Return the content of `recorded.json`.

    Args:
        params: of the run.
        root: of the project.
        records: content of `data/records/`, by name without the suffix.
        speed: of the machine that made the run.
        source: where the records are from, in words.

    Raises:
        ValueError: a stage of the run has no record.
    """
    dialogues, problem = load_dialogues(params, root, made=True)
    if problem:
        raise ValueError(f"{problem.text}; {problem.remedy}")
    characters = characters_per_token(dialogues, load_source_tokenizer(params.base, root))
    stages = plan_stages(params, measure_texts(params, dialogues, draw_samples(params, dialogues), characters))
    missing = [stage.name for stage in stages if (stage.record or stage.name) not in records]
    if missing:
        raise ValueError(f"data/records: no record of {', '.join(missing)}; `make repro` and `make evidence` first")
    size = measure_size(find_config(params.base, root)[0], params.base.dtype, params.base.name, on_cpu=True)
    return {
        "profile": params.profile, "source": source, "parameters": size.parameters, "flops": speed.flops,
        "stages": {stage.name: _recorded(stage, records[stage.record or stage.name]) for stage in stages},
    }  # fmt: skip


def _recorded(stage: Stage, record: dict[str, Any]) -> dict[str, Any]:
    work = {
        "kind": stage.kind or stage.name,
        "work": round(stage.work, 1),
        "unit": stage.unit,
        "scaling": stage.scaling,
    }
    return work | {key: record.get(key) for key in ("seconds", "rows", "peak_memory_mb")}


@click.command()
def main() -> None:
    """Take the times of the last whole run here as those that `tightlip doctor` scales."""
    params, root = load_params(), Path.cwd()
    records = {path.stem: read_json(path) for path in sorted((root / "data/records").glob("*.json"))}
    speed = measure_speed(params.base.dtype)
    try:
        recorded = make_recorded(params, root, records, speed, f"data/records of a run of {params.profile}")
    except ValueError as error:
        raise click.ClickException(one_line(error)) from None
    write_json(RECORDED, recorded)
    click.echo(f"{RECORDED}: {len(recorded['stages'])} stages")


if __name__ == "__main__":
    main()
