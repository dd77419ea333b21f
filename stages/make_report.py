import click

from tightlip.files import write_text
from tightlip.html_report import report_page
from tightlip.html_report.html_page import render
from tightlip.html_report.masked_answers import IMPERSONAL
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
    sections = report_page.main_sections(params.profile, base, params.eval.margin, params.seed, detect)
    if full:
        sections["evidence"] = report_page.evidence_sections(
            sections["chosen"], params.evidence.rows[0], params.eval.margin
        )
    html = render("tightlip.html_report", "report.html.j2", **sections)
    write_text("report-full.html" if full else "report.html", html)
    return len(sections)


if __name__ == "__main__":
    main()
