#!/bin/sh
# `unshare --mount --pid --fork enter.sh ROOT [FOLDER=PLACE:ro|rw]... -- COMMAND...` mounts what a container runtime
# would for a pod with a read-only root file system, and runs the command, still outside of ROOT.
# Writable are only /dev/shm, which every runtime mounts so, and what is given as `rw`.
set -eu
root=$1
shift
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec,ro proc "$root/proc"
mount -t tmpfs -o nosuid,mode=755,size=64k devices "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 444 "$root/dev/urandom" c 1 9
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=64m shm "$root/dev/shm"
while test "$1" != --; do
    folder=${1%%=*} place=$root${1#*=}
    shift
    mode=${place##*:}
    place=${place%:*}
    mount --bind "$folder" "$place"
    mount -o "remount,bind,nosuid,nodev,$mode" "$place"
done
shift
mount -o remount,ro,nosuid "$root/dev"
mount -o remount,bind,ro "$root"
exec "$@"
