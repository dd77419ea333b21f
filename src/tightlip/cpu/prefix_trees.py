"""Prompts that begin alike, as trees: what they share is run once.

A conversation tested at several of its turns gives prompts of which each begins like the next. A tree holds every
token once per different past; a token sees its ancestors and itself, which is what it would see in its own prompt.

Shapes: B trees, L nodes of the longest tree.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Prompt = tuple[int, ...]

TOGETHER = 1024
"""Nodes, padding counted, that are run at a time: more no longer fit a CPU's caches."""


class Tree:
    """A tree of prompts; parents stand before their children.

    Attributes:
        tokens: token id of every node.
        parents: node before it; −1 at the root.
        paths: nodes of every prompt.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.paths: dict[Prompt, list[int]] = {}
        self._nodes: dict[tuple[int, int], int] = {}

    def add(self, prompt: Prompt) -> None:
        """Add a prompt's tokens, as far as they are new."""
        node, path = -1, []
        for token in prompt:
            parent, node = node, self._nodes.setdefault((node, token), len(self.tokens))
            if node == len(self.tokens):
                self.tokens.append(token)
                self.parents.append(parent)
            path.append(node)
        self.paths[prompt] = path


def build_prefix_trees(prompts: Sequence[Prompt]) -> Iterator[list[Tree]]:
    """Yield trees in groups that are run at a time, by length; the same ones whatever order the prompts have."""
    trees: list[Tree] = []
    before: Prompt = ()
    for prompt in sorted(set(prompts)):
        alike = 2 * _shared(before, prompt) >= min(len(before), len(prompt))
        if not trees or not alike or len(trees[-1].tokens) + len(prompt) > TOGETHER:
            trees.append(Tree())
        trees[-1].add(prompt)
        before = prompt
    group: list[Tree] = []
    for tree in sorted(trees, key=lambda tree: -len(tree.tokens)):
        if group and (len(group) + 1) * len(group[0].tokens) > TOGETHER:
            yield group
            group = []
        group.append(tree)
    if group:
        yield group


def _shared(left: Prompt, right: Prompt) -> int:
    """How many tokens two prompts begin with alike."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def as_tensors(trees: Sequence[Tree]) -> tuple[Tensor, Tensor, Tensor]:
    """Return token ids and positions, shape (B, L), and what each token sees, bool, shape (B, 1, L, L).

    Padding on the right sees itself alone.
    """
    longest = max(len(tree.tokens) for tree in trees)
    ids_BL, positions_BL = (torch.zeros(len(trees), longest, dtype=torch.long) for _ in range(2))
    seen_BLL = torch.eye(longest, dtype=torch.bool).repeat(len(trees), 1, 1)
    for row, tree in enumerate(trees):
        ids_BL[row, : len(tree.tokens)] = torch.tensor(tree.tokens)
        for node, parent in enumerate(tree.parents):
            if parent >= 0:
                seen_BLL[row, node] |= seen_BLL[row, parent]
        positions_BL[row] = seen_BLL[row].sum(-1) - 1
    return ids_BL, positions_BL, seen_BLL[:, None]
