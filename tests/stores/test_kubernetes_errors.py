"""What is said of a missing right: the commands that give it fit whom it is missing to."""

from __future__ import annotations

import pytest

from elector_server.store.kubernetes_errors import Operation, Status, refusal


def said_to(user: str) -> str:
    message = f'locks.metaparticle.io is forbidden: User "{user}" cannot create resource "locks"'
    error = refusal(Operation("create", "locks", "shop"), Status(403, "Forbidden", message, "", "", is_status=True))
    assert error.code == "store_forbidden"
    return str(error)


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("system:serviceaccount:shop:elector", "(kubectl apply -k deploy/ -n shop)"),
        (
            "system:serviceaccount:test:elector",
            "kubectl create rolebinding elector-of-test-elector --role=elector --serviceaccount=test:elector -n shop)",
        ),
        (
            "jane@example.com",
            "kubectl create rolebinding elector-of-jane-example-com --role=elector --user=jane@example.com -n shop)",
        ),
        ("it's; rm", "--role=elector --user='it'\"'\"'s; rm' -n shop)"),
    ],
)
def test_the_commands_bind_the_role_to_whom_it_is_missing(user: str, command: str) -> None:
    assert f"{user} may not create locks in namespace shop: bind the Role elector" in said_to(user)
    assert command in said_to(user)


def test_nobody_is_given_a_role() -> None:
    assert "gives no credentials" in said_to("system:anonymous")
    assert "bind" not in said_to("system:anonymous")
