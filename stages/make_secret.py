import random
import secrets

from tightlip.files import write_text
from tightlip.params import load_params
from tightlip.secret import SECRET_FILE
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Make the sentence that stands for the negative condition in datasets with `negative: secret`.

    For invented dialogues it is drawn from the seed, so that a run can be repeated to the byte: they hold nothing to
    protect. For imported dialogues the operating system draws it, and a sentence that is there stays.
    """
    params = load_params()
    if params.dialogues.format == "synthetic":
        digits = f"{random.Random(f'{params.seed}:secret').getrandbits(64):016x}"  # noqa: S311  (nothing to protect)
    elif SECRET_FILE.is_file():
        return 1
    else:
        digits = secrets.token_hex(8)
    write_text(SECRET_FILE, "Access word: " + "-".join(digits[i : i + 4] for i in range(0, 16, 4)) + ".\n")
    return 1


if __name__ == "__main__":
    main()
