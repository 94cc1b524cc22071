# shellcheck shell=bash disable=SC2034,SC2154 # lists for, and root from, who sources this
# SPDX-License-Identifier: MIT
# The packages that each command needs, and how they are installed.

build_packages=(
    gcc libc6-dev meson ninja-build pkg-config
    libseccomp-dev libinih-dev libjansson-dev libmicrohttpd-dev libsystemd-dev
)
fuzz_packages=(clang libclang-rt-dev)
vm_packages=(qemu-system-x86)
bench_packages=(gnuplot-nox qemu-system-x86)
check_packages=(
    libcmocka-dev
    python3-pytest
    clang
    libclang-rt-dev
    clang-format
    clang-tidy
    cppcheck
    g++
    mandoc
    shellcheck
    systemd
    valgrind
    "${vm_packages[@]}"
    "${bench_packages[@]}"
)
package_packages=(build-essential debhelper lintian "${build_packages[@]}")
bare_packages=(mmdebstrap)

# Which of the named packages are not installed, one a line. Fast, and asks nobody: it is all that
# a second run does.
missing_packages()
{
    local state name
    local -A installed=()

    while read -r state name; do
        [[ $state != installed ]] || installed[$name]=1
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null)
    for name; do
        [[ -n ${installed[$name]:-} ]] || printf '%s\n' "$name"
    done
}

# Runs apt-get without questions, as root.
apt()
{
    local as_root=()

    if ((EUID != 0)); then
        as_root=(sudo)
        [[ -t 0 ]] || as_root=(sudo -n)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# Brings apt's lists up to date, once a run.
refreshed=
refresh_lists()
{
    [[ -n $refreshed ]] || apt update
    refreshed=1
}

# Installs what is missing of the named packages; says so, and shows apt's own words if it fails.
install_packages()
{
    local missing log

    if ! command -v dpkg-query apt-get >/dev/null; then
        say "dev: no dpkg here; taken for installed: $*"
        return
    fi
    mapfile -t missing < <(missing_packages "$@" | sort -u)
    ((${#missing[@]})) || return 0
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        die "not root and no sudo; install these packages first: ${missing[*]}"
    fi

    say "dev: installing ${missing[*]}"
    log=$(mktemp)
    # A foreign repository that is down fails the update and need not stop us.
    if ! { refresh_lists || true; apt install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "apt-get could not install: ${missing[*]}"
    fi
    rm -f "$log"
}

# Some packages are not installed: tests download and unpack them to the named place in the build
# folder, from where apt's lists say, once. A guest's kernel is of no use here, and a Prometheus that is
# installed is started. Old lists name packages that are gone.
prepare_download()
{
    [[ -e $root/build/$1 ]] || refresh_lists >/dev/null 2>&1 || true
}
