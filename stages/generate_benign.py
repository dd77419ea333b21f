from pathlib import Path

from tightlip.cache import MODEL_CODE, ResultCache
from tightlip.dialogues.training_split import training_dialogues
from tightlip.evaluation.over_refusal import benign_samples
from tightlip.evaluation.question_sets import load_questions
from tightlip.files import write_jsonl
from tightlip.generation.benign import generate_benign, select
from tightlip.models.loading import load_model
from tightlip.models.tokenizer import load_tokenizer
from tightlip.params import load_params
from tightlip.pii.detectors import entities, load_ner
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.patterns import structured
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Let the base model ask itself benign questions; blank what looks personal in its answers."""
    params = load_params()
    settings, questions = params.generation, params.eval.questions
    cache = ResultCache(
        "generate_benign", inputs=[Path("models/base")], code=["generation", *MODEL_CODE],
        params={
            "benign": settings.benign.model_dump(), "batch_size": settings.batch_size, "seed": params.seed,
            "max_prompt_tokens": params.pairs.max_prompt_tokens,
        },
    )  # fmt: skip
    answered = generate_benign(
        load_model("models/base"), load_tokenizer("models/base"), settings.benign, cache, seed=params.seed,
        max_prompt_tokens=params.pairs.max_prompt_tokens, batch_size=settings.batch_size,
    )  # fmt: skip
    texts = [text for _, text in answered]
    named, shaped = entities(load_ner(params.filter.spacy_model), texts, ()), structured(texts)
    private = ValueIndex(value for dialogue in training_dialogues() for value in dialogue.values)
    held_out = [row.question for split in (questions.dev, questions.test) for row in load_questions(questions, split)]
    held_out += [sample.messages[-1].content for split in ("dev", "test") for sample in benign_samples(split)]
    spans = [[*names, *shapes] for names, shapes in zip(named, shaped, strict=True)]
    benign = select(answered, spans, private, held_out, params.seed)
    write_jsonl("data/benign.jsonl", benign)
    return len(benign)


if __name__ == "__main__":
    main()
