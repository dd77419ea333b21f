import click

from tightlip.files import write_text
from tightlip.html_report import page
from tightlip.html_report.answers import IMPERSONAL
from tightlip.params import load_params
from tightlip.pii.detector import Detector
from tightlip.stage import stage_command


@stage_command
@click.option("--full", is_flag=True, help="With attacks, baselines, provenance, relearning and detectors.")
def main(full: bool) -> int:
    """Write report.html: verdict, Tables 1–3, charts and answers of the run; report-full.html with the evidence."""
    params = load_params()
    detect = Detector(params.filter.spacy_model, IMPERSONAL).find
    base = params.base.name or params.base.source
    shown = page.main_sections(params.profile, base, params.eval.margin, params.seed, detect)
    if full:
        shown["evidence"] = page.evidence_sections(shown["chosen"], params.evidence.rows[0], params.eval.margin)
    write_text("report-full.html" if full else "report.html", page.render(**shown))
    return len(shown)


if __name__ == "__main__":
    main()
