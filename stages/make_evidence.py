from pathlib import Path

import pandas as pd

from tightlip.files import read_json, read_jsonl
from tightlip.params import load_params
from tightlip.records import AttackOutcome, LeakOutcome, UtilityOutcome
from tightlip.stage import stage_command
from tightlip.tables import evidence_tables as evidence
from tightlip.tables.evidence_tables import EvidenceRow
from tightlip.tables.main_tables import write_table

METRICS = Path("metrics/evidence")


@stage_command
def main() -> int:
    """Make Tables 4–10 from the tested rows of the evidence."""
    params = load_params()
    trainings = {key: _trainings(key, key in params.evidence.attacked) for key in params.evidence.rows}
    rows = {key: first for key, (first, *_) in trainings.items()}
    challenge = read_json("metrics/challenge.json")
    captions = evidence.captions(params.eval.margin, challenge["hits_floor"], challenge["n_values"])
    tables = {
        "table4": evidence.baselines(rows, params.eval.margin, params.seed),
        "table5": evidence.attacks(rows),
        "table6": evidence.provenance(rows),
        "table7": evidence.detectors(read_json("metrics/detectors.json")),
        "table8": evidence.relearning(pd.read_csv(METRICS / "relearning.csv")),
        "table9": evidence.scorers(rows),
        "table10": evidence.repeated(trainings, params.seed),
    }
    for name, table in tables.items():
        write_table(METRICS / "tables" / name, table, captions[name])
    return sum(map(len, tables.values()))


def _trainings(key: str, attacked: bool) -> list[EvidenceRow]:
    folder, trainings = Path("data/evidence", key), []
    for number, metrics in enumerate(read_json(METRICS / f"rows/{key}.json")):
        outcomes = folder / f"training_{number}"
        leaks = read_jsonl(outcomes / "leaks.jsonl", LeakOutcome)
        utility = read_jsonl(outcomes / "utility.jsonl", UtilityOutcome)
        attacks = read_jsonl(outcomes / "attacks.jsonl", AttackOutcome) if attacked and number == 0 else []
        trainings.append(EvidenceRow(leaks, utility, attacks, metrics))
    return trainings


if __name__ == "__main__":
    main()
