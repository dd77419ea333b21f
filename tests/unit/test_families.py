"""Models of other families: what is trained, scored and decoded is what transformers' plainest code computes."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor

from families import MODELS, SPEAKS, TOKENIZERS, family_model
from tightlip.cpu import fuse_lora
from tightlip.evaluation.utility import score_options
from tightlip.guidance.decoder import Decoding, generate
from tightlip.guidance.prompt_setup import PromptSetup
from tightlip.models.encoding import encode_completion, encode_prompt
from tightlip.models.fetching import fetch
from tightlip.models.loading import load_model
from tightlip.models.packing import Group, check_packs, pack, run
from tightlip.models.scoring import token_logps
from tightlip.models.task_vector import subtract
from tightlip.params import ModelSource
from tightlip.prompts import DEFAULT_SYSTEM, POSITIVE, QUESTION
from tightlip.records import Message, Question

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
PROMPT, TEXTS = list(range(20, 33)), [list(range(40, 45)), list(range(60, 68))]  # longer than the windows
SHORT = Group([50, 70, 90], [[7, 9, 8]])
GROUPS = [Group(PROMPT, TEXTS), SHORT]
QUESTIONS = [
    Question(
        question_id=number, question=question, options=("A town", "In the letter", "No"), answer="A", answer_index=0,
        category="x", src="x",
    )
    for number, question in enumerate(("Where is my letter?", "Who?"))
]  # fmt: skip


def with_adapter(model: Any) -> Any:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    return fuse_lora(get_peft_model(model, config))


@pytest.fixture(scope="module", params=list(MODELS))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def plain(family: str) -> Any:
    """The reference: transformers' attention written out, no kernel of torch's and none of ours."""
    model = family_model(family)
    model.set_attn_implementation("eager")
    return model


@pytest.fixture(scope="module")
def model_dir(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base brought in from a path."""
    given, out = (tmp_path_factory.mktemp(name) for name in ("given", "base"))
    family_model(family).save_pretrained(given, max_shard_size="20KB")
    TOKENIZERS[SPEAKS[family]].save_pretrained(given)
    assert len(list(given.glob("*.safetensors"))) > 1
    fetch(ModelSource(source="path", name=str(given), dtype="float32"), 0, out)
    return out


@pytest.fixture(scope="module")
def model(model_dir: Path) -> Any:
    return load_model(model_dir)


def separate(model: Any, group: Group) -> Tensor:
    """Log-probabilities of the completions, one plain forward each."""
    found = []
    for text in group.completions:
        logits = model(torch.tensor([[*group.prompt, *text]])).logits[0, len(group.prompt) - 1 : -1]
        found.append(logits.log_softmax(-1).gather(-1, torch.tensor(text)[:, None])[:, 0])
    return torch.cat(found)


def together(model: Any, groups: list[Group]) -> Tensor:
    batch = pack(groups)
    return token_logps(model, run(model, batch).flatten(0, 1)[batch["scored"]], batch["targets"])


@torch.no_grad()
def test_packed_scores_are_those_of_plain_forwards(model: Any, plain: Any) -> None:
    expected = torch.cat([separate(plain, group) for group in GROUPS])
    assert expected.std() > 0.1
    torch.testing.assert_close(together(model, GROUPS), expected, **CLOSE)


def test_packed_training_gives_an_adapter_the_gradients_of_separate_rows(model: Any, plain: Any) -> None:
    found: list[dict[str, Tensor]] = []
    for base, score in (
        (model, lambda tuned: together(tuned, GROUPS)),
        (plain, lambda tuned: torch.cat([separate(tuned, group) for group in GROUPS])),
    ):
        tuned = with_adapter(copy.deepcopy(base))
        logps = score(tuned)
        (logps * torch.arange(1, len(logps) + 1)).sum().backward()
        found.append({name: weight.grad for name, weight in tuned.named_parameters() if weight.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) >= 2 * 2 * 4  # two matrices on at least four projections of two layers
    for name, gradient in found[1].items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_greedy_answers_are_those_of_transformers(model: Any, plain: Any, batch_size: int) -> None:
    prompts = [PROMPT, SHORT.prompt, PROMPT[4:]]
    expected = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        out = plain.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=None,
            pad_token_id=0,
        )  # fmt: skip
        expected.append(out[0, len(prompt) :].tolist())
    assert generate(model, prompts, decoding=Decoding(12, [], 0, batch_size)) == expected


def test_options_are_scored_as_in_plain_forwards(family: str, model: Any, plain: Any) -> None:
    tokenizer = TOKENIZERS[SPEAKS[family]]
    (option_scores,) = score_options(model, tokenizer, QUESTIONS, [PromptSetup("positive")], progress="")
    for question, scores in zip(QUESTIONS, option_scores, strict=True):
        asked = (
            Message(role="system", content=f"{DEFAULT_SYSTEM} {POSITIVE}"),
            Message(role="user", content=QUESTION.format(question=question.question)),
        )
        texts = [encode_completion(tokenizer, text, end=False) for text in question.options]
        with torch.no_grad():
            logps = separate(plain, Group(encode_prompt(tokenizer, asked), texts)).split([len(text) for text in texts])
        assert scores == pytest.approx([float(each.mean()) for each in logps], abs=2e-4)


def test_an_adapter_is_merged_and_a_task_vector_subtracted(
    family: str, model_dir: Path, model: Any, tmp_path: Path
) -> None:
    tuned = with_adapter(load_model(model_dir)).eval()
    tuned.save_pretrained(tmp_path / "adapter")
    merged = load_model(model_dir, adapter=tmp_path / "adapter")
    ids = torch.tensor([PROMPT])
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, tuned(ids).logits, **CLOSE)
        assert not torch.allclose(merged(ids).logits, model(ids).logits, atol=1e-2)
    for name in ("ch", "sub"):
        (tmp_path / name).mkdir()
    merged.save_pretrained(tmp_path / "ch")
    subtract(model_dir, tmp_path / "ch", tmp_path / "sub", 0.5, "identity")
    base, ch, sub = (load_file(path / "model.safetensors") for path in (model_dir, tmp_path / "ch", tmp_path / "sub"))
    assert sub.keys() == base.keys()
    for name, weight in base.items():
        torch.testing.assert_close(sub[name], weight - 0.5 * (ch[name] - weight), **CLOSE)
    load_model(tmp_path / "sub")


def test_a_model_that_carries_on_a_state_is_refused(tmp_path: Path) -> None:
    config = transformers.MambaConfig(vocab_size=720, hidden_size=16, num_hidden_layers=1, state_size=4)
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path / "given")
    TOKENIZERS["chatml"].save_pretrained(tmp_path / "given")
    with pytest.raises(ValueError, match="model type mamba: completions that share a prompt do not stay apart"):
        fetch(ModelSource(source="path", name=str(tmp_path / "given")), 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_whose_completions_see_each_other_is_refused(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check_packs(tiny_model)
    monkeypatch.setattr(
        "tightlip.models.packing._mask", lambda segments: torch.ones(1, 1, *[segments.shape[1]] * 2).tril() > 0
    )
    with pytest.raises(ValueError, match="model type llama: completions that share a prompt do not stay apart"):
        check_packs(tiny_model)
