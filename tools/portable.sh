#!/bin/bash
# The portable builds: without what Linux has beyond POSIX, one thing after the other and all together (SM_NO_* in src/sm_base.h).
# SUPPORT.md says what each of them guarantees.
#
#   tools/portable.sh native [SWITCH...]   the C core's tests on each switch, on all together, and built as if this were no Linux
#   tools/portable.sh cross [armhf|s390x|musl ...]   32 bit and big-endian under qemu, and musl; what is not installed is skipped
#   tools/portable.sh r SWITCH [REGEX]     R's tests, those that touch what the switches turn off unless REGEX names others
#
# SWITCH: memfd futex pidfd robust pdeathsig vmreadv all. Last line: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
switches="memfd futex pidfd robust pdeathsig vmreadv"
touched='test_(sm|mem|sync|proc|chan|task_queue|task_schedule|kern_turn)' # the layers that a switch changes
what=${1:-native}
[ $# -eq 0 ] || shift

# The compiler's options for a switch.
options() {
  case $1 in
    all) echo -DSM_PORTABLE ;;
    posix) echo "-DSM_PORTABLE -U__linux__ -Wno-unused" ;;
    *) echo "-DSM_NO_$(echo "$1" | tr '[:lower:]' '[:upper:]')" ;;
  esac
}

# run_native NAME COMPILER OPTIONS RUNNER [REGEX]: the native tests built so, counted here.
run_native() {
  local counts=$PWD/.build/counts-portable
  rm -f "$counts"
  COUNTS=$counts NATIVE_NAME=$1 NATIVE_FLAGS=$3 NATIVE_RUN=$4 tools/native.sh plain "$2" "${5:-.}" >".build/portable-$1.log" 2>&1
  grep -Ev '^ok |^[0-9]+ passed' ".build/portable-$1.log"
  if [ ! -s "$counts" ]; then failed "$1: no result"; return; fi
  echo "$1: $(tail -n 1 ".build/portable-$1.log")"
  # shellcheck disable=SC2046
  add $(cat "$counts")
}

# cross NAME COMPILER RUNNER: statically linked. qemu keeps the kernel's list of robust locks from it, and the signal at a parent's death.
cross() {
  local more=${3:+-DUNDER_QEMU -DSM_NO_ROBUST -DSM_NO_PDEATHSIG}
  if ! command -v "$2" >/dev/null; then skipped "$1: there is no $2 here"; return; fi
  if [ -n "$3" ] && ! command -v "$3" >/dev/null; then skipped "$1: there is no $3 here"; return; fi
  # the kernel's headers, which musl-gcc does not look for
  [ "$1" != musl ] || more="-idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"
  run_native "$1" "$2" "-static $more" "$3" "${ONLY:-.}"
}

mkdir -p .build
case $what in
  native)
    # shellcheck disable=SC2048
    for switch in ${*:-$switches all posix}; do run_native "$switch" "${CC:-cc}" "$(options "$switch")" "" "$touched"; done
    ;;
  cross)
    # shellcheck disable=SC2048
    for machine in ${*:-armhf s390x musl}; do
      case $machine in
        armhf) cross armhf arm-linux-gnueabihf-gcc qemu-arm-static ;;
        s390x) cross s390x s390x-linux-gnu-gcc qemu-s390x-static ;;
        musl) cross musl musl-gcc "" ;;
        *) echo "unknown machine: $machine" >&2; exit 2 ;;
      esac
    done
    ;;
  r)
    switch=${1:?SWITCH} lib=$PWD/.build/lib-portable-$1
    only=${2:-'^test-(map|map-results|results|lock|parallel-region|background|array-create|memmap|worker|hostile|limits|deaths|retries|handle)\.R$'}
    mkdir -p "$lib"
    echo "CFLAGS = -g -O2 $(options "$switch")" >.build/Makevars.portable
    MAKE="make -j2" R_MAKEVARS_USER=$PWD/.build/Makevars.portable R CMD INSTALL --no-docs --no-test-load --preclean --clean \
      -l "$lib" .build/sharedmem_*.tar.gz >.build/portable-install.log 2>&1 ||
      { failed "$switch: the package does not build"; cat .build/portable-install.log; totals; exit; }
    rm -f .build/counts-portable-r
    COUNTS=.build/counts-portable-r R_LIBS=$lib${R_LIBS:+:$R_LIBS} Rscript tools/test.R --only="$only"
    if [ -s .build/counts-portable-r ]; then
      # shellcheck disable=SC2046
      add $(cat .build/counts-portable-r)
    else
      failed "$switch: R's tests gave no result"
    fi
    ;;
  *) echo "usage: tools/portable.sh native|cross|r ..." >&2; exit 2 ;;
esac
totals
