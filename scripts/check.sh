#!/bin/bash
# SPDX-License-Identifier: MIT
# ./dev check: runs the stages one after the other, each quietly and under a bound, shows the log
# of those that fail, and ends with the sum of all their tests. Stages that only compute run aside
# of the others, on what those leave of the processors. Results stay in build-check.
set -euo pipefail

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
results=$root/build-check

# A stage: the name that selects it, its own name, what it needs to have passed, its bound in
# seconds, whether it runs aside, and what scripts/stage.sh is to do. The last word names the folder
# of its tests.
stages=(
    "build         build         -              300 -     compile checked"
    "style         style         -              120 -     pytest build tree"
    "unit          unit          build          300 -     unit build"
    "docs          docs          build          120 -     pytest build docs"
    "api           api           build          120 -     pytest build api"
    "protocol      protocol      build          300 -     pytest build protocol"
    "daemon        daemon        build          400 -     pytest build daemon"
    "crash         crash         build          600 -     pytest build crash"
    "attacks       attacks       build          400 -     pytest build attacks"
    "control       control       build          300 -     pytest build control"
    "exporter      exporter      build          300 -     pytest build exporter"
    "vm            vm            build          600 -     pytest build vm"
    "libvirt       libvirt       build          300 -     pytest build libvirt"
    "bench         bench         build          320 -     pytest build bench"
    "package       package-build -             1800 aside compile package"
    "package       package       package-build  300 -     pytest build-package package"
    "asan          asan-build    -             1800 aside compile asan"
    "asan          asan-unit     asan-build     600 -     unit build-asan"
    "asan          asan-protocol asan-build     600 -     pytest build-asan protocol"
    "asan          asan-daemon   asan-build     600 -     pytest build-asan daemon"
    "asan          asan-control  asan-build     600 -     pytest build-asan control"
    "asan-exporter asan-exporter asan-build     600 -     pytest build-asan exporter"
    "asan-attacks  asan-attacks  asan-build     600 -     pytest build-asan attacks"
    "analyze       analyze       build         1800 aside analyze build"
    "clang         clang         -             1800 aside compile clang"
    "fuzz          fuzz-build    -             1800 aside compile fuzz"
    "fuzz          fuzz          fuzz-build     600 -     fuzz"
    "bare          bare          -             2700 -     pytest build bare"
)

# Whether this tree has anything for the stage to do.
has_work()
{
    case $1 in
        pytest) compgen -G "$root/tests/$3/test_*.py" >/dev/null ;;
        fuzz) [[ -e $root/fuzz/meson.build ]] ;;
    esac
}

# The names that select stages, in the order in which they run.
stage_names()
{
    local row name work seen=' '

    for row in "${stages[@]}"; do
        read -r name _ _ _ _ work <<<"$row"
        # shellcheck disable=SC2086 # words, by intent
        if [[ $seen != *" $name "* ]] && has_work $work; then
            seen+="$name "
            printf '%s\n' "$name"
        fi
    done
}

# Does the work of one stage; the log, the results, the time and at last the status are left in its
# own folder.
do_stage()
{
    local bound=$2 dir=$results/$1 began=$SECONDS status=0
    shift 2

    # A job in the background has SIGINT ignored, which the tests must not inherit.
    RESULTS=$dir timeout --signal=INT --kill-after=30 "$bound" \
        env --default-signal=INT,QUIT "$root/scripts/stage.sh" "$@" \
        >"$dir/log" 2>&1 </dev/null 9>&- &
    job=$!
    wait "$job" 2>/dev/null || status=$?
    job=
    ((status != 124 && status != 137)) || printf 'stopped after %s seconds\n' "$bound" >>"$dir/log"
    printf '%s\n' "$((SECONDS - began))" >"$dir/seconds"
    printf '%s\n' "$status" >"$dir/status"
}

# Does the stages that run aside, one after the other. They are the last whom the processors serve.
do_aside()
{
    local row stage bound work

    trap stop TERM
    renice -n 19 "$BASHPID" >/dev/null
    for row in "${aside[@]}"; do
        read -r _ stage _ bound _ work <<<"$row"
        # shellcheck disable=SC2086 # words, by intent
        do_stage "$stage" "$((bound * factor))" $work
    done
}

# Whatever runs the stages aside has been killed.
lost_aside()
{
    echo "dev: what runs the stages aside has ended" >>"$1/log"
    echo 0 >"$1/seconds"
    echo 1 >"$1/status"
}

