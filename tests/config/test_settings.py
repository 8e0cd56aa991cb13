"""Flags and variables: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elector_server.config import ConfigurationError, Pod, Settings, parse_settings
from elector_server.durations import Durations
from metaparticle_sync import wire

A_HOST = "an address or a host name without scheme and port, such as 127.0.0.1"
HOME = {"HOME": "/home/me"}
DEFAULT = Settings(state_dir=Path("/home/me/.local/state/metaparticle-sync"))


def _changed(**changes: Any) -> Settings:
    values = {name: getattr(DEFAULT, name) for name in Settings.__dataclass_fields__}
    return Settings(**values | changes)


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        pytest.param([], {}, DEFAULT, id="nothing"),
        pytest.param(["--store", "memory"], {}, _changed(store="memory"), id="a flag"),
        pytest.param(["--store=memory"], {}, _changed(store="memory"), id="a flag with ="),
        pytest.param([], {"ELECTOR_STORE": "memory"}, _changed(store="memory"), id="a variable"),
        pytest.param([], {"ELECTOR_STORE": " memory\n"}, _changed(store="memory"), id="space around a value"),
        pytest.param([], {"ELECTOR_STORE": ""}, DEFAULT, id="an empty variable is none"),
        pytest.param(["--store", "memory"], {"ELECTOR_STORE": "sqlite"}, _changed(store="memory"), id="the flag wins"),
        pytest.param(
            ["--store", "memory"], {"ELECTOR_STORE": "wrong"}, _changed(store="memory"), id="over a wrong one too"
        ),
        pytest.param(["--port", "5000"], {}, _changed(port=5000, health_port=5001), id="health is port + 1"),
        pytest.param(["--port", "0"], {}, _changed(port=0, health_port=None), id="free ports"),
        pytest.param(["--port", "0", "--health-port", "0"], {}, _changed(port=0, health_port=0), id="no health"),
        pytest.param([], {"ELECTOR_HEALTH_PORT": "0"}, _changed(health_port=0), id="no health by variable"),
        pytest.param(
            ["--allowed-host", "a.example", "--allowed-host", "B"],
            {},
            _changed(allowed_hosts=("a.example", "b")),
            id="allowed hosts by flags",
        ),
        pytest.param(
            [], {"ELECTOR_ALLOWED_HOST": "a, b,"}, _changed(allowed_hosts=("a", "b")), id="allowed hosts by variable"
        ),
        pytest.param(["--host", "::1"], {}, _changed(host="::1", health_host="::1"), id="IPv6"),
        pytest.param(["--host", "[::1]"], {}, _changed(host="::1", health_host="::1"), id="IPv6 in brackets"),
        pytest.param(["--health-host", "0.0.0.0"], {}, _changed(health_host="0.0.0.0"), id="health for the kubelet"),
        pytest.param(
            ["--lease-seconds", "4", "--client-ttl-seconds", "2.5"],
            {},
            _changed(durations=Durations(4.0, 2.5)),
            id="durations",
        ),
        pytest.param(["--log-format", "json"], {}, _changed(log_format="json"), id="log format"),
        pytest.param(
            ["--state-dir", "/x"], {}, _changed(state_dir=Path("/x"), state_dir_is_default=False), id="state folder"
        ),
        pytest.param(
            [],
            {"XDG_STATE_HOME": "/xdg"},
            _changed(state_dir=Path("/xdg/metaparticle-sync")),
            id="state folder by XDG",
        ),
        pytest.param([], {"XDG_STATE_HOME": "relative"}, DEFAULT, id="a relative XDG folder is none"),
        pytest.param(["--port", "7", "--port", "8"], {}, _changed(port=8, health_port=9), id="the last one counts"),
    ],
)
def test_what_settings_mean(argv: list[str], environ: dict[str, str], expected: Settings) -> None:
    assert parse_settings(argv, HOME | environ) == expected


def test_a_state_folder_is_absolute_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_settings(["--state-dir", "here"], HOME).state_dir == tmp_path / "here"


def test_a_home_folder_is_needed_for_a_file_only() -> None:
    assert parse_settings(["--store", "memory"], {}).store == "memory"
    assert parse_settings(["--state-dir", "/x"], {}).state_dir == Path("/x")
    assert _mistakes([], {}) == [
        "--state-dir is not given, and HOME names no folder to put it in: give --state-dir",
    ]


@pytest.mark.parametrize(
    "injected",
    [
        {"ELECTOR_PORT": "tcp://10.0.0.1:13131"},
        {"ELECTOR_PORT_13131_TCP": "tcp://10.0.0.1:13131"},
        {"ELECTOR_PORT_13131_TCP_PROTO": "tcp", "ELECTOR_PORT_13131_TCP_PORT": "13131"},
        {"ELECTOR_PORT_13131_TCP_ADDR": "10.0.0.1"},
        {"ELECTOR_PORT_53_UDP": "udp://10.0.0.1:53"},
        {"ELECTOR_SERVICE_HOST": "10.0.0.1", "ELECTOR_SERVICE_PORT": "13131"},
        {"ELECTOR_SERVICE_PORT_LOCKS": "13131"},
        {"ELECTOR_HEALTH_PORT": "tcp://10.0.0.1:80", "ELECTOR_HEALTH_SERVICE_HOST": "10.0.0.1"},
        {"ELECTOR_METRICS_PORT": "tcp://10.0.0.1:80", "ELECTOR_METRICS_PORT_80_TCP_PROTO": "tcp"},
    ],
    ids=lambda injected: next(iter(injected)),
)
def test_what_kubernetes_injects_is_no_setting(injected: dict[str, str]) -> None:
    assert parse_settings([], HOME | injected) == DEFAULT


def _mistakes(argv: list[str], environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(argv, environ)
    return list(caught.value.messages)


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        (["--store", "redis"], {}, "--store is 'redis': it must be memory, sqlite or kubernetes"),
        ([], {"ELECTOR_STORE": "redis"}, "ELECTOR_STORE is 'redis': it must be memory, sqlite or kubernetes"),
        (["--store", "SQLITE"], {}, "--store is 'SQLITE': it must be memory, sqlite or kubernetes"),
        (["--store", ""], {}, "--store is '': it must be memory, sqlite or kubernetes"),
        (["--log-format", "xml"], {}, "--log-format is 'xml': it must be text or json"),
        (["--port", "x"], {}, "--port is 'x': it must be a port number from 0 to 65535"),
        (["--port", "-1"], {}, "--port is '-1': it must be a port number from 0 to 65535"),
        (["--port", "65536"], {}, "--port is '65536': it must be a port number from 0 to 65535"),
        (["--port", "٣"], {}, "--port is '٣': it must be a port number from 0 to 65535"),
        ([], {"ELECTOR_PORT": "http"}, "ELECTOR_PORT is 'http': it must be a port number from 0 to 65535"),
        (["--port", "80", "--health-port", "80"], {}, "--health-port is 80: it must differ from --port"),
        (
            ["--port", "65535"],
            {},
            "--port is 65535: there is no port + 1 for health; choose one with --health-port, or 0",
        ),
        (
            ["--host", "http://x"],
            {},
            f"--host is 'http://x': it must be {A_HOST}",
        ),
        (
            [],
            {"ELECTOR_ALLOWED_HOST": "a,b:80"},
            f"ELECTOR_ALLOWED_HOST is 'a,b:80': it must be {A_HOST}",
        ),
        (["--lease-seconds", "soon"], {}, "--lease-seconds is 'soon': it must be a number of seconds, such as 20"),
        (["--lease-seconds", "3.9"], {}, "--lease-seconds is 3.9: it must be at least 4 seconds"),
        (["--lease-seconds", "3601"], {}, "--lease-seconds is 3601: it must be at most 3600 seconds"),
        (["--lease-seconds", "nan"], {}, "--lease-seconds is nan: it must be a finite number of seconds"),
        (["--lease-seconds", "inf"], {}, "--lease-seconds is inf: it must be a finite number of seconds"),
        (["--lease-seconds", "-20"], {}, "--lease-seconds is -20: it must be at least 4 seconds"),
        (
            [],
            {"ELECTOR_CLIENT_TTL_SECONDS": "1"},
            "ELECTOR_CLIENT_TTL_SECONDS is 1: it must be at least 2 seconds",
        ),
        (
            ["--leas-seconds", "9"],
            {},
            "--leas-seconds: the elector knows no such argument; did you mean --lease-seconds?",
        ),
        (["--lease", "9"], {}, "--lease: the elector knows no such argument; elector --help lists them"),
        (["serve"], {}, "serve: the elector knows no such argument; elector --help lists them"),
        (["--port"], {}, "argument --port: expected one argument (see elector --help)"),
        (
            [],
            {"ELECTOR_LEASE_SECOND": "9"},
            "ELECTOR_LEASE_SECOND: the elector knows no such variable; did you mean ELECTOR_LEASE_SECONDS?",
        ),
        ([], {"ELECTOR_X": "9"}, "ELECTOR_X: the elector knows no such variable; elector --help lists them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_names_setting_value_and_what_is_right(
    argv: list[str], environ: dict[str, str], message: str
) -> None:
    assert _mistakes(argv, HOME | environ) == [message]


def test_all_mistakes_are_told_at_once() -> None:
    argv = ["--port", "x", "--lease-seconds", "1", "--nonsense", "5"]
    environ = {"ELECTOR_STORE": "redis", "ELECTOR_CLIENT_TTL_SECONDS": "nan", "ELECTOR_TYPO": "1"}
    said = "\n".join(_mistakes(argv, HOME | environ))
    for what in (
        "--port",
        "--lease-seconds",
        "--nonsense",
        "ELECTOR_STORE",
        "ELECTOR_CLIENT_TTL_SECONDS",
        "ELECTOR_TYPO",
    ):
        assert what in said
    assert said.count("\n") == 5


def test_help_shows_every_setting_with_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_settings(["--help"], {})
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for setting in (
        "store",
        "state-dir",
        "namespace",
        "host",
        "port",
        "health-host",
        "health-port",
        "lease-seconds",
        "client-ttl-seconds",
        "log-format",
    ):
        assert f"--{setting} " in text
        assert f"[ELECTOR_{setting.upper().replace('-', '_')}]" in text
    assert text.count("(default: ") == 10
    assert "--allowed-host NAME" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_settings(["--version"], {})
    assert left.value.code == 0
    assert capsys.readouterr().out == f"elector {wire.VERSION}\n"


def test_the_pod_comes_from_the_downward_api() -> None:
    environ = {"HOME": "/h", "POD_NAME": "web-0", "POD_UID": "1-2", "POD_NAMESPACE": "shop"}
    settings = parse_settings(["--store", "kubernetes"], environ)
    assert settings.pod == Pod("web-0", "1-2")
    assert settings.namespace == "shop"
    assert parse_settings(["--store", "kubernetes", "--namespace", "other"], environ).namespace == "other"
    assert parse_settings(["--store", "kubernetes"], {"POD_NAME": "web-0"}).pod is None


def test_a_namespace_has_a_legal_name() -> None:
    with pytest.raises(ConfigurationError, match="the name of a namespace"):
        parse_settings(["--namespace", "No Such"], {"HOME": "/h"})


@pytest.mark.parametrize("store", [[], ["--store", "sqlite"], ["--store", "memory"]])
def test_a_namespace_without_kubernetes_is_a_mistake(store: list[str]) -> None:
    """Forgetting --store kubernetes would give locks that exclude nobody else in the cluster."""
    with pytest.raises(ConfigurationError, match=r"--namespace is 'shop'.*give --store kubernetes"):
        parse_settings([*store, "--namespace", "shop"], {"HOME": "/h"})
    with pytest.raises(ConfigurationError, match=r"ELECTOR_NAMESPACE is 'shop'.*give --store kubernetes"):
        parse_settings(store, {"HOME": "/h", "ELECTOR_NAMESPACE": "shop"})
    assert parse_settings(store, {"HOME": "/h", "POD_NAMESPACE": "shop"}).store != "kubernetes"
