# shellcheck shell=bash disable=SC2154 # root comes from common.sh
# SPDX-License-Identifier: MIT
# The builds of the tree, each in its own folder: build (what runs and is tested), build-clang,
# build-asan, build-fuzz, build-package.

# configure DIR [OPTION...]: sets DIR up once, and again only when the options have changed or the
# tree has moved. Without options, any configuration that is there will do.
configure()
{
    local dir=$root/$1 stamp=$root/$1/.configured wanted had=
    shift
    wanted="$root ${CC:-cc} $*"

    if [[ ! -e $dir/build.ninja ]]; then
        meson setup "$dir" "$root" "$@" || return
    else
        [[ ! -e $stamp ]] || had=$(<"$stamp")
        if [[ $had == "$wanted" || ($# == 0 && $had == "$root "*) ]]; then
            return 0
        fi
        rm -f "$stamp"
        meson setup --reconfigure "$dir" "$root" "$@" ||
            meson setup --wipe "$dir" "$root" "$@" || return
    fi
    printf '%s\n' "$wanted" >"$stamp"
}

# compile DIR [TARGET...]
compile()
{
    ninja -C "$root/$1" "${@:2}"
}

# Shows a command's output only if it fails.
quietly()
{
    local log

    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

build_default()
{
    configure build && compile build
}

# What `run` and its like need: any build of the server, made now if there is none.
build_release()
{
    [[ -e $root/build/ivshmem-server ]] || say "dev: building in $root/build"
    quietly build_default || die "the server does not build"
}

build_checked()
{
    CC=gcc configure build -Dwerror=true -Dtests=enabled -Dexporter=enabled && compile build
}

# For its warnings: what it makes is not run, and need not be fast.
build_clang()
{
    CC=clang configure build-clang -Doptimization=1 -Dwerror=true -Dtests=enabled -Dexporter=enabled && compile build-clang
}

build_asan()
{
    CC=gcc configure build-asan -Dbuildtype=debugoptimized -Db_sanitize=address,undefined \
        -Doptimization=1 -Dc_args=-fno-sanitize-recover=all -Dtests=enabled -Dexporter=enabled && compile build-asan
}

# Debian's packages, from a copy of the tree: dpkg-buildpackage works inside of it, and leaves what it
# makes beside it.
build_package()
{
    local dir=$root/build-package

    rm -rf "$dir" && mkdir -p "$dir/source" &&
        tar -C "$root" --exclude=./.git --exclude=./build --exclude='./build-*' --exclude=__pycache__ -c . |
        tar -C "$dir/source" -x &&
        (cd "$dir/source" && DEB_BUILD_OPTIONS="parallel=$(nproc)" dpkg-buildpackage -b -us -uc) &&
        rm -rf "$dir/source"
}

# fuzz/meson.build links its programs with -fsanitize=fuzzer.
build_fuzz()
{
    CC=clang configure build-fuzz -Dbuildtype=debugoptimized -Db_lundef=false \
        -Db_sanitize=address,undefined -Dfuzz=enabled -Dtests=disabled \
        '-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=all' && compile build-fuzz fuzzers
}
