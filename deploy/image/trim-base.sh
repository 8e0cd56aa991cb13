#!/bin/sh
# Removes from the base what installs packages, and documents.
set -eu
for library in /usr/lib/python3* /usr/local/lib/python3*; do
    test -d "$library" || continue
    rm -rf "$library"/ensurepip "$library"/idlelib "$library"/lib2to3 "$library"/test "$library"/tkinter \
        "$library"/turtledemo "$library"/site-packages/* "$library"/dist-packages/pip*
done
rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/bin/pip* /usr/share/python-wheels
rm -rf /usr/share/doc /usr/share/info /usr/share/locale /usr/share/man
rm -rf /var/cache/* /var/lib/apt/lists/* /var/log/* /tmp/*
