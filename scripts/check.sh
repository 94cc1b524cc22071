#!/bin/bash
# SPDX-License-Identifier: MIT
# ./dev check: runs the stages, each quietly and under a bound, shows the log of those that fail, and
# ends with the sum of all their tests. They run in three lanes, in each one after the other: those
# that mind others least beside the rest, and what only computes aside, on what those leave of the
# processors. Results stay in build-check.
set -euo pipefail

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
results=$root/build-check

# A stage: the name that selects it, its own name, what it needs to have passed, its bound in
# seconds, its lane, and what scripts/stage.sh is to do. The last word names the folder of its tests.
stages=(
    "build         build         -              300 first  compile checked"
    "unit          unit          build          300 main   unit build"
    "protocol      protocol      build          300 main   pytest build protocol"
    "daemon        daemon        build          400 main   pytest build daemon"
    "crash         crash         build          600 main   pytest build crash"
    "attacks       attacks       build          400 main   pytest build attacks"
    "control       control       build          300 main   pytest build control"
    "vm            vm            build          600 main   pytest build vm"
    "bench         bench         build          320 main   pytest build bench"
    "style         style         -              120 beside pytest build tree"
    "docs          docs          build          120 beside pytest build docs"
    "api           api           build          120 beside pytest build api"
    "exporter      exporter      build          300 beside pytest build exporter"
    "asan          asan-unit     asan-build     600 beside unit build-asan"
    "asan          asan-protocol asan-build     600 beside pytest build-asan protocol"
    "asan          asan-daemon   asan-build     600 beside pytest build-asan daemon"
    "asan          asan-control  asan-build     600 beside pytest build-asan control"
    "libvirt       libvirt       build          300 beside pytest build libvirt"
    "package       package       package-build  300 beside pytest build-package package"
    "fuzz          fuzz          fuzz-build     600 beside fuzz"
    "asan-exporter asan-exporter asan-build     600 beside pytest build-asan exporter"
    "asan-attacks  asan-attacks  asan-build     600 beside pytest build-asan attacks"
    "asan          asan-build    -             1800 aside  compile asan"
    "package       package-build -             1800 aside  compile package"
    "fuzz          fuzz-build    -             1800 aside  compile fuzz"
    "analyze       analyze       build         1800 aside  analyze build"
    "clang         clang         -             1800 aside  compile clang"
    "bare          bare          -             2700 main   pytest build bare"
)

# How much less than others the lanes are served by the processors, more than this script itself.
declare -A niceness=([main]=0 [beside]=5 [aside]=19)

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

# Waits until a stage has ended, and tells whether it has passed.
has_passed()
{
    local dir=$results/$1

    until [[ -s $dir/status ]]; do
        sleep 0.2
    done
    [[ $(<"$dir/status") == 0 ]]
}

# Does the stages of a lane, one after the other.
do_lane()
{
    local name=$1 row stage needs bound lane work

    lanes=()
    trap stop TERM
    renice -n "$(($(nice) + niceness[$name]))" "$BASHPID" >/dev/null
    for row in "${plan[@]}"; do
        read -r _ stage needs bound lane work <<<"$row"
        [[ $lane == "$name" ]] || continue
        if [[ -d $results/$needs ]] && ! has_passed "$needs"; then
            echo "not run: no $needs" >"$results/$stage/status"
            continue
        fi
        # shellcheck disable=SC2086 # words, by intent
        do_stage "$stage" "$((bound * factor))" $work
    done
}

# Tells how a stage ended.
report()
{
    local name=$1 dir=$results/$1 status
    status=$(<"$dir/status")

    printf '%-15s' "$name"
    if [[ $status == not* ]]; then
        echo "$status"
        return
    fi
    ran+=("$dir")
    if ! /usr/bin/python3 "$root/scripts/tally.py" stage "$dir" "$(<"$dir/seconds")"; then
        # What passed is of no interest now.
        sed -E '/ PASSED +\[ *[0-9]+%\]$/d; s/^/    /' "$dir/log" | tail -n 400
    fi
}

# Whether the process is still at work.
is_at_work()
{
    kill -0 "$1" 2>/dev/null
}

# Reports the stages that have ended, and gives how many have not. A lane that is lost ends no more.
report_ended()
{
    local row stage lane

    n_left=0
    for row in "${plan[@]}"; do
        read -r _ stage _ _ lane _ <<<"$row"
        [[ -z ${reported[$stage]:-} ]] || continue
        if [[ ! -s $results/$stage/status ]] && ! is_at_work "${lanes[$lane]}" &&
            [[ ! -s $results/$stage/status ]]; then
            echo "dev: what runs the stages of this lane has ended" >>"$results/$stage/log"
            echo 0 >"$results/$stage/seconds"
            echo 1 >"$results/$stage/status"
        fi
        if [[ -s $results/$stage/status ]]; then
            report "$stage"
            reported[$stage]=1
        else
            n_left=$((n_left + 1))
        fi
    done
}

stop()
{
    trap '' INT TERM
    [[ -z $job ]] || kill -INT "$job" 2>/dev/null || true
    [[ -z ${lanes[*]} ]] || kill "${lanes[@]}" 2>/dev/null || true
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
ran=()
n_left=0
declare -A lanes=() reported=()
trap 'say "dev: interrupted"; stop' INT TERM

# Does a stage that others cannot begin without.
do_first()
{
    mkdir "$results/$1"
    do_stage "$@"
    report "$1"
}

plan=()
for row in "${stages[@]}"; do
    read -r name stage needs bound lane work <<<"$row"
    # shellcheck disable=SC2086 # words, by intent
    if ! is_wanted "$name" || ! has_work $work; then
        continue
    fi
    # Of the stages that others need, these may be unwanted.
    [[ $needs != build || -d $results/build ]] || do_first build 300 compile checked
    [[ $needs != asan-build || -d $results/asan-build ]] || is_wanted asan ||
        do_first asan-build 900 compile asan
    if [[ $lane == first ]]; then
        # shellcheck disable=SC2086 # words, by intent
        do_first "$stage" "$((bound * factor))" $work
    else
        mkdir "$results/$stage"
        plan+=("$row")
    fi
done

for lane in main beside aside; do
    do_lane "$lane" &
    lanes[$lane]=$!
done
report_ended
while ((n_left)); do
    sleep 0.5
    report_ended
done
wait

/usr/bin/python3 "$root/scripts/tally.py" total "${ran[@]}"
