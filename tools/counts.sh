# Sourced by the scripts here: counts checks and closes with `N passed, N failed, N skipped`.
# COUNTS, if set, is a file that gets the three numbers too.
n_passed=0 n_failed=0 n_skipped=0
passed() { n_passed=$((n_passed + 1)); echo "ok      $*"; }
failed() { n_failed=$((n_failed + 1)); echo "FAILED  $*"; }
skipped() { n_skipped=$((n_skipped + 1)); echo "skipped $*"; }

# add PASSED FAILED SKIPPED
add() {
  n_passed=$((n_passed + $1)) n_failed=$((n_failed + $2)) n_skipped=$((n_skipped + $3))
}

# of_the_day CHOICE...: one of them, another each day.
of_the_day() {
  shift $(($(date +%s) / 86400 % $#))
  echo "$1"
}

# The closing line; the exit status of the script says whether all is well.
totals() {
  [ -z "${COUNTS:-}" ] || echo "$n_passed $n_failed $n_skipped" >"$COUNTS"
  echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
  [ "$n_failed" -eq 0 ]
}
