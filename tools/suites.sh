#!/usr/bin/env bash
# Runs the scripts of tools/suites, each in a process of its own, two at a time: other packages' tests, as published, on our back ends.
#
#   tools/suites.sh                 the short ones, and the turn of the day among the long ones
#   ALL=1                           all
#   ONLY='furrr dependents:plyr'    these; after the colon: arguments, with colons between them
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
short='foreach dorng runit biocparallel future future-tests mclapply-users programs'
long=(future-scripts:future.apply future-scripts:doFuture furrr r-parallel dependents:1 dependents:2 dependents:3)
R_LIBS=$PWD/.suites-lib:$PWD/.lib${R_LIBS:+:$R_LIBS}
export R_LIBS
results=$PWD/.build/suites
mkdir -p "$results"

if [ -n "${ONLY:-}" ]; then suites=$ONLY
elif [ -n "${ALL:-}" ]; then suites="${long[*]} $short"
else suites="${long[$(($(date +%s) / 86400 % ${#long[@]}))]} $short"
fi

run() {
  local start=$SECONDS status
  rm -f "$results/$1.counts"
  # shellcheck disable=SC2046
  COUNTS=$results/$1.counts timeout 1500 Rscript --no-init-file "tools/suites/${1%%:*}.R" $(tr : ' ' <<<"${1#"${1%%:*}"}") \
    </dev/null >"$results/$1.log" 2>&1
  status=$?
  echo "$status $((SECONDS - start))" >"$results/$1.status"
}

for suite in $suites; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  run "$suite" &
done
wait
for suite in $suites; do
  read -r status seconds <"$results/$suite.status"
  echo "--- $suite: $seconds s"
  grep -E '^(FAILED|waived)' "$results/$suite.log"
  if [ -s "$results/$suite.counts" ]; then
    # shellcheck disable=SC2046
    add $(cat "$results/$suite.counts")
    tail -n 1 "$results/$suite.log"
  else
    tail -n 20 "$results/$suite.log"
    failed "$suite: status $status"
  fi
done
totals
