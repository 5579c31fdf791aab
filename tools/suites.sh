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
turn=$(of_the_day future-scripts:future.apply future-scripts:doFuture furrr r-parallel dependents:1 dependents:2 dependents:3 \
  dependents:4 daemons:mirai daemons:purrr daemons:tune daemons:crew)
R_LIBS=$PWD/.suites-lib:$PWD/.lib${R_LIBS:+:$R_LIBS}
export R_LIBS
results=$PWD/.build/suites
mkdir -p "$results"

if [ -n "${ONLY:-}" ]; then suites=$ONLY
elif [ -n "${ALL:-}" ]; then suites="future-scripts furrr r-parallel dependents daemons:mirai daemons:purrr daemons:tune daemons:crew $short"
else suites="$turn $short"
fi

run() {
  local start=$SECONDS script=${1%%:*} out=$results/${1//:/-} status
  rm -f "$out.counts"
  # shellcheck disable=SC2046
  COUNTS=$out.counts timeout 3000 Rscript --no-init-file "tools/suites/$script.R" $(tr : ' ' <<<"${1#"$script"}") \
    </dev/null >"$out.log" 2>&1
  status=$?
  echo "$status $((SECONDS - start))" >"$out.status"
}

for suite in $suites; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  run "$suite" &
done
wait
for suite in $suites; do
  out=$results/${suite//:/-}
  read -r status seconds <"$out.status"
  echo "--- $suite: $seconds s"
  grep -E '^(FAILED|waived)' "$out.log"
  if [ -s "$out.counts" ]; then
    # shellcheck disable=SC2046
    add $(cat "$out.counts")
    tail -n 1 "$out.log"
  else
    tail -n 20 "$out.log"
    failed "$suite: status $status"
  fi
done
totals
