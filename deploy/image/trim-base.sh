#!/bin/sh
# Removes from the base what a Python program does not need: what installs packages, logs in, mounts, and documents.
set -eu

# By name, so that the package database, which scanners read, still says what is there. What is not installed in a base
# is passed over. dpkg itself, the shell and coreutils are what this script runs on, and stay.
packages=
for package in $(dpkg-query --show --showformat '${Package}\n'); do
    case $package in
    apt | e2fsprogs | gpgv | login | logsave | mount | passwd | tar | util-linux* | perl* | libperl* | libapt-pkg* | \
        libext2fs2* | libgcrypt20 | libgnutls30 | libp11-kit0 | libunistring* | \
        python3-distutils | python3-lib2to3 | python3-pip* | python3-setuptools* | python3*-venv)
        packages="$packages $package"
        ;;
    esac
done
# shellcheck disable=SC2086 # several words
dpkg --purge --force-depends --force-remove-essential --force-remove-protected $packages

for library in /usr/lib/python3* /usr/local/lib/python3*; do
    test -d "$library" || continue
    rm -rf "$library"/ensurepip "$library"/idlelib "$library"/lib2to3 "$library"/test "$library"/tkinter \
        "$library"/turtledemo "$library"/site-packages/* "$library"/dist-packages/pip*
done
rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/share/python-wheels
rm -rf /usr/share/doc /usr/share/info /usr/share/locale /usr/share/man /usr/lib/*/gconv
rm -rf /var/cache/* /var/lib/apt /var/log/* /tmp/*
# Nobody in the image becomes somebody else.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
