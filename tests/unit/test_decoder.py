"""The reference is transformers' own `generate`, one prompt at a time, in float32."""

import copy
import itertools
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tightlip.cpu import llama_decoding as llama
from tightlip.guidance.batch import left_pad
from tightlip.guidance.decoder import Decoding, generate
from tightlip.guidance.guided_generate import guided_generate
from tightlip.table_rows import Guidance, Space

SPACES: tuple[Space, Space] = ("log", "prob")
NEW = 12
PAD = 2


def some_prompts(count: int, seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts of 1 to 15 tokens and their negatives, which are of another length."""
    rng = random.Random(seed)  # noqa: S311
    positive = [[rng.randrange(3, 420) for _ in range(rng.randint(1, 15))] for _ in range(count)]
    return positive, [[rng.randrange(3, 420) for _ in range(rng.randint(1, 5))] + ids for ids in positive]


def reference(model: Any, prompt: list[int], eos: set[int], **guidance: Any) -> list[int]:
    """Greedy continuation by transformers, without EOS."""
    ids = torch.tensor([prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, eos_token_id=sorted(eos) or None,
        pad_token_id=PAD, **guidance,
    )[0, len(prompt) :].tolist()  # fmt: skip
    return out[:-1] if out and out[-1] in eos else out


@pytest.fixture(params=["written out", "through transformers"])
def model(request: pytest.FixtureRequest, sharp_model: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model with both ways of running it."""
    if request.param == "through transformers":
        monkeypatch.setattr("tightlip.cpu.llama_decoding.supports", lambda _: False)
    return sharp_model


@pytest.fixture(scope="module")
def sharp_model(tiny_model: Any) -> Any:
    """The tiny model with sharper, less repetitive logits, so that greedy answers differ and have no ties."""
    sharp = copy.deepcopy(tiny_model)
    sharp.generation_config.eos_token_id = None
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in sharp.named_parameters():
            if "proj" in name:
                parameter.normal_(std=0.2)
    return sharp.eval()


SAMPLING = ("batch_size", "temperature", "seed", "banned_ids")


def decode(
    model: Any,
    *prompts: Any,
    eos: set[int] | None = None,
    scale: float | list[float] = 1.0,
    space: Space = "log",
    plausibility: float = 0.0,
    **options: Any,
) -> list[list[int]]:
    """Decode a few tokens; the other arguments are those of `Decoding` and `generate`."""
    decoding = Decoding(NEW, eos or set(), PAD, **{name: options.pop(name) for name in SAMPLING if name in options})
    scales = scale if isinstance(scale, list) else [scale] * len(prompts[0])
    guidance = [Guidance(each, space, plausibility) for each in scales]
    return generate(model, *prompts, decoding=decoding, guidance=guidance, **options)


def ending(model: Any, prompts: list[list[int]]) -> set[int]:
    """Frequent tokens of the answers: taken as EOS, they end the answers at different times."""
    counts = Counter(token for ids in decode(model, prompts) for token in ids[2:])
    return {token for token, _ in counts.most_common(6)}


# --- Against the library -------------------------------------------------------------------------------------------


def test_unguided_answers_are_those_of_transformers(model: Any) -> None:
    prompts, _ = some_prompts(20)
    eos = ending(model, prompts)
    expected = [reference(model, prompt, eos) for prompt in prompts]
    assert decode(model, prompts, eos=eos, batch_size=8) == expected
    assert len({len(ids) for ids in expected}) > 3, "the answers must end at different times"
    assert len({tuple(ids) for ids in expected}) > 10


@pytest.mark.parametrize("scale", [1.5, 3.0])
def test_guided_answers_in_log_space_are_those_of_transformers(model: Any, scale: float) -> None:
    prompts, negatives = some_prompts(20, seed=2)
    eos = ending(model, prompts)
    expected = [
        reference(model, prompt, eos, guidance_scale=scale, negative_prompt_ids=torch.tensor([negative]))
        for prompt, negative in zip(prompts, negatives, strict=True)
    ]
    assert decode(model, prompts, negatives, scale=scale, space="log", eos=eos, batch_size=7) == expected
    assert expected != [reference(model, prompt, eos) for prompt in prompts]


# --- Batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_a_batch_answers_as_its_prompts_do_one_by_one(model: Any, space: Space) -> None:
    prompts, negatives = some_prompts(12, seed=3)
    eos = ending(model, prompts)
    options: dict[str, Any] = {"scale": 2.0, "space": space, "eos": eos}
    alone = [decode(model, [one], [other], **options)[0] for one, other in zip(prompts, negatives, strict=True)]
    assert decode(model, prompts, negatives, batch_size=5, **options) == alone
    assert decode(model, prompts, negatives, batch_size=12, **options) == alone
    assert len({len(ids) for ids in alone}) > 2


class Scripted(torch.nn.Module):
    """Says what its prompt's first token stands for, then EOS: token n says n − 10 times token n."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, self.device = config, torch.device("cpu")
        self.sizes: list[int] = []
        self.positions: list[list[list[int]]] = []

    def forward(self, input_ids: Any, attention_mask: Any, position_ids: Any, past_key_values: Any, **_: Any) -> Any:
        self.sizes.append(len(input_ids))
        self.positions.append(position_ids.tolist())
        states = input_ids[:, None, :, None].float()
        _, values = past_key_values.update(states, states, 0)
        history = (values[:, 0, :, 0] * attention_mask).long()
        speaker = history.max(dim=-1).values
        said = (history == speaker[:, None]).sum(-1) - 1  # one of them is the prompt's
        target = torch.where(said < speaker - 10, speaker, PAD)
        return SimpleNamespace(logits=torch.nn.functional.one_hot(target, 30).float()[:, None])


def test_finished_prompts_leave_the_batch_and_the_others_go_on(model: Any) -> None:
    scripted = Scripted(model.config)
    prompts = [[11], [13, 1], [14], [10, 1, 1], [11, 1]]
    answers = decode(scripted, prompts, eos={PAD}, batch_size=5)
    assert answers == [[11], [13] * 3, [14] * 4, [], [11]]
    # Rows of each forward: all; without 10, which said nothing; without both 11; 13 and 14 go on; 14 alone.
    assert scripted.sizes == [5, 4, 2, 2, 1]


def test_waiting_prompts_take_the_places_of_finished_ones(model: Any) -> None:
    scripted = Scripted(model.config)
    prompts = [[11, 1, 1], [14, 1], [12], [13], [10]]
    answers = decode(scripted, prompts, eos={PAD}, batch_size=2)
    assert answers == [[11], [14] * 4, [12] * 2, [13] * 3, []]
    # 11 and 14 are run and go on; 11 ends; 12 is run and joins 14; both end; 13 and 10 are run; 13 goes on alone.
    assert scripted.sizes == [2, 2, 1, 1, 2, 2, 2, 1, 1, 1]


def test_long_prompts_are_run_in_groups_of_limited_size(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, negatives = some_prompts(10, seed=8)
    expected = decode(model, prompts, negatives, scale=2.0, batch_size=10)
    monkeypatch.setattr("tightlip.guidance.batch.PREFILL_TOKENS", 30)
    sizes: list[int] = []
    handle = model.register_forward_pre_hook(
        lambda _, __, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        assert decode(model, prompts, negatives, scale=2.0, batch_size=10) == expected
    finally:
        handle.remove()
    longest = max(map(len, negatives))
    assert max(sizes) <= max(30, 2 * longest)  # the limit, or the two rows of one prompt


def test_a_model_whose_layers_forget_is_decoded_batch_by_batch(sliding_model: Any) -> None:
    prompts = [[index + 3, *range(5, 5 + index)] for index in range(7)]
    negatives = [[70, *prompt] for prompt in prompts]
    options: dict[str, Any] = {"scale": 2.0, "eos": {4, 9, 30}}
    alone = [decode(sliding_model, [one], [other], **options)[0] for one, other in zip(prompts, negatives, strict=True)]
    assert decode(sliding_model, prompts, negatives, batch_size=3, **options) == alone
    assert len({tuple(ids) for ids in alone}) > 3


def test_positions_count_from_a_prompts_first_token_and_not_from_the_padding(model: Any) -> None:
    scripted = Scripted(model.config)
    decode(scripted, [[10, 1, 1], [12]], eos={PAD})
    assert scripted.positions == [[[0, 1, 2], [0, 0, 0]], [[1]], [[2]]]  # the first prompt ends at once


def test_an_answer_is_cut_at_the_limit(model: Any) -> None:
    assert decode(Scripted(model.config), [[29], [11]], eos={PAD}) == [[29] * NEW, [11]]


def test_padding_is_on_the_left_and_masked() -> None:
    ids, mask = left_pad([[5], [6, 7, 8]], PAD, "cpu")
    assert ids.tolist() == [[2, 2, 5], [6, 7, 8]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_no_prompts_have_no_answers(model: Any) -> None:
    assert decode(model, []) == []


# --- Guidance ------------------------------------------------------------------------------------------------------


def test_at_scale_1_the_negative_branch_is_not_run(model: Any) -> None:
    prompts, negatives = some_prompts(4)
    scripted = Scripted(model.config)
    decode(scripted, [[11], [12]], [[1, 11], [1, 12]], scale=1.0, eos={PAD})
    assert max(scripted.sizes) == 2
    assert decode(model, prompts, negatives, scale=1.0) == decode(model, prompts)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_negative_prompt_equal_to_its_positive_one_is_an_error(model: Any, scale: float) -> None:
    prompts, negatives = some_prompts(3)
    negatives[1] = list(prompts[1])
    with pytest.raises(ValueError, match="prompt 1: the negative prompt equals the positive one"):
        decode(model, prompts, negatives, scale=scale)


def test_unequal_counts_and_empty_prompts_are_errors(model: Any) -> None:
    with pytest.raises(ValueError, match="2 prompts but 1 negative prompts"):
        decode(model, [[5], [6]], [[7]], scale=2.0)
    with pytest.raises(ValueError, match="a prompt is empty"):
        decode(model, [[5], []])


def test_an_empty_negative_prompt_is_an_error(model: Any) -> None:
    with pytest.raises(ValueError, match="prompt is empty"):
        decode(model, [[5], [6]], [[7], []], scale=2.0)


# --- Sampling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_sampling_is_decided_by_the_seed(model: Any, space: Space) -> None:
    prompts, negatives = some_prompts(6, seed=4)
    options: dict[str, Any] = {"scale": 1.5, "space": space, "temperature": 1.0, "batch_size": 4}
    once = decode(model, prompts, negatives, seed=7, **options)
    torch.manual_seed(99)  # the global generator has no say
    assert decode(model, prompts, negatives, seed=7, **options) == once
    assert decode(model, prompts, negatives, seed=8, **options) != once


@pytest.mark.parametrize("space", SPACES)
def test_samples_follow_the_guided_distribution(model: Any, space: Space) -> None:
    from tightlip.guidance.combine import combine

    prompts, negatives = some_prompts(1, seed=5)
    with torch.no_grad():
        positive, negative = (model(torch.tensor([ids[0]])).logits[:, -1] for ids in (prompts, negatives))
    expected = torch.softmax(combine(positive, negative, Guidance(1.5, space)) / 0.5, dim=-1)[0]
    count = 2000
    drawn = generate(
        model, prompts * count, negatives * count, guidance=Guidance(1.5, space),
        decoding=Decoding(1, set(), PAD, batch_size=count, temperature=0.5),
    )  # fmt: skip
    found = torch.bincount(torch.tensor(drawn).flatten(), minlength=len(expected)) / count
    top = expected.topk(5).indices
    # Four standard deviations of a binomial share.
    assert ((found - expected)[top].abs() <= 4 * (expected[top] * (1 - expected[top]) / count).sqrt()).all()


def test_a_temperature_near_0_is_greedy(model: Any) -> None:
    prompts, _ = some_prompts(4, seed=6)
    assert decode(model, prompts, temperature=1e-4) == decode(model, prompts)


# --- Prompt by prompt ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_every_prompt_may_have_a_scale_of_its_own(model: Any, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, negatives = some_prompts(12, seed=4)
    scales = [(1.0, 2.0, 3.0)[i % 3] for i in range(12)]
    eos = ending(model, prompts)
    together = decode(model, prompts, negatives, scale=scales, space=space, eos=eos, batch_size=5)
    for scale in set(scales):
        alone = decode(model, prompts, negatives, scale=scale, space=space, eos=eos)
        own = [i for i in range(12) if scales[i] == scale]
        assert [together[i] for i in own] == [alone[i] for i in own]


def test_prompts_at_scale_1_have_no_negative_branch(model: Any) -> None:
    prompts, negatives = some_prompts(4)
    rows: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        decode(model, prompts, negatives, scale=[1.0, 1.0, 1.0, 2.0])
    finally:
        hook.remove()
    assert set(rows) == {5}


def test_a_prompt_may_have_no_negative_prompt(model: Any) -> None:
    prompts, negatives = some_prompts(4)
    mixed = decode(model, prompts, [None, *negatives[1:]], scale=2.0)
    assert mixed[:1] == decode(model, prompts[:1])
    assert mixed[1:] == decode(model, prompts[1:], negatives[1:], scale=2.0)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_banned_tokens_are_never_chosen(model: Any, space: Space, temperature: float) -> None:
    prompts, negatives = some_prompts(8)
    usual = decode(model, prompts, negatives, scale=3.0, space=space)
    banned = {token for ids in usual for token in ids[:3]}
    answers = decode(
        model, prompts, negatives, scale=3.0, space=space, banned_ids=banned, temperature=temperature, seed=1
    )
    assert all(len(ids) == NEW for ids in answers)
    assert not banned & {token for ids in answers for token in ids}


def test_implausible_tokens_are_dropped(model: Any) -> None:
    prompts, negatives = some_prompts(8)
    assert decode(model, prompts, negatives, scale=3.0, plausibility=1.0) == decode(model, prompts)
    assert decode(model, prompts, negatives, scale=3.0, plausibility=1e-9) == decode(
        model, prompts, negatives, scale=3.0
    )


# --- Llamas on a CPU -----------------------------------------------------------------------------------------------


def test_kept_prompts_are_not_read_again(sharp_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, negatives = some_prompts(6, seed=5)
    expected = [decode(sharp_model, prompts, negatives, scale=scale, batch_size=4) for scale in (1.0, 2.0, 3.0)]
    read: list[int] = []
    original = llama._Weights.logits

    def counted(weights: Any, ids: Any, positions: Any, attend: Any, ends: Any = None) -> Any:
        if ends is not None:
            read.append(len(ids))
        return original(weights, ids, positions, attend, ends)

    monkeypatch.setattr(llama._Weights, "logits", counted)
    kept: dict[Any, Any] = {}
    counts = []
    for scale, answers in zip((1.0, 2.0, 3.0), expected, strict=True):
        assert decode(sharp_model, prompts, negatives, scale=scale, batch_size=4, prompt_cache=kept) == answers
        counts.append(len(read))
    assert 0 < counts[0] < counts[1] == counts[2]
    assert sorted(kept) == sorted(map(tuple, prompts + negatives))


def test_prompts_that_begin_alike_are_read_together(sharp_model: Any) -> None:
    (first, second, *_), (other, *_) = some_prompts(3, seed=7)
    prompts = [first, first + second, [*first, 9, 8], other, [*other, 9]]
    expected = [decode(sharp_model, [prompt])[0] for prompt in prompts]
    kept: dict[Any, Any] = {}
    assert decode(sharp_model, prompts, prompt_cache=kept) == expected
    assert len(kept) == len(prompts)


def test_the_cache_grows_and_shrinks_with_its_rows(sharp_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, negatives = some_prompts(12, seed=6)
    expected = decode(sharp_model, prompts, negatives, scale=2.0, batch_size=3)
    monkeypatch.setattr(llama, "COLUMNS", 1)
    columns: list[int] = []
    original = llama.LlamaRows.step

    def noted(rows: Any, tokens: Any) -> Any:
        logits = original(rows, tokens)
        columns.append(rows.cache[0].shape[3])
        return logits

    monkeypatch.setattr(llama.LlamaRows, "step", noted)
    assert decode(sharp_model, prompts, negatives, scale=2.0, batch_size=3) == expected
    steps = list(itertools.pairwise(columns))
    assert any(a < b for a, b in steps)
    assert any(a > b for a, b in steps)


def test_changed_weights_are_noticed(sharp_model: Any) -> None:
    changing = copy.deepcopy(sharp_model)
    prompts, _ = some_prompts(4)
    before = decode(changing, prompts)
    with torch.no_grad():
        for layer in changing.model.layers:
            layer.mlp.up_proj.weight.neg_()
    after = decode(changing, prompts)
    assert after == [reference(changing, prompt, set()) for prompt in prompts] != before
    changing.load_state_dict(sharp_model.state_dict())
    assert decode(changing, prompts) == before


def test_what_is_no_plain_llama_runs_through_transformers(sharp_model: Any) -> None:
    assert llama.supports(sharp_model)
    prompts, _ = some_prompts(3)
    adapted = get_peft_model(copy.deepcopy(sharp_model), LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    assert not llama.supports(adapted)
    inside = adapted.get_base_model()
    assert not llama.supports(inside)
    assert decode(inside, prompts) == decode(adapted, prompts) != decode(sharp_model, prompts)
    merged = adapted.merge_and_unload()
    assert llama.supports(merged)
    assert decode(merged, prompts) == decode(adapted, prompts)
    biased = LlamaForCausalLM(LlamaConfig(**sharp_model.config.to_dict() | {"attention_bias": True}))
    assert not llama.supports(biased)
    with torch.inference_mode():
        untracked = copy.deepcopy(sharp_model)
    assert not llama.supports(untracked)  # its weights could change unnoticed
    assert decode(untracked, prompts) == decode(sharp_model, prompts)
    hooked = copy.deepcopy(sharp_model)
    hooked.model.layers[0].mlp.register_forward_hook(lambda _, __, out: out * 0)
    assert not llama.supports(hooked)
    assert decode(hooked, prompts) != decode(sharp_model, prompts)


@pytest.mark.parametrize("count", [1, 3, 12])
@torch.no_grad()
def test_a_written_out_step_in_bf16_is_that_of_the_model(sharp_model: Any, count: int) -> None:
    low = copy.deepcopy(sharp_model).to(torch.bfloat16)
    prompts, _ = some_prompts(count, seed=11)
    rows = llama.LlamaRows(low, {})
    found = [rows.add(prompts)]
    tokens = torch.arange(10, 10 + count)
    found.append(rows.step(tokens))
    rows.select([count - 1])
    found.append(rows.step(torch.tensor([7])))
    told = [[*prompt, token] for prompt, token in zip(prompts, tokens.tolist(), strict=True)]
    for logits, sequences in zip(found, (prompts, told, [[*told[-1], 7]]), strict=True):
        expected = torch.cat([low(torch.tensor([ids])).logits[:, -1] for ids in sequences]).float()
        exact = torch.cat([sharp_model(torch.tensor([ids])).logits[:, -1] for ids in sequences])
        # As near to float32 as the model itself in bf16 is, to a factor of 2.
        assert (logits.float() - exact).norm() <= 2 * (expected - exact).norm()


# --- With the arguments of transformers ----------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_guided_generate_returns_what_transformers_returns(model: Any, side: str, scale: float) -> None:
    prompts, negatives = some_prompts(100, seed=9)
    eos = sorted(ending(model, prompts))
    tensors = {}
    for name, rows in (("ids", prompts), ("negative", negatives)):
        ids, mask = left_pad(rows, PAD, "cpu")
        if side == "right":
            ids, mask = (
                torch.stack([row.roll(-int((m == 0).sum())) for row, m in zip(t, mask, strict=True)])
                for t in (ids, mask)
            )
        tensors[name], tensors[f"{name}_mask"] = ids, mask
    found = guided_generate(
        model, tensors["ids"], tensors["ids_mask"], negative_prompt_ids=tensors["negative"],
        negative_prompt_attention_mask=tensors["negative_mask"], guidance_scale=scale, max_new_tokens=NEW,
        eos_token_id=eos, pad_token_id=PAD,
    )  # fmt: skip
    longest = tensors["ids"].shape[1]
    assert torch.equal(found[:, :longest], tensors["ids"])
    for row, prompt, negative in zip(found[:, longest:].tolist(), prompts, negatives, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids), negative_prompt_ids=torch.tensor([negative]),
            guidance_scale=scale, max_new_tokens=NEW, do_sample=False, eos_token_id=eos, pad_token_id=PAD,
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert row == expected + [PAD] * (len(row) - len(expected))


def test_guided_generate_takes_its_defaults_from_the_model(model: Any) -> None:
    ids = torch.tensor([[5, 6, 7]])
    assert guided_generate(model, ids).shape == (1, 3 + 20)
    assert guided_generate(model, ids[:0]).shape == (0, 3)
