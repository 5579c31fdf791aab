#!/bin/sh
# Fuzzes the core (tests/fuzz/fuzz_*.c, by libFuzzer with the address and undefined-behaviour sanitizers), the glue (r_*.c there, which
# start an R in themselves) and the package (tools/fuzz-*.R, in a session of their own), one target after another, and prints a table.
#
#   tools/fuzz.sh [--seconds=60] [--seed=N] [--minimize] [--report] [TARGET...]
#
# --seconds: for each target. --seed: of the random numbers, which differ each time otherwise. --minimize: afterwards tests/fuzz/corpus/ becomes a small set of inputs that reaches every edge that was
# reached. --report: write the section "Fuzzers" of bench/RELIABILITY.md. What is found stays in .build/fuzz/found/.
# Last line: `N passed, N failed, N skipped`; a target is one check.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
seconds=60 seed="" minimize=0 report=0 targets=""
for arg in "$@"; do
  case $arg in
    --seconds=*) seconds=${arg#*=} ;;
    --seed=*) seed=${arg#*=} ;;
    --minimize) minimize=1 ;;
    --report) report=1 ;;
    -*) echo "usage: tools/fuzz.sh [--seconds=N] [--seed=N] [--minimize] [--report] [TARGET...]" >&2; exit 2 ;;
    *) targets="$targets $arg" ;;
  esac
done
[ -n "$targets" ] || targets=$(ls tests/fuzz/fuzz_*.c tests/fuzz/r_*.c tools/fuzz-*.R | grep -Ev "fuzz-(common|report)" | sed 's#.*/\(fuzz[_-]\|r_\)##; s|\.[cR]$||')
dir=.build/fuzz
results=$dir/results
R_LIBS=$PWD/.lib${R_LIBS:+:$R_LIBS}
export R_LIBS
cc=${CLANG:-clang}
flags="-std=gnu11 -g -O1 -fno-omit-frame-pointer -pthread -Isrc -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all"
mkdir -p $dir/found
: >$results

# Why there is no libFuzzer here, or nothing.
no_fuzzer() {
  command -v "$cc" >/dev/null || { echo "there is no $cc"; return; }
  echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { return (void)p, (void)n, 0; }' >$dir/probe.c
  # shellcheck disable=SC2086
  $cc $flags -fsanitize=fuzzer $dir/probe.c -o $dir/probe 2>/dev/null || { echo "$cc has no fuzzer runtime (libclang-rt-dev)"; return; }
  $dir/probe -runs=1 >/dev/null 2>&1 || echo "what $cc makes does not start here"
}

