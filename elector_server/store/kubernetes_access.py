"""Where the API server is and who we are to it: from the pod's service account, or from a kubeconfig.

    KUBECONFIG names a file        that file
    inside a pod                   the service account's folder
    else                           ~/.kube/config

The `kubernetes` package reads them, with all that a kubeconfig may contain; nothing else of it is used. What it takes
from the environment besides (proxies) is left aside.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from elector_server.store.kubernetes_http import Target

if TYPE_CHECKING:
    from kubernetes.client import Configuration

SERVICE_ACCOUNT_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMESPACE_DEFAULT: Final = "default"

_HTTPS_PORT: Final = 443


class NoAccess(Exception):
    """Nothing says, in a way that can be used, where the API server is or who we are."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is, and who we are to it.

    Attributes:
        target: its address, and how to be sure that it is the one.
        prefix: what its paths begin with, mostly nothing.
        authorization: the header of that name; empty if a client certificate says who we are.
        namespace: the one that is meant if none is given.
        rotates: whether files say it that somebody else keeps up to date.
    """

    target: Target
    prefix: str
    authorization: str
    namespace: str
    rotates: bool

    @property
    def server(self) -> str:
        """The address, for people."""
        return f"{'https' if self.target.tls else 'http'}://{self.target.host}:{self.target.port}{self.prefix}"


def load_access(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT_FOLDER) -> Access:
    """Read the access as it is now.

    Raises:
        NoAccess: there is none, or it can not be used.
    """
    # Imported here: it costs a quarter of a second, and only electors on this store need it.
    from kubernetes.client import Configuration  # noqa: PLC0415 - see above

    configuration = Configuration()
    try:
        namespace, rotates = _load(configuration, environ, folder)
        return _access(configuration, namespace, rotates=rotates)
    except NoAccess:
        raise
    except Exception as error:  # People write kubeconfigs, and the package fails on them in many ways.
        raise NoAccess(f"{_source(environ)} can not be used: {' '.join(str(error).split())}") from error


def _source(environ: Mapping[str, str]) -> str:
    if environ.get("KUBECONFIG"):
        return f"the kubeconfig {environ['KUBECONFIG']}"
    return "the service account" if environ.get("KUBERNETES_SERVICE_HOST") else f"the kubeconfig {_usual(environ)}"


def _usual(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME", "/nonexistent"), ".kube", "config")


def _load(configuration: Configuration, environ: Mapping[str, str], folder: Path) -> tuple[str, bool]:
    if environ.get("KUBECONFIG"):
        return _load_kubeconfig(configuration, environ["KUBECONFIG"]), False
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return _load_service_account(configuration, environ, folder), True
    usual = _usual(environ)
    if not usual.is_file():
        raise NoAccess(
            f"this is no pod, KUBECONFIG is not set, and there is no {usual}: name a kubeconfig with KUBECONFIG"
        )
    return _load_kubeconfig(configuration, str(usual)), False


def _load_service_account(configuration: Configuration, environ: Mapping[str, str], folder: Path) -> str:
    from kubernetes.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415 - see load_access

    token, authority, namespace = folder / "token", folder / "ca.crt", folder / "namespace"
    if not token.is_file():
        raise NoAccess(
            f"this pod has no {token}: give the elector's container a service account token (deploy/ shows how)"
        )
    loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]
        str(token), str(authority), try_refresh_token=False, environ=environ
    )
    loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    return namespace.read_text().strip() if namespace.is_file() else NAMESPACE_DEFAULT


def _load_kubeconfig(configuration: Configuration, paths: str) -> str:
    from kubernetes.config import list_kube_config_contexts, load_kube_config  # noqa: PLC0415 - see load_access

    load_kube_config(paths, client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]
    _, active = list_kube_config_contexts(paths)  # type: ignore[no-untyped-call]
    context: Mapping[str, Any] = active["context"]
    if not (_authorization(configuration) or configuration.cert_file):
        _refuse_to_be_nobody(paths, str(context.get("user")))
    return str(context.get("namespace") or NAMESPACE_DEFAULT)


def _refuse_to_be_nobody(paths: str, user: str) -> None:
    """Where credentials are named and there are none, the package would go on without, and never be told to look again.

    A token's file is empty for a moment while somebody writes it anew.

    Raises:
        NoAccess: the user of that name has a plugin that gave nothing, or a file with nothing in it.
    """
    from kubernetes.config.kube_config import KubeConfigMerger  # noqa: PLC0415 - see load_access

    users = KubeConfigMerger(paths).config["users"]  # type: ignore[no-untyped-call]
    named = next((one["user"] or {} for one in users.value if one["name"] == user), {})
    if "exec" in named:
        raise NoAccess("the plugin that the kubeconfig names for the user's credentials (exec) gave none")
    if "tokenFile" in named:
        raise NoAccess(f"the kubeconfig names {named['tokenFile']} for the user's token (tokenFile), and it is empty")


def _access(configuration: Configuration, namespace: str, *, rotates: bool) -> Access:
    url = urlsplit(configuration.host)
    if url.scheme not in {"https", "http"} or not url.hostname:
        raise NoAccess(f"the API server's address is {configuration.host!r}: it must be an https URL")
    tls = _tls(configuration) if url.scheme == "https" else None
    target = Target(
        host=url.hostname,
        port=url.port or (_HTTPS_PORT if tls else 80),
        tls=tls,
        server_name=configuration.tls_server_name or url.hostname,
    )
    return Access(
        target=target,
        prefix=url.path.rstrip("/"),
        authorization=_authorization(configuration),
        namespace=namespace,
        rotates=rotates,
    )


def _authorization(configuration: Configuration) -> str:
    for name in ("BearerToken", "authorization"):
        text = configuration.get_api_key_with_prefix(name)
        if text:
            scheme, _, token = text.strip().partition(" ")
            return f"Bearer {token.strip()}" if scheme.lower() == "bearer" else text.strip()
    return configuration.get_basic_auth_token() or "" if configuration.username else ""


def _tls(configuration: Configuration) -> ssl.SSLContext:
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    try:
        contents = tuple(Path(file).read_bytes() if file else b"" for file in files)
        return _context(files, contents, verifies=configuration.verify_ssl)
    except (OSError, ssl.SSLError) as error:
        raise NoAccess(f"a certificate of the access to the API server can not be used: {error}") from error


@functools.lru_cache(maxsize=1)
def _context(
    files: tuple[str | None, str | None, str | None], _contents: tuple[bytes, ...], *, verifies: bool
) -> ssl.SSLContext:
    """The same one as long as the files are the same: a connection is kept for one context only."""
    authority, certificate, key = files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority:
        context.load_verify_locations(authority)
    else:
        context.load_default_certs()
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
