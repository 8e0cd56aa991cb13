#!/bin/sh
# Removes from the virtual environment $1 what the elector never imports, and compiles the rest.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)

# The package `kubernetes` is a client for every resource there is, twice; the elector only reads configurations with
# it. It imports the classes of resources when they are asked for. Its second half, for asyncio, is alone in needing
# aiohttp and what comes with it.
rm -rf "$packages/kubernetes/aio" "$packages"/kubernetes/client/api/[a-z]* "$packages"/kubernetes/client/models/[a-z]*
for name in aiohappyeyeballs aiohttp aiohttp_retry aiosignal attr attrs frozenlist multidict propcache yarl; do
    rm -rf "$packages/$name" "$packages/$name"-*.dist-info
done
# Sources of extension modules, and tests.
find "$packages" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -type f -delete
find "$packages" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +

# The root file system is read-only later: what is not compiled now would be compiled at every start.
"$1/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$packages"
