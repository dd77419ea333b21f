"""What the hub says about a model or data set, without downloading it and without waiting."""

import os
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

TIMEOUT = 3.0


class Said(NamedTuple):
    """The hub's word.

    Attributes:
        status: `open` or `granted` if it can be fetched, `gated` if its licence has to be accepted first, `missing` if
            there is no such repository or revision (or no right to see it), `offline` if the hub did not answer.
        parameters: of a model.
        revision: the commit that the revision means now.
    """

    status: Literal["open", "granted", "gated", "missing", "offline"]
    parameters: int | None = None
    revision: str | None = None


def ask(name: str, revision: str | None, token: str | None, kind: Literal["model", "dataset"] = "model") -> Said:
    """Ask the hub.

    Args:
        name: id of the repository.
        revision: branch or commit.
        token: if any; without one, none is sent.
        kind: of repository.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE") == "1":
        return Said("offline")
    api = HfApi(token=token or False)
    try:
        look: Callable[..., Any] = api.model_info if kind == "model" else api.dataset_info
        info = look(name, revision=revision, timeout=TIMEOUT)
    except GatedRepoError:
        return Said("gated")
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return Said("missing")
    except Exception:
        return Said("offline")
    weights = getattr(info, "safetensors", None)
    parameters = weights.total if weights else None
    if not info.gated:
        return Said("open", parameters, info.sha)
    try:
        api.auth_check(name, repo_type=kind)
    except HfHubHTTPError:
        return Said("gated", parameters, info.sha)
    except Exception:
        return Said("offline", parameters, info.sha)
    return Said("granted", parameters, info.sha)
