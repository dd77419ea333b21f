"""What the Hugging Face hub reports about a model or data set, without a download."""

import os
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

TIMEOUT = 3.0


class HubRepo(NamedTuple):
    """State of a repository of the hub.

    Attributes:
        status: `open` or `granted` if it can be fetched, `gated` if its licence must be accepted first, `missing` if
            there is no such repository or revision (or no right to see it), `offline` if the hub did not answer.
        parameters: number of parameters of a model, if the hub knows it.
        revision: the commit that the requested revision means now.
        quantized: whether the model's config has a `quantization_config`.
    """

    status: Literal["open", "granted", "gated", "missing", "offline"]
    parameters: int | None = None
    revision: str | None = None
    quantized: bool = False


def look_up(name: str, revision: str | None, token: str | None, kind: Literal["model", "dataset"] = "model") -> HubRepo:
    """Look a repository up.

    Args:
        name: id of the repository.
        revision: branch or commit.
        token: access token; without one, none is sent.
        kind: of the repository.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE") == "1":
        return HubRepo("offline")
    api = HfApi(token=token or False)
    try:
        get_info: Callable[..., Any] = api.model_info if kind == "model" else api.dataset_info
        info = get_info(name, revision=revision, timeout=TIMEOUT)
    except GatedRepoError:
        return HubRepo("gated")
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return HubRepo("missing")
    except Exception:
        return HubRepo("offline")
    weights, config = getattr(info, "safetensors", None), getattr(info, "config", None) or {}
    repo = HubRepo("open", weights.total if weights else None, info.sha, bool(config.get("quantization_config")))
    if not info.gated:
        return repo
    try:
        api.auth_check(name, repo_type=kind)
    except HfHubHTTPError:
        return repo._replace(status="gated")
    except Exception:
        return repo._replace(status="offline")
    return repo._replace(status="granted")
