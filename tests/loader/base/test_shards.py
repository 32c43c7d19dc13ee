"""A laundromat is in exactly one shard, the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.base.errors import ConfigurationError
from loader.base.shards import Shard, stable_hash


@given(cnpj=st.text(alphabet="0123456789ABCDEF", min_size=14, max_size=14), count=st.integers(1, 9))
def test_a_laundromat_is_in_exactly_one_shard(cnpj: str, count: int) -> None:
    assert [Shard(index, count).has(cnpj) for index in range(count)].count(True) == 1


def test_the_hash_is_the_same_everywhere() -> None:
    assert stable_hash("11222333000181") == 12586985280699468493


def test_shards_are_of_about_the_same_size() -> None:
    cnpjs = [f"{number:014d}" for number in range(3000)]
    sizes = [sum(Shard(index, 3).has(cnpj) for cnpj in cnpjs) for index in range(3)]
    assert all(900 < size < 1100 for size in sizes)


@pytest.mark.parametrize("text", ["3/3", "1", "-1/3", "a/b", "0/0", "1/2/3", "", "\u0660/\u0663"])
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the first of three is 0/3"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        ({}, "0/1"),
        ({"CLOUD_RUN_TASK_INDEX": "2", "CLOUD_RUN_TASK_COUNT": "4"}, "2/4"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "3"}, "0/3"),
    ],
)
def test_the_engine_says_which_shard_a_task_is(variables: dict[str, str], shard: str) -> None:
    assert str(Shard.from_variables(variables)) == shard


def test_a_task_that_does_not_know_how_many_there_are_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="JOB_COMPLETIONS is not"):
        Shard.from_variables({"JOB_COMPLETION_INDEX": "1"})
