import subprocess
import sys

import pytest
from click.testing import CliRunner

from tightlip.cli import main
from tightlip.files import write_json, write_jsonl
from tightlip.records import LeakOutcome, Message, Sample, Value

HEAVY = {"torch", "transformers", "mlflow", "spacy", "rich", "pandas", "numpy", "pydantic"}


def run(*arguments, **options):
    return CliRunner().invoke(main, arguments, **options)


@pytest.fixture
def project(tmp_path, monkeypatch, tiny_model_dir):
    """A finished project with two test answers and models that were never trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/ch").symlink_to(tiny_model_dir)
    write_json("metrics/selection.json", {"row": "ch_g200_prob", "dev": {}})
    samples = [
        Sample(
            id=f"d{number}:2:0",
            dialogue_id=f"d{number}",
            split="test",
            messages=(Message(role="user", content=f"Hello {number}, I am Ann Bell."),),
            prefix="Dear",
            completion=" Ann Bell, welcome.",
            target=Value(type="NAME", value="Ann Bell"),
            truths=(Value(type="NAME", value="Ann Bell"),),
        )
        for number in (1, 2)
    ]
    write_jsonl("data/samples/test.jsonl", samples)
    for key, answer in (("ch", " Ann Bell!"), ("ch_g100", " friend."), ("ch_g200_prob", " guest.")):
        answers = [
            LeakOutcome(
                sample_id=sample.id, answer=answer, finish="stop", entities=(), leaks=(), degenerate=None
            ) for sample in samples
        ]  # fmt: skip
        write_jsonl(f"data/rows/ch/{key}/leaks.jsonl", answers)
    return tmp_path


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from tightlip.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"sys.exit(','.join(sorted({HEAVY!r} & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "chat" in done.stdout


@pytest.mark.parametrize("command", ["chat", "show"])
def test_help_teaches_with_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  tightlip {command} ch" in result.output


def test_chat_answers_piped_lines_with_the_selected_row(project):
    result = run("chat", "--max-new-tokens", "4", input="Hello\n/scale 1\n/quit\n")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith(("you", "undef", "def", "guid"))]
    assert [line.split(":")[0] for line in lines] == [
        "you", "undefended (ch)", "defended (ch, γ=2, prob)", "guidance scale γ = 1",
    ]  # fmt: skip


def test_chat_without_adapter_fails_in_one_line(project):
    result = run("chat", "ch-lora_e1_g100", input="")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: adapters/ch-lora/epoch_1: no adapter for row ch-lora_e1_g100; run `dvc repro` to train it, "
        "or name another row\n"
    )


@pytest.mark.parametrize("content", [{}, {"row": None}, []])
def test_selection_without_row_fails_in_one_line(project, content):
    write_json("metrics/selection.json", content)
    result = run("chat", input="")
    assert result.exit_code == 1
    assert result.stderr.startswith('Error: metrics/selection.json: no "row" in it; run `dvc repro`')


def test_unknown_row_fails_in_one_line(project):
    result = run("show", "best")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: 'best' is no row")


def test_show_masks_true_values(project):
    result = run("show", "ch_g100", "--limit", "1")
    assert result.output.strip().splitlines() == [
        "d1:2:0",
        "user: Hello 1, I am [NAME].",
        "answer so far: Dear",
        "original: [NAME], welcome.",
        "undefended (ch): [NAME]!",
        "ch_g100: friend.",
    ]


def test_show_unmasks_on_demand_and_takes_the_selected_row(project):
    result = run("show", "--unmasked")
    assert result.output.count("undefended (ch): Ann Bell!") == 2
    assert result.output.count("ch_g200_prob: guest.") == 2


def test_show_of_a_row_without_answers_names_the_file(project):
    result = run("show", "sub")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: data/rows/sub/sub/leaks.jsonl: no such file; run `dvc repro`")
