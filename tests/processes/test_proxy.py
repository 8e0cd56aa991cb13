"""A proxy between client and elector dies: that is a broken connection, and no proof of anybody's death."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from metaparticle_sync import wire
from tests.processes.electors import LONG, SHORT
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import wait_until


def test_the_end_of_a_proxy_is_not_the_end_of_its_client(machine: Machine):
    elector = machine.elector(LONG)
    url, proxy = machine.proxy(elector)
    holder, other = machine.worker(url, tells=True), machine.raw_client(elector)
    held = holder.acquire("x")
    wait_until(lambda: elector.connections() >= 2, "the holder's stream")

    proxy.end()
    wait_until(lambda: elector.connections() == 0, "the elector has seen the end of all connections")
    assert other.acquire("x").code == "lock_held"
    assert other.acquire("x", wait_seconds=1.0).status == 202

    machine.proxy(elector, urlsplit(url).port)
    wait_until(lambda: elector.connections() >= 2, "the holder is back")
    assert holder.wait_for_belief("x", now_ns()).token == held.token
    assert not holder.events("told")
    assert not holder.events("doubt")
    holder.release("x")
    wait_until(lambda: elector.is_free("x"), "x is free")


def test_a_client_that_no_longer_reaches_the_elector_loses_in_time(machine: Machine):
    elector = machine.elector(SHORT)
    url, proxy = machine.proxy(elector)
    holder, waiter = machine.worker(url, tells=True), machine.worker(elector)
    held = holder.acquire("x")
    waiter.do("acquire", name="x")
    elector.wait_for_waiters("x", 1)

    cut_at = now_ns()
    proxy.end()
    told = holder.wait_for("told")
    next_hold = waiter.wait_for("ok", what="acquire")
    assert told.at < next_hold.at
    assert next_hold.token > held.token
    took = seconds_between(cut_at, next_hold.at)
    machine.measure("client cut off, the next one holds (its time is 6 s)", took, SHORT.silence_seconds)


@pytest.mark.parametrize("way", ["direct", "proxy"])
def test_only_the_end_of_a_direct_connection_proves_a_death(machine: Machine, way: str):
    elector = machine.elector(LONG)
    url = elector.url if way == "direct" else machine.proxy(elector)[0]
    client, other = machine.raw_client(url), machine.raw_client(elector)
    stream = client.open_stream()
    stream.until("attached")
    assert client.heartbeat(stream.own_address).status == 200
    assert client.acquire("x").status == 200
    connections = elector.connections()

    stream.close()
    wait_until(lambda: elector.connections() < connections, "the elector has seen the end of the stream")
    answer = other.acquire("x", wire.new_id(), wait_seconds=1.0)
    assert answer.status == (200 if way == "direct" else 202)


def test_a_stream_that_was_not_named_proves_nothing(machine: Machine):
    elector = machine.elector(LONG)
    client, other = machine.raw_client(elector), machine.raw_client(elector)
    named, other_stream = client.open_stream(), client.open_stream()
    assert client.heartbeat(named.own_address).status == 200
    assert client.acquire("x").status == 200
    connections = elector.connections()

    other_stream.close()
    wait_until(lambda: elector.connections() < connections, "the elector has seen the end of that stream")
    assert other.acquire("x", wait_seconds=1.0).status == 202
