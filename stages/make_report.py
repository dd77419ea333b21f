from tightlip.files import write_text
from tightlip.params import load_params
from tightlip.report import page
from tightlip.report.answers import detector
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Write report.html: verdict, Tables 1–3, charts and answers of the run."""
    params = load_params()
    detect = detector(params.filter.spacy_model)
    base = params.base.name or params.base.source
    shown = page.main_sections(params.profile, base, params.eval.margin, params.seed, detect)
    write_text("report.html", page.render(**shown))
    return len(shown)


if __name__ == "__main__":
    main()
