"""`python -m tightlip.plot_page`: write the page that `dvc plots` fills. Vega is in it: no network is needed."""

from pathlib import Path

from tightlip.files import write_text

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh_tag}
<title>tightlip: plots</title>
<style>
body { font: 15px system-ui, sans-serif; margin: 24px; }
body > div { margin-bottom: 32px; overflow-x: auto; }
</style>
<script>BUNDLE</script>
</head>
<body>
<h1>tightlip: plots</h1>
{plot_divs}
</body>
</html>
"""


def write_page(path: str | Path = ".dvc/plots.html") -> None:
    """Write the page to the place that `.dvc/config` names."""
    from vl_convert import javascript_bundle

    write_text(path, PAGE.replace("BUNDLE", javascript_bundle()))  # type: ignore[call-arg]  # the stub has no default


if __name__ == "__main__":
    write_page()
