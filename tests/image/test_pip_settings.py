"""What of pip's settings on this machine goes into a build."""

from __future__ import annotations

import configparser
import stat
from pathlib import Path

import pytest

from tests.image import pip_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> configparser.RawConfigParser:
    certificates = tmp_path / "certificates.pem"
    certificates.touch()
    configured = tmp_path / "configured"
    configured.write_text("[global]\ntimeout = 7\nretries = 3\n[install]\nretries = 4\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configured))
    monkeypatch.setenv("PIP_CERT", str(certificates))
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:100%@index.invalid/simple")
    monkeypatch.setenv("PIP_TIMEOUT", "8")
    monkeypatch.setenv("PIP_FIND_LINKS", "/only/here")
    secrets = pip_settings.write(tmp_path)
    assert secrets == {"pip": tmp_path / "pip.conf", "certificates": certificates}
    assert stat.S_IMODE(secrets["pip"].stat().st_mode) == 0o600
    parser = configparser.RawConfigParser()
    parser.read(secrets["pip"])
    return parser


def test_of_two_values_the_one_that_counts_is_taken(settings: configparser.RawConfigParser) -> None:
    assert settings["global"]["timeout"] == "8"
    assert settings["global"]["retries"] == "4"


def test_the_index_is_passed_on_as_it_is(settings: configparser.RawConfigParser) -> None:
    assert settings["global"]["index-url"] == "https://user:100%@index.invalid/simple"


def test_paths_of_this_machine_are_not_passed_on(settings: configparser.RawConfigParser) -> None:
    assert settings["global"]["cert"] == "/run/secrets/certificates"
    assert "find-links" not in settings["global"]
