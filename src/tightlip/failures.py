"""Errors of the machine, not of our code, in one line: full disks, missing rights, too little memory."""

import errno
import shutil

FULL = "no space left on device", "disk quota exceeded", "disk is full", "file write failed", "unexpected pos"
MEMORY = "not enough memory", "out of memory", "cannot allocate memory", "can't allocate memory", "bad_alloc"
RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def remedy(error: BaseException) -> str | None:
    """Say in one line what is wrong with the machine and what to do; None for other errors.

    Libraries wrap such errors in types of their own, so words decide where there is no number.
    """
    number = error.errno if isinstance(error, OSError) else None
    path = (error.filename if isinstance(error, OSError) else None) or "."
    text = str(error).casefold()
    if number in NO_ROOM or any(words in text for words in FULL):
        return (
            f"{path}: the disk is full ({_free()}); make room, for instance with `dvc gc --workspace`, and run it again"
        )
    if number == errno.EFBIG:
        return f"{path}: the file is larger than the system allows; raise `ulimit -f` and run it again"
    if number in RIGHTS:
        return f"{path}: no permission to read or write it; correct its owner or mode and run it again"
    if number in (errno.EMFILE, errno.ENFILE):
        return f"{path}: too many open files; raise the limit, for instance with `ulimit -n 4096`, and run it again"
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in MEMORY):
        return (
            "out of memory; lower the batch_size of this stage (tune, train, generation or eval) or the lengths in "
            "params.yaml, or close other programs, and run it again"
        )
    return None


def _free() -> str:
    """Free space here, where all outputs lie."""
    return f"{shutil.disk_usage('.').free // 2**20} MB free here"