# Runs one stage, or waits for it if it runs aside, and tells how it ended.
run_stage()
{
    local name=$1 dir=$results/$1

    printf '%-15s' "$name"
    if [[ -d $dir ]]; then
        while [[ ! -s $dir/status ]] && kill -0 "$lane" 2>/dev/null; do
            sleep 0.2
        done
        [[ -s $dir/status ]] || lost_aside "$dir"
    else
        mkdir "$dir"
        do_stage "$@"
    fi
    if /usr/bin/python3 "$root/scripts/tally.py" stage "$dir" "$(<"$dir/seconds")"; then
        return 0
    fi
    # What passed is of no interest now.
    sed -E '/ PASSED +\[ *[0-9]+%\]$/d; s/^/    /' "$dir/log" | tail -n 400
    return 1
}

stop()
{
    trap '' INT TERM
    [[ -z $job ]] || kill -INT "$job" 2>/dev/null || true
    [[ -z $lane ]] || kill "$lane" 2>/dev/null || true
    wait
    exit 130
}

all=
wanted=()
for word; do
    case $word in
        --all) all=1 ;;
        --list)
            stage_names
            exit
            ;;
        -*) die "check: unknown option '$word'; ./dev help lists them" ;;
        *) wanted+=("$word") ;;
    esac
done
names=$'\n'$(stage_names)$'\n'
for word in "${wanted[@]}"; do
    [[ $names == *$'\n'"$word"$'\n'* ]] || die "check: no stage '$word'; ./dev check --list names them"
done

# Whether we may have file systems of our own.
can_mount()
{
    ((EUID == 0)) && unshare --mount mount -t tmpfs none /mnt 2>/dev/null
}

# Whether the user wants this stage.
is_wanted()
{
    if ((${#wanted[@]})); then
        [[ " ${wanted[*]} " == *" $1 "* ]]
    elif [[ -n $all ]]; then
        true
    else
        case $1 in
            bare | asan-exporter | asan-attacks) false ;;
            libvirt) can_mount ;;
        esac
    fi
}

packages=("${build_packages[@]}" "${check_packages[@]}")
! is_wanted bare || packages+=("${bare_packages[@]}")
! is_wanted package || packages+=("${package_packages[@]}")
if ! (
    install_packages "${packages[@]}"
    [[ $names != *$'\n'vm$'\n'* ]] || ! is_wanted vm || prepare_download vm/vmlinuz
    [[ $names != *$'\n'libvirt$'\n'* ]] || ! is_wanted libvirt || prepare_download libvirt
    { ! is_wanted exporter && ! is_wanted asan-exporter; } || prepare_download prometheus/usr
); then
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

mkdir -p "$results"
exec 9>"$results/.lock"
flock -n 9 || die "another check is running in this tree"
rm -rf "${results:?}"/*

factor=1
if [[ -n $all ]]; then
    export IVSHMEM_LONG=1
    factor=6
fi

job=
lane=
trap 'say "dev: interrupted"; stop' INT TERM
declare -A outcome=()
ran=()

# Runs a stage if it has not run yet.
have_run()
{
    [[ -z ${outcome[$1]:-} ]] || return 0
    ran+=("$1")
    if run_stage "$@"; then
        outcome[$1]=passed
    else
        outcome[$1]=failed
    fi
}

plan=()
aside=()
for row in "${stages[@]}"; do
    read -r name stage needs _ where work <<<"$row"
    # shellcheck disable=SC2086 # words, by intent
    if ! is_wanted "$name" || ! has_work $work; then
        continue
    fi
    # Of the stages that others need, these may be unwanted.
    [[ $needs != build ]] || have_run build 300 compile checked
    [[ $needs != asan-build ]] || is_wanted asan || have_run asan-build 900 compile asan
    plan+=("$row")
    if [[ $where == aside && ${outcome[$needs]:-passed} != failed ]]; then
        aside+=("$row")
        mkdir "$results/$stage"
    fi
done

do_aside &
lane=$!
for row in "${plan[@]}"; do
    read -r _ stage needs bound _ work <<<"$row"
    if [[ ${outcome[$needs]:-passed} == failed ]]; then
        printf '%-15s%s\n' "$stage" "not run: no $needs"
        continue
    fi
    # shellcheck disable=SC2086 # words, by intent
    have_run "$stage" "$((bound * factor))" $work
done

/usr/bin/python3 "$root/scripts/tally.py" total "${ran[@]/#/$results/}"
