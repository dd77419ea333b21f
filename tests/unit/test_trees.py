"""Trees of prompts: every token once per different past."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightlip.cpu import prefix_trees
from tightlip.cpu.prefix_trees import Tree, as_tensors, build_prefix_trees

prompts = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=12).map(tuple), min_size=1, max_size=12)


def tree_of(*prompts: tuple[int, ...]) -> Tree:
    tree = Tree()
    for prompt in prompts:
        tree.add(prompt)
    return tree


def test_what_prompts_begin_with_alike_stands_once() -> None:
    tree = tree_of((5, 6, 7), (5, 6, 8, 9), (5, 6))
    assert tree.tokens == [5, 6, 7, 8, 9]
    assert tree.parents == [-1, 0, 1, 1, 3]
    assert tree.paths == {(5, 6, 7): [0, 1, 2], (5, 6, 8, 9): [0, 1, 3, 4], (5, 6): [0, 1]}


def test_the_same_token_after_another_past_is_another_node() -> None:
    assert tree_of((5, 6, 6), (6, 6)).tokens == [5, 6, 6, 6, 6]


def test_a_token_sees_its_past_and_padding_itself() -> None:
    ids, positions, seen = as_tensors([tree_of((5, 6, 7), (5, 8)), tree_of((9,))])
    assert ids.tolist() == [[5, 6, 7, 8], [9, 0, 0, 0]]
    assert positions.tolist() == [[0, 1, 2, 1], [0, 0, 0, 0]]
    assert seen[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert seen[1, 0].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@given(prompts)
def test_all_prompts_are_planted_alike_in_any_order(some: list[tuple[int, ...]]) -> None:
    groups = [[tree.paths for tree in group] for group in build_prefix_trees(some)]
    planted = [prompt for group in groups for paths in group for prompt in paths]
    assert sorted(planted) == sorted(set(some))
    assert groups == [[tree.paths for tree in group] for group in build_prefix_trees(some[::-1])]
    for group in build_prefix_trees(some):
        for tree in group:
            for prompt, path in tree.paths.items():
                assert tuple(tree.tokens[node] for node in path) == prompt


def test_prompts_that_share_little_stand_apart() -> None:
    ((first, second),) = build_prefix_trees([(1, 2, 3, 4), (1, 2, 3, 5), (1, 6, 7, 8)])
    assert set(first.paths) == {(1, 2, 3, 4), (1, 2, 3, 5)}
    assert set(second.paths) == {(1, 6, 7, 8)}


@given(prompts)
def test_groups_and_trees_are_limited(some: list[tuple[int, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_trees, "TOGETHER", 10)
        for group in build_prefix_trees(some):
            longest = max(len(tree.tokens) for tree in group)
            assert len(group) == 1 or len(group) * longest <= 10
            assert longest <= 10 or all(len(tree.paths) == 1 for tree in group if len(tree.tokens) > 10)
