# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What all scripts share.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

say()
{
    printf '%s\n' "$*" >&2
}

die()
{
    say "dev: $*"
    exit 1
}

# shellcheck source=scripts/packages.sh
. "$root/scripts/packages.sh"
# shellcheck source=scripts/build.sh
. "$root/scripts/build.sh"
