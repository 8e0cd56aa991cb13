#!/bin/sh
# `make image-requirements`: pins the newest versions that pyproject.toml allows, with their hashes.
#
# Run it with the image's version of Python, 3.11: what is needed depends on it. Arguments go to pip-compile, say
# `--upgrade-package falcon` to update one only; without any, all are updated.
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --upgrade pip pip-tools
test $# -gt 0 || set -- --upgrade

pin() {
    target=deploy/image/$1
    about=$2
    shift 2
    test ! -f "$target" || cp "$target" "$folder/pinned.txt"
    "$folder/venv/bin/pip-compile" --quiet --no-header --generate-hashes --strip-extras --allow-unsafe \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$folder/pinned.txt" \
        "$@" pyproject.toml
    {
        echo "# $about"
        echo "# To update: make image-requirements; then make image-test. Do not edit: bounds are in pyproject.toml."
        grep -v '^# The following packages are considered to be unsafe' "$folder/pinned.txt"
    } >"$target"
    rm "$folder/pinned.txt"
}

pin requirements.txt "The packages in the elector's image, all of them, pinned." --extra elector "$@"
pin build-requirements.txt "What builds the elector's own package; none of it is in the image." \
    --only-build-deps --build-deps-for wheel "$@"
