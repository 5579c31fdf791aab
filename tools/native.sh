#!/bin/sh
# Compiles and runs the tests of the C core, tests/native/test_*.c, each linked with the whole core
# (every file of src/ but the glue, r_*.c and init.c), and the fuzz targets, tests/fuzz/fuzz_*.c, over their committed inputs.
#
#   tools/native.sh [plain|asan|tsan|valgrind|coverage] [COMPILER] [REGEX of the tests' names]
#
# plain: each test of each program counts. asan (with UBSAN), tsan and valgrind: each program counts once, and
# passes if it exits 0 with no report. NATIVE_NAME, NATIVE_FLAGS, NATIVE_RUN in the environment: a folder's name, more options of the
# compiler, a program to run what it makes (see tools/portable.sh). Last line: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
mode=${1:-plain}
cc=${2:-${CC:-cc}}
only=${3:-.}
dir=.build/native/${NATIVE_NAME:-$mode-$(basename "$cc")}
flags="-std=gnu11 -g -pthread -D_FILE_OFFSET_BITS=64 -Isrc -Wall -DSM_DEBUG ${NATIVE_FLAGS:-}"
case $mode in
  plain) flags="$flags -O2" ;;
  asan) flags="$flags -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" ;;
  tsan) flags="$flags -O1 -fno-omit-frame-pointer -fsanitize=thread" ;;
  valgrind) flags="$flags -O1" ;;
  coverage) flags="$flags -O1 ${COVERAGE:?for tools/coverage.R}" ;;
  *) echo "usage: tools/native.sh [plain|asan|tsan|valgrind|coverage] [COMPILER] [REGEX]" >&2; exit 2 ;;
esac
ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
UBSAN_OPTIONS=print_stacktrace=1
# TSAN does not see that a timed lock took a robust mutex from its dead holder, and would call the unlock a bug
TSAN_OPTIONS=halt_on_error=1:report_mutex_bugs=0
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

mkdir -p "$dir"
rm -f "$dir"/*
echo 'int main(void) { return 0; }' >"$dir/probe.c"
# shellcheck disable=SC2086
if ! $cc $flags "$dir/probe.c" -o "$dir/probe" 2>/dev/null; then
  skipped "native tests, $mode: $cc cannot do this here"
  totals
  exit 0
fi
# Leaks are looked for where the system lets a process be inspected.
[ $mode != asan ] || "$dir/probe" 2>/dev/null || ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1
# A sanitizer may be unable to lay out its memory where addresses are randomised widely.
run=${NATIVE_RUN:-}
if [ -z "$run" ] && ! "$dir/probe" >/dev/null 2>&1; then
  if setarch "$(uname -m)" -R "$dir/probe" >/dev/null 2>&1; then
    run="setarch $(uname -m) -R"
  else
    skipped "native tests, $mode: what $cc makes does not start here"
    totals
    exit 0
  fi
fi
if [ $mode = valgrind ]; then
  if ! command -v valgrind >/dev/null; then
    skipped "native tests, valgrind: there is no valgrind here"
    totals
    exit 0
  fi
  run="valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --fair-sched=yes"
fi
if command -v timeout >/dev/null; then run="timeout -k 5 $([ $mode$run = plain ] && echo 120 || echo 900) $run"; fi

ls src/*.c | grep -Ev '/(r_[^/]*|init)\.c$' |
  xargs -P 2 -I{} sh -c "$cc $flags -c {} -o $dir/\$(basename {} .c).o" || { failed "native: the core does not compile"; totals; exit 1; }
# The fuzz targets count on a long double that holds every 64-bit integer, which not all machines have that are run in an emulator.
sources=$(ls tests/native/test_*.c $([ -n "${NATIVE_RUN:-}" ] || echo tests/fuzz/fuzz_*.c) 2>/dev/null | grep -E -- "$only")
replay='case {} in tests/fuzz/*) replay=tests/fuzz/replay.c ;; *) replay= ;; esac'
echo "$sources" |
  xargs -P 2 -I{} sh -c "$replay; $cc $flags {} \$replay $dir/*.o -lm -o $dir/\$(basename {} .c)" || failed "native: a test does not compile"

for source in $sources; do
  name=$(basename "$source" .c)
  corpus=
  [ "$name" = "${name#fuzz_}" ] || corpus=tests/fuzz/corpus/${name#fuzz_}
  # Where data change between two passes, two threads may write one place of their private result, which is then thrown away.
  [ "$mode/$name" != tsan/test_kern_live ] || { skipped "$name ($mode, $cc): its races are wanted"; continue; }
  [ -x "$dir/$name" ] || { failed "$name ($mode, $cc): not built"; continue; }
  # shellcheck disable=SC2086
  $run "$dir/$name" $corpus >"$dir/$name.log" 2>&1 </dev/null
  status=$?
  line=$(tail -n 1 "$dir/$name.log")
  p=$(echo "$line" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1/p')
  f=$(echo "$line" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\2/p')
  label="$name ($mode, $cc)"
  if [ $status -ne 0 ] || [ -z "$p" ] || [ "$p" -eq 0 ] || [ "$f" -ne 0 ] ||
    grep -Eq 'runtime error:|ERROR: |WARNING: ThreadSanitizer' "$dir/$name.log"; then
    failed "$label: status $status: $line"
    sed 's/^/        | /' "$dir/$name.log"
    if [ "$mode" = plain ] && [ "${f:-0}" -gt 0 ]; then add "$p" $((f - 1)) 0; fi
  elif [ "$mode" = plain ]; then
    add "$p" 0 0
    echo "ok      $label: $line"
  else
    passed "$label: $line"
  fi
done
totals
