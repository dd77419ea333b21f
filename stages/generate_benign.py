from pathlib import Path

from tightlip.evaluation.over_refusal import benign_samples
from tightlip.evaluation.question_sets import load_questions
from tightlip.files import digest, stream_jsonl, write_jsonl
from tightlip.generation.benign import ask_itself, select
from tightlip.models.chat import load_tokenizer
from tightlip.models.loading import load_model
from tightlip.params import load_params
from tightlip.pii.detectors import entities, load_ner
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.patterns import structured
from tightlip.records import Dialogue
from tightlip.stage import code, scratch, stage_command


@stage_command
def main() -> int:
    """Let the base model ask itself benign questions; blank what looks personal in its answers."""
    params = load_params()
    wanted, asked = params.generation.benign, params.eval.questions
    numbers = (params.pairs.max_prompt_tokens, params.generation.batch_size, params.seed)
    told = (wanted.model_dump_json(), *map(str, numbers), Path("models/base"))
    key = digest(*told, *code("generation", "guidance", "models", "prompts.py"))
    answered = ask_itself(
        load_model("models/base"), load_tokenizer("models/base"), per_opening=wanted.per_opening,
        temperature=wanted.temperature, max_tokens=wanted.max_tokens, max_prompt_tokens=numbers[0],
        batch_size=numbers[1], seed=numbers[2], scratch=scratch("generate_benign", key),
    )  # fmt: skip
    texts = [text for _, text in answered]
    named, shaped = entities(load_ner(params.filter.spacy_model), texts, ()), structured(texts)
    dialogues = stream_jsonl("data/dialogues.jsonl", Dialogue)
    private = ValueIndex(value for row in dialogues if row.split == "train" for value in row.values)
    splits = [load_questions(asked.source, asked.name, asked.revision, split) for split in (asked.dev, asked.test)]
    held_out = [row.question for split in splits for row in split]
    held_out += [sample.messages[-1].content for split in ("dev", "test") for sample in benign_samples(split)]
    spans = [[*names, *shapes] for names, shapes in zip(named, shaped, strict=True)]
    kept = select(answered, spans, private, held_out, params.seed)
    write_jsonl("data/benign.jsonl", kept)
    return len(kept)


if __name__ == "__main__":
    main()
