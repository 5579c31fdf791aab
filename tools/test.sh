#!/bin/sh
# Everything that `make test` runs: the tests of R/ and, unless ONLY (a regular expression for their
# file names) is set, those of the C core. Last line: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
mkdir -p .build
rm -f .build/counts-r .build/counts-native
COUNTS=.build/counts-r Rscript tools/test.R --only="${ONLY:-}" ||
  [ -s .build/counts-r ] || failed "the tests of R/ gave no result"
# shellcheck disable=SC2046
[ ! -s .build/counts-r ] || add $(cat .build/counts-r)
if [ -z "${ONLY:-}" ]; then
  COUNTS=.build/counts-native tools/native.sh plain || [ -s .build/counts-native ] || failed "the native tests gave no result"
  # shellcheck disable=SC2046
  [ ! -s .build/counts-native ] || add $(cat .build/counts-native)
fi
totals