# Objects of the files of src/ whose names come in, into the folder $1, with the options $2, where a source or header is newer.
build() {
  newest=$(ls -t src/*.[ch] | head -n 1)
  mkdir -p "$1"
  [ ! "$1/stamp" -nt "$newest" ] || return 0
  xargs -P 2 -I{} sh -c "$cc $flags $2 -fsanitize=fuzzer-no-link -c {} -o $1/\$(basename {} .c).o" && touch "$1/stamp"
}
glue='/(r_[^/]*|init)\.c$'
build_core() { ls src/*.c | grep -Ev "$glue" | build $dir/obj ""; }
build_glue() { ls src/*.c | grep -E "$glue" | build $dir/robj "$(R CMD config --cppflags)"; }

row() {
  printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>$results
  [ "$5" = 0 ] && passed "fuzz $1: $2 runs" || failed "fuzz $1: see $dir/$1.log and $dir/found/"
}

# $1: the target. $2, $3: more options of the compiler and the linker.
fuzz_c() {
  corpus=tests/fuzz/corpus/$1 fresh=$dir/corpus/$1
  mkdir -p "$fresh"
  # shellcheck disable=SC2086
  $cc $flags $2 -fsanitize=fuzzer tests/fuzz/*_"$1".c $dir/obj/*.o $3 -lm -o "$dir/$1" || { failed "fuzz $1: does not compile"; return; }
  # shellcheck disable=SC2046
  nice "$dir/$1" -seed="${seed:-0}" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=4000 -malloc_limit_mb=100000000 -print_final_stats=1 \
    -artifact_prefix="$dir/found/$1-" "$fresh" $([ -d "$corpus" ] && echo "$corpus") >"$dir/$1.log" 2>&1 </dev/null
  status=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$1.log" | tail -n 1)
  edges=$(grep -ao 'cov: [0-9]*' "$dir/$1.log" | tail -n 1 | cut -d' ' -f2)
  [ $status -eq 0 ] || grep -aE 'contract broken|runtime error|SUMMARY' "$dir/$1.log" | head -n 5
  row "$1" "${runs:-0}" "$seconds" "${edges:-0} edges" $((status != 0))
  if [ $status -eq 0 ] && [ $minimize -eq 1 ]; then
    rm -rf "$dir/merged"
    mkdir -p "$dir/merged"
    # shellcheck disable=SC2046
    nice "$dir/$1" -merge=1 -use_counters=0 -max_len=4096 "$dir/merged" "$fresh" $([ -d "$corpus" ] && echo "$corpus") >"$dir/merge.log" 2>&1 </dev/null
    mkdir -p tests/fuzz/corpus
    rm -rf "$corpus"
    mv "$dir/merged" "$corpus"
  fi
}

# With an R in it, which leaks by design.
fuzz_glue() {
  [ -e "$(R RHOME)/lib/libR.so" ] || { skipped "fuzz $1: this R is no shared library"; return; }
  build_glue || { failed "fuzz $1: the glue does not compile"; return; }
  R_HOME=$(R RHOME) LD_LIBRARY_PATH=$(R RHOME)/lib ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
  export R_HOME LD_LIBRARY_PATH ASAN_OPTIONS
  fuzz_c "$1" "$(R CMD config --cppflags)" "$dir/robj/*.o -L$(R RHOME)/lib -lR"
  unset R_HOME LD_LIBRARY_PATH ASAN_OPTIONS
}

# The program prints `N runs, N findings` last.
fuzz_r() {
  nice Rscript --vanilla "tools/fuzz-$1.R" --seconds="$seconds" ${seed:+"--seed=$seed"} >"$dir/$1.log" 2>&1 </dev/null
  status=$?
  line=$(tail -n 1 "$dir/$1.log" | sed -n 's/^\([0-9]*\) runs, \([0-9]*\) findings$/\1 \2/p')
  case $status/$line in
    77/*) skipped "fuzz $1: $(tail -n 1 "$dir/$1.log")"; return ;;
    0/?*) ;;
    *) tail -n 20 "$dir/$1.log"; line="${line:-0 1}" ;;
  esac
  row "$1" "${line% *}" "$seconds" "seed $(sed -n 's/^seed: //p' "$dir/$1.log")" "${line#* }"
}

why=$(no_fuzzer)
[ -n "$why" ] || build_core || { failed "fuzz: the core does not compile"; totals; exit 1; }
for target in $targets; do
  if [ -e "tools/fuzz-$target.R" ]; then fuzz_r "$target"
  elif [ ! -e "tests/fuzz/fuzz_$target.c" ] && [ ! -e "tests/fuzz/r_$target.c" ]; then failed "fuzz: there is no target $target"
  elif [ -n "$why" ]; then skipped "fuzz $target: $why"
  elif [ -e "tests/fuzz/r_$target.c" ]; then fuzz_glue "$target"
  else fuzz_c "$target" "" ""
  fi
done
printf '\n%-14s %10s %8s %14s %9s\n' target runs seconds coverage findings
tab=$(printf '\t')
while IFS=$tab read -r name runs took coverage found; do
  printf '%-14s %10s %8s %14s %9s\n' "$name" "$runs" "$took" "$coverage" "$found"
done <$results
[ $report -eq 0 ] || Rscript --vanilla tools/fuzz-report.R $results
totals
