"""Leaders as a type checker sees them: mypy --strict reads this, and nobody runs it. Each `ignore` must be needed."""

from __future__ import annotations

from typing import assert_type

from metaparticle_sync import Election, Leader, Leadership, current_leadership, leader_of, leader_only


@leader_only("x")
def waits(number: int, *, text: str = "") -> bytes:
    return bytes(number) + text.encode()


@leader_only("x", mode="skip")
def skips(number: int) -> bytes:
    return bytes(number)


@leader_only("x", mode="skip", otherwise="elsewhere")
def skips_otherwise(number: int) -> bytes:
    return bytes(number)


@leader_only("x", timeout=1.0)
async def waits_in_a_task(number: int) -> bytes:
    return bytes(number)


@leader_only("x", mode="skip", otherwise="elsewhere")
async def skips_in_a_task(number: int) -> bytes:
    return bytes(number)


class Scheduler:
    @leader_only("x")
    def run(self, number: int) -> bytes:
        return bytes(number)

    @leader_only("x")
    async def run_in_a_task(self, number: int) -> bytes:
        return bytes(number)


def functions() -> None:
    assert_type(waits(1, text=""), bytes)
    assert_type(skips(1), bytes | None)
    assert_type(skips_otherwise(1), bytes | str)
    assert_type(Scheduler().run(1), bytes)
    waits("one")  # type: ignore[arg-type]  # the signature is kept
    waits(1, "")  # type: ignore[call-arg]  # so are keyword-only parameters
    Scheduler().run("one")  # type: ignore[arg-type]  # a method's signature, too


async def coroutine_functions() -> None:
    assert_type(await waits_in_a_task(1), bytes)
    assert_type(await skips_in_a_task(1), bytes | str)
    assert_type(await Scheduler().run_in_a_task(1), bytes)
    async with leader_only("x") as leadership:
        assert_type(leadership, Leadership)
    async with leader_only("x", mode="skip") as perhaps:
        assert_type(perhaps, Leadership | None)
    await waits_in_a_task("one")  # type: ignore[arg-type]  # the signature is kept


def contexts() -> None:
    with leader_only("x") as leadership:
        assert_type(leadership, Leadership)
        assert_type(current_leadership().token, int)
    with leader_only("x", mode="skip") as perhaps:
        assert_type(perhaps, Leadership | None)


def settings() -> None:
    leader_only("x", mode="later")  # type: ignore[call-overload]  # there is no such mode
    leader_only("x", otherwise=1)  # type: ignore[call-overload]  # nothing is skipped
    leader_only("x", mode="skip", timeout=1.0)  # type: ignore[call-overload]  # nothing is waited for
    leader_only("x", metadata=[1])  # type: ignore[call-overload]  # a JSON object is a mapping


def leaders() -> None:
    election = Election("x", metadata={"url": "http://x/"})
    assert_type(election.leader(), Leader | None)
    assert_type(leader_of("x"), Leader | None)
    for leader in election.changes():
        assert_type(leader, Leader | None)
