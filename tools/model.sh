#!/usr/bin/env bash
# Checks the models of tools/model/ with spin: every order of steps of a few processes, a death between any two of them.
#
#   tools/model.sh [full|quick] [REGEX of the cases' names]
#
# A case passes where its model holds ("holds"), or where the fault that is built into it is found ("found"), which shows that the
# model can fail. quick: the cases that take seconds. Two cases at a time, each within 4 GB and LIMIT seconds.
# bits: states are kept as bits of a hash, and the search, in a random order, ends after its time: it shows that
# a fault was not met, not that there is none. With REPORT=1 the table goes into bench/RELIABILITY.md.
# Last line: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
mode=${1:-full}
only=${2:-.}
LIMIT=${LIMIT:-600}
dir=$PWD/.build/model
if ! command -v spin >/dev/null; then
  skipped "models: there is no spin here"
  totals
  exit 0
fi
mkdir -p "$dir"
rm -rf "${dir:?}"/*

# name | when | file | search | what is expected | numbers and mutation
cases() {
  cat <<'END'
queue             | quick | queue | exact | holds | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER
queue-late        | full  | queue | exact | holds | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=1 -DEAGER
queue-ring        | full  | queue | exact | holds | -DW=2 -DN=2 -DDEATHS=1 -DTIMEOUTS=1
queue-ordered     | full  | queue | exact | holds | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=1 -DEAGER -DORDERED
queue-two-deaths  | full  | queue | exact | holds | -DW=2 -DN=2 -DDEATHS=2 -DTIMEOUTS=1 -DEAGER -DORDERED
queue-batches     | quick | queue | exact | holds | -DW=2 -DN=2 -DDEATHS=1 -DTIMEOUTS=0 -DSTOP
queue-three       | full  | queue | exact | holds | -DW=3 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER
queue-three-late  | full  | queue | exact | holds | -DW=3 -DN=3 -DDEATHS=0 -DTIMEOUTS=1 -DEAGER
queue-three-die   | full  | queue | exact | holds | -DW=3 -DN=2 -DDEATHS=2 -DTIMEOUTS=0 -DEAGER
queue-all         | full  | queue | bits  | holds | -DW=3 -DN=4 -DDEATHS=2 -DTIMEOUTS=1 -DEAGER
queue-all-ordered | full  | queue | bits  | holds | -DW=3 -DN=4 -DDEATHS=2 -DTIMEOUTS=1 -DEAGER -DORDERED
queue-ends        | quick | queue | live  | holds | -DW=2 -DN=2 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER
arena             | full  | arena | exact | holds | -DFORKS=2 -DLIVES=3
arena-small       | quick | arena | exact | holds | -DFORKS=1 -DLIVES=2
arena-ends        | quick | arena | live  | holds | -DFORKS=1 -DLIVES=2
leave-torn        | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER -DM_LEAVE_TORN
publish-late      | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DM_PUBLISH_LATE
unchecked         | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER -DM_UNCHECKED
peek-first        | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DM_PEEK_FIRST
peek-then-closed  | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=0 -DTIMEOUTS=0 -DM_PEEK_BEFORE_CLOSED
no-journal        | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER -DM_NO_JOURNAL
journal-late      | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER -DM_NO_BEGIN
journal-torn      | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=2 -DTIMEOUTS=0 -DEAGER -DM_SLOT_FIRST
not-emptied       | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER -DM_NOT_EMPTIED
parked-forgotten  | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DRETRIES=0 -DEAGER -DM_FORGET_PARKED
not-doomed        | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=0 -DTIMEOUTS=1 -DEAGER -DM_NOT_DOOMED
turn-not-moved    | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DEAGER -DORDERED -DM_OWN_TURN
turn-not-passed   | quick | queue | exact | found | -DW=2 -DN=3 -DDEATHS=1 -DTIMEOUTS=0 -DRETRIES=0 -DEAGER -DORDERED -DM_NOT_PASSED
theft-stale       | quick | queue | live  | found | -DW=2 -DN=3 -DDEATHS=0 -DTIMEOUTS=0 -DEAGER -DM_STALE_WORD
arena-grandchild  | quick | arena | exact | found | -DFORKS=1 -DLIVES=2 -DM_CHILD_ONLY
arena-no-lock     | quick | arena | exact | found | -DFORKS=1 -DLIVES=2 -DM_NO_PIN
arena-one-look    | quick | arena | exact | found | -DFORKS=1 -DLIVES=2 -DM_NO_SECOND_LOOK
arena-no-forks    | quick | arena | exact | found | -DFORKS=1 -DLIVES=2 -DM_NO_WINDOW
arena-window      | quick | arena | exact | found | -DFORKS=1 -DLIVES=2 -DM_DEATH_SHORT
arena-no-hold     | quick | arena | exact | found | -DFORKS=1 -DLIVES=2 -DM_NO_HOLD
END
}

# one NAME FILE SEARCH EXPECTED NUMBERS: writes `verdict name search states depth seconds` to $dir/NAME.row
one() {
  local name=$1 file=$2 search=$3 expected=$4 numbers=$5 compile run verdict=failed start=$SECONDS level=-O0
  mkdir -p "$dir/$name" && cd "$dir/$name" || return
  cp "$TOP/tools/model/$file.pml" .
  # compiling takes longer than most searches
  [ $mode = full ] && [ "$expected" = holds ] && level=-O2
  case $search in
    exact) compile="-DSAFETY -DCOLLAPSE" run="-m1000000" ;;
    live) compile="-DCOLLAPSE -DNFAIR=3" run="-a -f -m1000000" numbers="$numbers -DENDS" ;;
    bits) compile="-DSAFETY -DBITSTATE -DT_RAND -DP_RAND" run="-m1000000 -w33 -RS$RANDOM" ;;
  esac
  # shellcheck disable=SC2086
  spin -a $numbers "$file.pml" >spin.log 2>&1 && "${CC:-cc}" -w $level $compile -DMEMLIM=4000 -o pan pan.c 2>>spin.log &&
    timeout -k 5 $((LIMIT + 60)) ./pan $run -Q$(((LIMIT + 59) / 60)) >pan.log 2>&1
  local errors states depth
  errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.log 2>/dev/null)
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log 2>/dev/null | tail -n 1)
  depth=$(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' pan.log 2>/dev/null)
  if [ -n "$errors" ] && ! grep -Eq 'reached -DMEMLIM|max search depth too small|VECTORSZ' pan.log; then
    case $expected in
      holds) [ "$errors" = 0 ] && { [ $search = bits ] || ! grep -q 'Search not completed' pan.log; } && verdict=passed ;;
      found) [ "$errors" -gt 0 ] && grep -Eq 'assertion violated|invalid end state|acceptance cycle' pan.log && verdict=passed ;;
    esac
  fi
  echo "$verdict $name $expected $search ${states:--} ${depth:--} $((SECONDS - start))" >"$dir/$name.row"
  if [ $verdict = failed ]; then
    { cat spin.log pan.log | head -n 30; [ ! -e "$file.pml.trail" ] || spin -t -p $numbers "$file.pml" | tail -n 60; } >"$dir/$name.why" 2>&1
  fi
}
export -f one
export TOP=$PWD LIMIT dir mode

list=$(cases | tr -s ' ' | sed 's/ | /|/g' | grep -E "^[^|]*($only)[^|]*\|" | { [ "$mode" = quick ] && grep '|quick|' || cat; })
echo "$list" | while IFS='|' read -r name _ file search expected numbers; do
  printf '%s\0%s\0%s\0%s\0%s\0' "$name" "$file" "$search" "$expected" "$numbers"
done | xargs -0 -n 5 -P 2 bash -c 'one "$@"' _
printf '%-8s %-18s %-6s %-6s %12s %7s %4s\n' "" case expect search states depth s
while IFS='|' read -r name _; do
  read -r verdict row <"$dir/$name.row" || verdict=failed row=$name
  # shellcheck disable=SC2086
  line=$(printf '%-18s %-6s %-6s %12s %7s %4s' $row)
  "$verdict" "$line"
  [ ! -e "$dir/$name.why" ] || sed 's/^/        | /' "$dir/$name.why"
  echo "$verdict $row $(sed -n "s/^$name  *|.*| *//p" <<<"$(cases)")" >>"$dir/rows"
done <<<"$list"
[ -z "${REPORT:-}" ] || Rscript tools/model-report.R "$dir/rows"
totals
