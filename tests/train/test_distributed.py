"""Work on rank 0 while others wait."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from zj.train import World, distributed


@pytest.fixture
def sent(monkeypatch) -> list[list[Any]]:
    """The messages that rank 0 broadcasts."""
    messages: list[list[Any]] = []
    monkeypatch.setattr(distributed, "HEARTBEAT", 0.01)
    monkeypatch.setattr(distributed.dist, "broadcast_object_list", lambda m, src: messages.append(list(m)))
    return messages


FIRST, SECOND = (World(rank, 2, torch.device("cpu")) for rank in range(2))


def test_long_work_says_that_it_goes_on_so_that_no_wait_is_longer_than_the_limit_of_collectives(sent):
    assert FIRST.on_rank_zero(lambda: time.sleep(0.1) or "done") == "done"
    assert len(sent) > 3 and sent[:-1] == [[True, None, None]] * (len(sent) - 1) and sent[-1] == [False, "done", None]
    del sent[:]
    assert FIRST.on_rank_zero(lambda: 3) == 3 and sent == [[False, 3, None]]  # control: short work is one message


def test_a_users_mistake_reaches_all_and_another_error_only_rank_0(sent):
    def fail(error):
        raise error

    with pytest.raises(ValueError, match="bad row"):
        FIRST.on_rank_zero(lambda: fail(ValueError("bad row")))
    assert isinstance(sent[-1][2], ValueError)
    del sent[:]
    with pytest.raises(AssertionError):
        FIRST.on_rank_zero(lambda: fail(AssertionError()))
    assert not sent  # the other ranks end with this one


def test_others_wait_until_the_work_is_done(monkeypatch):
    news = iter([[True, None, None], [True, None, None], [False, 7, None]])

    def receive(message, src):
        message[:] = next(news)

    monkeypatch.setattr(distributed.dist, "broadcast_object_list", receive)
    assert SECOND.on_rank_zero(lambda: pytest.fail("work of rank 0")) == 7 and not list(news)
