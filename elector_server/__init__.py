"""The elector: the sidecar that keeps the locks of one pod, or of one machine.

`__main__ -> gunicorn_conf -> app -> resources, health -> elector -> store protocol, rules`; imports go down only.
"""

from __future__ import annotations

from metaparticle_sync import wire

__version__ = wire.VERSION
