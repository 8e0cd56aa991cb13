#!/bin/sh
# Removes from the virtual environment $1 what the elector never imports, and compiles the rest.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)

# The package `kubernetes` is a client for every resource there is, twice; the elector only reads configurations with
# it. Its second half, for asyncio, is alone in needing aiohttp and what comes with it.
rm -rf "$packages/kubernetes/aio"
for name in aiohappyeyeballs aiohttp aiohttp_retry aiosignal attr attrs frozenlist multidict propcache yarl; do
    rm -rf "$packages/$name" "$packages/$name"-*.dist-info
done
# Sources of extension modules, and tests.
find "$packages" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -type f -delete
find "$packages" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +

# The root file system is read-only later: what is not compiled now would be compiled at every start. The classes of
# all resources are imported by nobody; compiled, they would be 28 MB more.
"$1/bin/python" -m compileall -q --invalidation-mode unchecked-hash -x '/kubernetes/client/(api|models)/[a-z]' "$packages"
