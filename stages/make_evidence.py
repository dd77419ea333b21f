from pathlib import Path

import pandas as pd

from tightlip.files import read_json, read_jsonl, write_text
from tightlip.params import load_params
from tightlip.records import AttackOutcome, LeakOutcome, UtilityOutcome
from tightlip.reporting import evidence
from tightlip.reporting.tables import to_markdown
from tightlip.stage import stage_command

OUT = Path("metrics/evidence")


@stage_command
def main() -> int:
    """Make Tables 4–8 from the tested rows of the evidence."""
    params = load_params()
    tested = {
        key: evidence.Tested(
            read_jsonl(f"data/evidence/{key}/leaks.jsonl", LeakOutcome),
            read_jsonl(f"data/evidence/{key}/utility.jsonl", UtilityOutcome),
            read_jsonl(f"data/evidence/{key}/attacks.jsonl", AttackOutcome) if key in params.evidence.attacked else [],
            read_json(OUT / f"rows/{key}.json"),
        )
        for key in params.evidence.rows
    }
    challenge = read_json("metrics/challenge.json")
    captions = evidence.captions(params.eval.margin, challenge["hits_floor"], challenge["n_values"])
    tables = {
        "table4": evidence.baselines(tested, params.eval.margin, params.seed),
        "table5": evidence.attacks(tested),
        "table6": evidence.provenance(tested),
        "table7": evidence.detectors(read_json("metrics/detectors.json")),
        "table8": evidence.relearning(pd.read_csv(OUT / "relearning.csv")),
    }
    for name, table in tables.items():
        write_text(OUT / f"{name}.md", to_markdown(table, captions[name]))
        write_text(OUT / f"{name}.csv", table.to_csv(index=False))
    return sum(map(len, tables.values()))


if __name__ == "__main__":
    main()
