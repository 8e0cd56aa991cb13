"""The cluster's own certificate authority, and what it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_authority(folder: Path) -> Path:
    """Make ca.crt and ca.key."""
    made = ("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"))
    _openssl("req", "-x509", *_NEW_KEY, "-days", "7", *made, "-subj", "/CN=authority-of-the-tests")
    return folder / "ca.crt"


def make_certificate(folder: Path, name: str, subject: str, extension: str) -> tuple[Path, Path]:
    """Make NAME.crt and NAME.key, signed by the folder's authority."""
    certificate, key, request = (folder / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
    extensions = folder / f"{name}.extensions"
    extensions.write_text(extension + "\n")
    _openssl("req", *_NEW_KEY, "-keyout", str(key), "-out", str(request), "-subj", subject)
    authority = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial", "-days", "7")
    _openssl("x509", "-req", "-in", str(request), *authority, "-out", str(certificate), "-extfile", str(extensions))
    return certificate, key


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
