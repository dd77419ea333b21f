"""Everything runs without the engines of `tightlip.cpu`, with the same results; nothing calls them past their door."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tightlip import cpu
from tightlip.cpu import attention, llama_decoding, llama_training, lora, precision
from tightlip.guidance.decoder import Decoding, generate
from tightlip.models.loading import load_model
from tightlip.models.packing import Group, pack, read_shared, run
from tightlip.models.random_model import random_tokenizer
from tightlip.models.scoring import token_logps
from tightlip.models.tuning import tune
from tightlip.params import Lora, Train, Tune, Variant
from tightlip.preference.pair_encoding import EncodedPair
from tightlip.preference.trainer import train_orpo
from tightlip.records import Dialogue, Turn
from tightlip.table_rows import Guidance

SOURCES = Path(__file__).parents[2] / "src/tightlip"
ENGINES = {
    "attention": (attention, "attend"),
    "LoRA": (lora._LoraLinear, "forward"),
    "training": (llama_training, "_forward"),
    "decoding": (llama_decoding.LlamaRows, "step"),
}
"""What each engine does most of its work in; the training engine has the attention's function by its own name."""

Results = dict[str, torch.Tensor]
Job = Callable[[Path, Path], Results]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the engines that ran."""
    names: set[str] = set()
    for name, (owner, function) in ENGINES.items():
        original = getattr(owner, function)

        def noting(*args: Any, name: str = name, original: Callable[..., Any] = original, **options: Any) -> Any:
            names.add(name)
            return original(*args, **options)

        is_static = isinstance(vars(owner).get(function), staticmethod)
        monkeypatch.setattr(owner, function, staticmethod(noting) if is_static else noting)
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)  # trainings in float32, where results can be compared
    return names


def shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every function of the door say no."""
    for name in ("use_grouped_attention", "fuse_lora"):
        monkeypatch.setattr(cpu, name, lambda model: model)
    for name in ("last_hidden", "decoding_rows"):
        monkeypatch.setattr(cpu, name, lambda *_: None)


def score(model_dir: Path, _: Path) -> Results:
    model = load_model(model_dir)
    batch = pack([Group([5, 6, 7, 8], [[9, 10], [11]]), Group([12, 13], [[14, 15, 16]])], score_prompt=True)
    results = {}
    with torch.no_grad():
        for name, shared in (("alone", ()), ("after a shared beginning", read_shared(model, [20, 21, 22]))):
            hidden = run(model, batch, shared).flatten(0, 1)[batch["scored"]]
            results[name] = token_logps(model, hidden, batch["targets"])
    return results


def decode(model_dir: Path, _: Path) -> Results:
    prompts = [[5 + number, 6, 7, 8 + number] * (1 + number) for number in range(7)]
    model, negatives = load_model(model_dir), [[9, 9, *prompt] for prompt in prompts]
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)  # answers that do not hang on the last bits
    decoding = Decoding(max_new_tokens=12, eos_ids=[], pad_id=2, batch_size=3)
    setups = (Guidance(), Guidance(2.0), Guidance(3.0, "prob"))
    return {
        str(guidance): torch.tensor(generate(model, prompts, negatives, decoding=decoding, guidance=guidance))
        for guidance in setups
    }


def tune_model(model_dir: Path, work: Path) -> Results:
    texts = [("Hello, I am Anna.", "Hello, Anna."), ("Where is my letter?", "At your address."), ("Who?", "By me.")]
    dialogues = [
        Dialogue(
            id=f"d{number}", domain="letters", split="train",
            turns=(Turn(role="user", content=question), Turn(role="assistant", content=answer)),
        )
        for number, (question, answer) in enumerate(texts * 2)
    ]  # fmt: skip
    settings = Tune(epochs=2, learning_rate=1e-3, batch_size=2, rank=4, max_length=256)
    model = load_model(model_dir)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    tuned, log = tune(model, random_tokenizer(), dialogues, work, settings, seed=3, save_seconds=60)
    updates = {name: weight.detach() - before[name] for name, weight in tuned.named_parameters()}
    return {
        "losses": torch.tensor([entry["loss"] for entry in log]),
        "update": torch.cat([update.flatten() for update in updates.values()]),
    }


