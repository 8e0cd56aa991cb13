"""The packages pinned for the image agree with the bounds of pyproject.toml."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metaparticle_sync import wire
from tests.processes.running import ROOT

IMAGE = ROOT / "deploy" / "image"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\$", re.MULTILINE)


def pinned(file: str = "requirements.txt") -> dict[str, str]:
    """The version of each package, by its canonical name."""
    return {canonicalize_name(name): version for name, version in _PIN.findall((IMAGE / file).read_text())}


def _bounds() -> list[Requirement]:
    project = PROJECT["project"]
    return [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["elector"]]


@pytest.mark.parametrize("bound", _bounds(), ids=lambda bound: bound.name)
def test_what_the_elector_needs_is_pinned_within_its_bounds(bound: Requirement) -> None:
    assert bound.specifier.contains(pinned()[canonicalize_name(bound.name)])


def test_what_builds_it_is_pinned_within_its_bounds() -> None:
    for text in PROJECT["build-system"]["requires"]:
        bound = Requirement(text)
        assert bound.specifier.contains(pinned("build-requirements.txt")[canonicalize_name(bound.name)])


@pytest.mark.parametrize("file", ["requirements.txt", "build-requirements.txt"])
def test_every_package_is_pinned_with_its_hashes(file: str) -> None:
    lines = (IMAGE / file).read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith(("#", " "))]
    assert len(requirements) == len(pinned(file)) > 0
    for number, line in enumerate(lines):
        if line in requirements:
            assert re.match(r"    --hash=sha256:[0-9a-f]{64}", lines[number + 1]), line


def test_nothing_is_pinned_that_none_of_our_packages_needs() -> None:
    """Each says for whom it is there, and the direct ones are ours."""
    text = (IMAGE / "requirements.txt").read_text()
    direct = re.findall(r"^([\w.-]+)==(?:(?!^[\w]).)*?metaparticle_sync \(pyproject", text, re.MULTILINE | re.DOTALL)
    assert {canonicalize_name(name) for name in direct} == {canonicalize_name(bound.name) for bound in _bounds()}


def test_the_dockerfile_has_this_version() -> None:
    versions = re.findall(r"^ARG VERSION=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert versions == [wire.VERSION] * 2
