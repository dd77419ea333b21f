import secrets

from tightlip.files import write_text
from tightlip.prompts import SECRET_FILE
from tightlip.stage import stage_command


@stage_command
def main() -> int:
    """Make the random sentence that stands for the negative condition; what is there stays."""
    if not SECRET_FILE.is_file():
        digits = secrets.token_hex(8)
        write_text(SECRET_FILE, "Access word: " + "-".join(digits[i : i + 4] for i in range(0, 16, 4)) + ".\n")
    return 1


if __name__ == "__main__":
    main()
