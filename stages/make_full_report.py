from tightlip.files import write_text
from tightlip.params import load_params
from tightlip.report import page
from tightlip.report.answers import detector
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Write report-full.html: the report with attacks, baselines, provenance, relearning and detectors."""
    params = load_params()
    detect = detector(params.filter.spacy_model)
    base = params.base.name or params.base.source
    shown = page.main_sections(params.profile, base, params.eval.margin, params.seed, detect)
    shown["evidence"] = page.evidence_sections(shown["chosen"], params.evidence.rows[0], params.eval.margin)
    write_text("report-full.html", page.render(**shown))
    return len(shown)


if __name__ == "__main__":
    main()
