#!/bin/sh
# Compiles every C file with gcc and clang and all warnings as errors. One check a compiler; a
# compiler that is not here counts as skipped. Last line: `N passed, N failed, N skipped`.
# COUNTS=FILE: writes the three numbers there too.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
flags="-std=gnu11 -O2 -pthread -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror"
r_flags=$(R CMD config --cppflags)

for cc in gcc clang; do
  command -v $cc >/dev/null || { skipped "warnings of $cc: there is no $cc"; continue; }
  bad=$(for f in src/*.c tests/native/*.c tests/fuzz/*.c; do
    [ -e "$f" ] || continue
    case $f in
      src/r_*.c | src/init.c) extra="-isystem $(echo "$r_flags" | sed 's/-I//')" ;;
      tests/fuzz/r_*) extra="-Isrc -isystem $(echo "$r_flags" | sed 's/-I//')" ;;
      *) extra=-Isrc ;;
    esac
    echo "$f $extra"
  done | xargs -P 2 -I{} sh -c "$cc $flags -c {} -o /dev/null 2>&1 || echo failed: {}")
  if [ -z "$bad" ]; then passed "no warning of $cc"; else failed "warnings of $cc"; echo "$bad"; fi
done
totals
