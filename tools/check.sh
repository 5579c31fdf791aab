#!/bin/sh
# R CMD build with the vignette, then R CMD check --as-cran. One check: passes with no error, no
# warning, and no note but "New submission". Arguments go to R CMD check.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
rm -rf .build/check
mkdir -p .build/check
top=$PWD
cd .build/check || exit 2
R CMD build "$top" >build.log 2>&1 || { cat build.log; failed "R CMD build"; totals; exit 1; }
# The clock and the web are not there on every machine; the tarball is not on CRAN yet. Where a package of Suggests is missing, R asks
# CRAN's table of packages whether it is orphaned: an empty table stands for it.
mkdir -p web/packages
Rscript --vanilla -e 'saveRDS(data.frame(Package = character(), Maintainer = character()), "web/packages/packages.rds")'
mkdir -p web/web && ln -sfn ../packages web/web/packages
R_CRAN_WEB=file://$PWD/web
export R_CRAN_WEB
# Examples take under a second or two each; elapsed time is that of a machine which others use too.
_R_CHECK_EXAMPLE_TIMING_THRESHOLD_=15 _R_CHECK_SYSTEM_CLOCK_=FALSE _R_CHECK_CRAN_INCOMING_REMOTE_=FALSE _R_CHECK_FORCE_SUGGESTS_=FALSE \
  _R_CHECK_THINGS_IN_OTHER_DIRS_=TRUE _R_CHECK_THINGS_IN_TEMP_DIR_=TRUE _R_CHECK_CONNECTIONS_LEFT_OPEN_=TRUE _R_CHECK_LIMIT_CORES_=TRUE \
  R CMD check --as-cran --no-manual "$@" sharedmem_*.tar.gz >check.log 2>&1
status=$?
bad=$(grep -E '\.\.\.( \[[^]]*\])? (ERROR|WARNING|NOTE)$' check.log | grep -v '^\* checking CRAN incoming feasibility')
# That a package of Suggests cannot be had on this machine is no fault of the package.
[ "$(sed -n '/^\* checking package dependencies/,/^\* checking/p' check.log | sed '1d;$d' | head -n 1)" != 'Packages suggested but not available for checking:' ] ||
  bad=$(echo "$bad" | grep -v '^\* checking package dependencies')
# On a machine that others use too, files of theirs appear meanwhile: ours would have the package's name or R's, or lie in /dev/shm.
sed -n '/^\* checking for new files in some other directories/,/^\*/p' check.log | grep -qE 'sharedmem[^/]*’|Rtmp|/dev/shm' ||
  bad=$(echo "$bad" | grep -v '^\* checking for new files in some other directories')
incoming=$(sed -n '/^\* checking CRAN incoming/,/^\* checking/p' check.log | sed '1d;$d' |
  grep -vE '^(Maintainer:|New submission|)$|^Maintainer: ')
if [ $status -eq 0 ] && [ -z "$bad" ] && [ -z "$incoming" ]; then
  passed "R CMD check --as-cran: $(tail -n 3 check.log | grep '^Status' || echo 'Status: OK')"
else
  grep -vE '\.\.\.( \[[^]]*\])? OK$' check.log
  for f in 00install.out tests/testthat.Rout.fail; do
    [ -e sharedmem.Rcheck/$f ] && { echo "--- $f"; grep -vE '^(gcc|clang|make\[)' sharedmem.Rcheck/$f | tail -n 60; }
  done
  failed "R CMD check --as-cran"
fi
totals
