#!/bin/bash
# SPDX-License-Identifier: MIT
# The work of one stage of ./dev check. Leaves its results as JUnit files in $RESULTS.
#
#   compile checked|clang|asan|package
#                                   build the tree
#   unit DIR                        the unit tests of a build
#   pytest DIR NAME                 the tests of tests/NAME on a build
#   analyze DIR                     gcc's analyzer, clang-tidy and cppcheck on the sources of a build
#   fuzz                            every fuzzer for a moment
set -euo pipefail

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1:handle_segv=2

unit()
{
    local dir=$root/$1 options=() status=0

    [[ $1 != build-asan ]] || options+=(--timeout-multiplier 4)
    [[ -z ${IVSHMEM_LONG:-} ]] || options+=(--timeout-multiplier 0)
    meson test -C "$dir" --no-rebuild "${options[@]}" || status=$?
    /usr/bin/python3 "$root/scripts/tally.py" output "$dir/meson-logs/testlog.json"
    cp "$dir/meson-logs/testlog.junit.xml" "$dir/meson-logs/testlog.json" "$RESULTS"
    return $status
}

pytests()
{
    local status=0 select=(-m 'not long') base

    # pytest leaves what tests have in tmp_path in a folder of its own, of the last three runs.
    base=$(mktemp -d)
    [[ -z ${IVSHMEM_LONG:-} ]] || select=()
    cd "$root"
    # No plug-ins but pytest's own: what this machine has installed must not matter.
    IVSHMEM_BUILD=$root/$1 IVSHMEM_SERVER=$root/$1/ivshmem-server \
        IVSHMEM_CLIENT=$root/$1/ivshmem-client IVSHMEM_CTL=$root/$1/ivshmem-ctl \
        IVSHMEM_EXPORTER=$root/$1/ivshmem-exporter \
        PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONNOUSERSITE=1 \
        /usr/bin/python3 -m pytest -c tests/pytest.ini --rootdir tests -v -ra --color=no --tb=short \
        --junitxml "$RESULTS/pytest.junit.xml" --basetemp "$base/t" "${select[@]}" "tests/$2" ||
        status=$?
    rm -rf "$base"
    # 5: there was nothing to do, which is no failure where all tests are long ones.
    ((status != 5)) || status=0
    return $status
}

case $1 in
    compile)
        "build_$2"
        ;;
    unit)
        unit "$2"
        ;;
    pytest)
        pytests "$2" "$3"
        ;;
    analyze)
        exec /usr/bin/python3 "$root/scripts/analyze.py" "$root/$2" \
            --junitxml "$RESULTS/analyze.junit.xml"
        ;;
    fuzz)
        build_fuzz
        seconds=10
        [[ -z ${IVSHMEM_LONG:-} ]] || seconds=200
        exec /usr/bin/python3 "$root/scripts/fuzz.py" "$root/build-fuzz" \
            --seconds "$seconds" --junitxml "$RESULTS/fuzz.junit.xml"
        ;;
esac
