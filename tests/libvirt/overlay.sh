#!/bin/bash
# SPDX-License-Identifier: MIT
# overlay.sh FOLDER PAYLOAD COMMAND...: runs a command in a root that looks like this machine's with
# what PAYLOAD has added; whatever is written there is in memory only. To be run in mount and pid
# namespaces of its own. FOLDER is where the memory is mounted, empty otherwise.
set -eu

folder=$1 payload=$2
shift 2
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
cp -r "$payload/." "$folder/upper"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
mount -t tmpfs -o mode=755 tmpfs "$folder/root/run"
mount -t tmpfs -o mode=1777 tmpfs "$folder/root/tmp"
exec "$(dirname "$0")/../lib/enter.sh" "$folder/root" "$@"
