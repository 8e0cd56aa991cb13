"""What is in the image, and what is not."""

from __future__ import annotations

import re
import stat

import pytest

from metaparticle_sync import wire
from tests.config.test_image_requirements import pinned
from tests.image import build
from tests.image.unpacked import Unpacked
from tests.processes.running import ROOT

SITE_PACKAGES = re.compile(r"/(site|dist)-packages/")
LABEL = "org.opencontainers.image."
# Packages that trim-packages.sh removes again.
LEFT_OUT = {
    *("aiohappyeyeballs", "aiohttp", "aiohttp-retry", "aiosignal", "attrs", "frozenlist"),
    *("multidict", "propcache", "yarl"),
}


def test_it_says_what_it_is(image: Unpacked) -> None:
    labels = {name: value for name, value in image.run_config["Labels"].items() if name.startswith(LABEL)}
    assert labels == {
        LABEL + "title": "elector",
        LABEL + "description": "Distributed locks for the applications of one pod",
        LABEL + "version": wire.VERSION,
        LABEL + "revision": build.REVISION,
        LABEL + "source": "unknown",
        LABEL + "licenses": "MIT",
    }


def test_how_it_is_run(image: Unpacked) -> None:
    config = image.run_config
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["elector"]
    assert not config.get("Cmd")
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {f"{wire.DEFAULT_PORT}/tcp", f"{wire.DEFAULT_PORT + 1}/tcp"}
    assert not config.get("Volumes")
    assert "Healthcheck" not in config
    assert "HEALTHCHECK" not in str(image.config["history"])


def test_only_what_it_needs_is_in_its_environment(image: Unpacked) -> None:
    assert set(image.environment) == {"PATH", "LANG", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


def test_nothing_that_was_removed_is_in_a_layer_below(image: Unpacked) -> None:
    assert image.layers <= 2


SITE = "/opt/elector/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        pytest.param(r"/(pip|ensurepip|setuptools|wheel)$", "/usr/lib/python3.11/ensurepip", id="pip"),
        pytest.param(r"/(pip|setuptools|wheel)-.*\.(dist-info|whl)$", "/usr/share/x/pip-23.whl", id="wheels of pip"),
        pytest.param(r"/bin/pip[0-9.]*$", "/usr/local/bin/pip3.11", id="the command pip"),
        pytest.param(r"/pip\.conf$", "/etc/pip.conf", id="settings of pip"),
        pytest.param(r"^/run/secrets/.", "/run/secrets/certificates", id="secrets of the build"),
        pytest.param(r"-packages/(.*/)?(tests?|compat_tests|benchmarks|examples)$", f"{SITE}/x/tests", id="tests"),
        pytest.param(r"/bin/(.*-)?(gcc|cc|g\+\+|c\+\+|clang|ld|as|make)(-\d+)?$", "/usr/bin/gcc-12", id="compilers"),
        pytest.param(r"/bin/(apt|apt-get|perl|curl|wget|su|passwd|mount)$", "/usr/bin/su", id="tools of an intruder"),
        pytest.param(r"^/(source|build|root/\.cache)(/|$)", "/root/.cache", id="leftovers of the build"),
        pytest.param(r"^/(tmp|var/tmp|var/cache|var/lib/apt)/.", "/var/lib/apt/lists", id="leftovers of the base"),
        pytest.param(r"/\.wh\.", "/etc/.wh.passwd", id="marks of files that are hidden"),
    ],
)
def test_what_must_not_be_in_it(image: Unpacked, pattern: str, example: str) -> None:
    unwanted = re.compile(pattern)
    assert unwanted.search(example)
    inside = [f"/{path.relative_to(image.root)}" for path in image.paths()]
    assert [path for path in inside if unwanted.search(path)] == []


def test_its_python_packages_are_those_pinned_and_our_own(image: Unpacked) -> None:
    found = {}
    for folder in image.paths():
        if folder.suffix == ".dist-info" and SITE_PACKAGES.search(str(folder)):
            name, version = folder.stem.rsplit("-", 1)
            found[re.sub(r"[-_.]+", "-", name).lower()] = version
    expected = {name: version for name, version in pinned().items() if name not in LEFT_OUT}
    assert found == expected | {"metaparticle-sync": wire.VERSION}
    assert set(pinned()) >= LEFT_OUT


def test_everything_of_the_two_packages_is_in_it(image: Unpacked) -> None:
    (site,) = (image.root / "opt" / "elector" / "lib").glob("python3*/site-packages")
    for package in ("elector_server", "metaparticle_sync"):
        for file in (ROOT / package).rglob("*"):
            if file.suffix in {".py", ".json", ".typed"}:
                assert (site / file.relative_to(ROOT)).read_bytes() == file.read_bytes()


def test_all_its_packages_are_compiled(image: Unpacked) -> None:
    (site,) = (image.root / "opt" / "elector" / "lib").glob("python3*/site-packages")
    sources = list(site.rglob("*.py"))
    compiled = {path.name.split(".")[0] + str(path.parent.parent) for path in site.rglob("*.pyc")}
    assert len(sources) > 500
    assert [path for path in sources if path.stem + str(path.parent) not in compiled] == []


def test_its_user_owns_nothing_and_nobody_becomes_another(image: Unpacked) -> None:
    for path in image.paths():
        status = path.lstat()
        assert status.st_uid != 65532, path
        assert not (stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID)), path
        assert not (stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH), path
