#!/usr/bin/env bash
# Runs the scripts of tools/suites, each in a process of its own: other packages' tests, as published, on our back ends.
#
#   tools/suites.sh      the short ones, and one of the long ones, by the day
#   ALL=1                all
#   ONLY=furrr           one
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
short='foreach dorng runit biocparallel future future-tests mclapply-users'
long=(future-scripts furrr r-parallel dependents)
R_LIBS=$PWD/.suites-lib:$PWD/.lib${R_LIBS:+:$R_LIBS}
export R_LIBS
mkdir -p .build/suites

if [ -n "${ONLY:-}" ]; then suites=$ONLY
elif [ -n "${ALL:-}" ]; then suites="$short ${long[*]}"
else suites="$short ${long[$(($(date +%s) / 86400 % ${#long[@]}))]}"
fi
for suite in $suites; do
  echo "--- $suite"
  start=$SECONDS
  rm -f ".build/suites/$suite.counts"
  COUNTS=$PWD/.build/suites/$suite.counts timeout 1500 Rscript --no-init-file "tools/suites/$suite.R" </dev/null >".build/suites/$suite.log" 2>&1
  status=$?
  grep -E '^(FAILED|waived)' ".build/suites/$suite.log"
  if [ -s ".build/suites/$suite.counts" ]; then
    # shellcheck disable=SC2046
    add $(cat ".build/suites/$suite.counts")
    tail -n 1 ".build/suites/$suite.log"
  else
    tail -n 20 ".build/suites/$suite.log"
    failed "$suite: status $status"
  fi
  echo "--- $suite: $((SECONDS - start)) s"
done
totals
