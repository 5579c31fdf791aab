#!/bin/sh
# Builds the package with gcc's address and undefined-behaviour sanitizers into .build/lib-asan and
# runs test files in an R that has the sanitizer's run-time loaded.
#
#   tools/asan.sh [REGEX of test files]
#
# Last line: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
only=${1:-}
lib=$PWD/.build/lib-asan
runtime=$(gcc -print-file-name=libasan.so 2>/dev/null)
if [ ! -e "$runtime" ]; then
  skipped "R under the address sanitizer: gcc has no libasan.so here"
  totals
  exit
fi
mkdir -p "$lib"
cat >.build/Makevars.asan <<'END'
CC = gcc
CFLAGS = -g -O1 -DSM_DEBUG -fno-omit-frame-pointer -fsanitize=address,undefined
SHLIB_LDFLAGS = -shared -fsanitize=address,undefined
END
# leaks: R's own start-up would drown ours; the native tests look for them
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0
UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export ASAN_OPTIONS UBSAN_OPTIONS
MAKE="make -j2" R_MAKEVARS_USER=$PWD/.build/Makevars.asan R CMD INSTALL --no-docs --no-test-load --preclean \
  --clean -l "$lib" .build/sharedmem_*.tar.gz >.build/asan-install.log 2>&1 ||
  { failed "the package does not build with the sanitizers"; cat .build/asan-install.log; totals; exit; }
# procps hangs in textdomain() now and then where the sanitizer's run-time is loaded into it
mkdir -p .build/asan-bin
for program in ps pkill pgrep; do
  printf '#!/bin/sh\nexec env -u LD_PRELOAD %s "$@"\n' "$(command -v $program)" >.build/asan-bin/$program
  chmod +x .build/asan-bin/$program
done
rm -f .build/counts-asan-r
COUNTS=.build/counts-asan-r R_LIBS=$lib${R_LIBS:+:$R_LIBS} PATH=$PWD/.build/asan-bin:$PATH LD_PRELOAD=$runtime \
  Rscript tools/test.R --only="$only" --limit=600 >.build/asan.log 2>&1
status=$?
cat .build/asan.log
if [ -s .build/counts-asan-r ]; then
  # shellcheck disable=SC2046
  add $(cat .build/counts-asan-r)
else
  failed "R under the address sanitizer: no result (status $status)"
fi
totals