def train_variant(objective: Any) -> Job:
    def train(model_dir: Path, work: Path) -> Results:
        pairs = [
            EncodedPair(
                answer=str(number), prompt_ids=[5 + number, 6, 7], chosen_ids=[8, 9 + number, 2],
                rejected_ids=[20 + number, 21, 22, 2],
            )
            for number in range(6)
        ]  # fmt: skip
        variant = Variant(model="ch", dataset="plain", objective=objective)
        curves = train_orpo(
            load_model(model_dir), random_tokenizer(), pairs, pairs[:2], work / "out", work / "work",
            variant=variant, seed=1, settings=Train(
                epochs=2, batch_size=2, learning_rate=1e-3, lora=Lora(rank=4, alpha=8, dropout=0.0),
                variants={"ch-lora": variant},
            ),
        )  # fmt: skip
        adapter = load_file(work / "out/epoch_2/adapter_model.safetensors")
        return {
            "losses": torch.tensor([float(line["loss"]) for line in curves]),
            "update": torch.cat([adapter[name].flatten() for name in sorted(adapter) if "lora_B" in name]),
        }

    return train


JOBS: dict[str, tuple[Job, set[str]]] = {
    "scoring": (score, {"attention", "training"}),
    "decoding": (decode, {"attention", "decoding"}),
    "tuning": (tune_model, {"training"}),
    "orpo": (train_variant("orpo"), {"training"}),
    "dpo": (train_variant("dpo"), {"training"}),
    "sft": (train_variant("sft"), {"training"}),
}


# peft 0.21 reads a property that transformers 5.23 has deprecated
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize(("job", "engines"), JOBS.values(), ids=JOBS)
def test_a_job_runs_without_engines_and_comes_to_the_same(
    job: Job, engines: set[str], tiny_model_dir: Path, tmp_path: Path, used: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = job(tiny_model_dir, tmp_path / "ours")
    assert used == engines
    used.clear()
    shut(monkeypatch)
    stock = job(tiny_model_dir, tmp_path / "stock")
    assert used == set()
    assert ours.keys() == stock.keys()
    for name, expected in stock.items():
        assert expected.float().norm() > 0, name
        distance = (ours[name] - expected).float().norm() / expected.float().norm()
        assert distance <= (1e-2 if name == "update" else 1e-4 if expected.is_floating_point() else 0), name


# peft 0.21 reads a property that transformers 5.23 has deprecated
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_without_the_training_engine_the_fused_layers_run(
    tiny_model_dir: Path, tmp_path: Path, used: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "last_hidden", lambda *_: None)
    tune_model(tiny_model_dir, tmp_path)
    assert used == {"attention", "LoRA"}


@pytest.mark.parametrize("name", ["use_grouped_attention", "fuse_lora"])
def test_what_the_door_returns_is_the_model_itself(name: str, tiny_model_dir: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_model(tiny_model_dir), LoraConfig(target_modules=["q_proj"]))
    assert getattr(cpu, name)(model) is model


def imported(path: Path) -> set[str]:
    """Names that a module imports, at its top or in a function."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return plain | {str(node.module) for node in sources} | {
        f"{node.module}.{alias.name}" for node in sources for alias in node.names
    }  # fmt: skip


def test_no_module_goes_past_the_door() -> None:
    engines = {f"tightlip.cpu.{path.stem}" for path in (SOURCES / "cpu").glob("*.py")} - {"tightlip.cpu.__init__"}
    others = [*SOURCES.rglob("*.py"), *(SOURCES.parents[1] / "stages").glob("*.py")]
    past = {
        path.name: names
        for path in others
        if path.parent != SOURCES / "cpu" and (names := imported(path) & engines)
    }  # fmt: skip
    assert len(engines) >= 6
    assert past == {}


def test_decoding_does_not_need_the_training_engine() -> None:
    assert not any("llama_training" in name for name in imported(SOURCES / "cpu/llama_decoding.py"))
    others = [path for path in SOURCES.rglob("*.py") if path != SOURCES / "cpu/llama_training.py"]
    users = [path for path in others if any("llama_training" in name for name in imported(path))]
    assert users == [SOURCES / "cpu/__init__.py"]
