#!/bin/sh
# Installs what the targets of the Makefile need beyond R and its C toolchain, where it is missing.
#
#   tools/setup.sh test     testthat, and the packages of Suggests that some tests use, where they can be had
#   tools/setup.sh check    and what R CMD check and the vignette need
#   tools/setup.sh lint     and roxygen2, lintr, clang with its sanitizers, clang-format
#   tools/setup.sh valgrind, coverage, portable, model   valgrind; llvm-cov; cross compilers, qemu and musl; spin
#   tools/setup.sh bench    and the packages that the benchmarks compare with
#   tools/setup.sh suites   and other packages whose own tests run on our back ends; current versions of future's family go
#                           into .suites-lib
#
# As root where there is apt-get: Debian's packages, which come built. Elsewhere, and for what Debian
# has not: install.packages() into .lib of this checkout. Programs that cannot be installed that way
# are named; what needs them is then skipped and counted as skipped.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
lib=$top/.lib
mkdir -p "$lib"
R_LIBS=$lib${R_LIBS:+:$R_LIBS}
export R_LIBS

debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
  if [ -z "${updated:-}" ]; then
    apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null || return 1
    updated=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    install --no-install-recommends "$@" </dev/null >/dev/null
}

# The R packages among "$@" that are not there, one a line.
missing_packages() {
  Rscript --vanilla -e 'for (p in commandArgs(TRUE)) if (!nzchar(system.file(package = p))) writeLines(p)' "$@"
}

mirror='if (identical(getOption("repos")[["CRAN"]], "@CRAN@")) chooseCRANmirror(graphics = FALSE, ind = 1, local.only = TRUE)
'

# What packages from source need and Debian has built: to build it takes minutes.
apt_dependencies() {
  needed=$(Rscript --vanilla -e "$mirror"'
    needed <- unlist(tools::package_dependencies(commandArgs(TRUE), available.packages(), recursive = TRUE))
    for (p in unique(needed)) if (!nzchar(system.file(package = p))) cat("r-cran-", tolower(p), "\n", sep = "")' "$@" 2>/dev/null)
  built=$([ -z "$needed" ] || apt-cache show $needed 2>/dev/null | sed -n 's/^Package: //p' | sort -u)
  [ -z "$built" ] || apt_install $built 2>/dev/null || :
}

need_packages() {
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  echo "setup: installing R packages:" $missing
  if debian; then
    for p in $missing; do
      name=$(echo "$p" | tr '[:upper:]' '[:lower:]')
      apt_install "r-cran-$name" 2>/dev/null || apt_install "r-bioc-$name" 2>/dev/null || :
    done
    missing=$(missing_packages $missing)
  fi
  if [ -n "$missing" ] && debian; then apt_dependencies $missing; fi
  [ -z "$missing" ] || SM_LIB=$lib Rscript -e "$mirror"'
    install.packages(commandArgs(TRUE), lib = Sys.getenv("SM_LIB"), quiet = TRUE, Ncpus = 2)' $missing
  missing=$(missing_packages "$@")
  [ -z "$missing" ] || { echo "setup: could not install:" $missing >&2; return 1; }
}

# As need_packages, for packages that can be done without: each is tried once in this checkout.
want_packages() {
  for p in "$@"; do
    [ ! -e "$lib/.tried-$p" ] || continue
    need_packages "$p" 2>/dev/null || { echo "setup: going on without $p"; : >"$lib/.tried-$p"; }
  done
}

# need_program PROGRAM PACKAGE...
need_program() {
  command -v "$1" >/dev/null && return 0
  program=$1
  shift
  if debian; then
    echo "setup: installing $*"
    apt_install "$@"
  fi
  command -v "$program" >/dev/null || echo "setup: there is no $program here; what needs it is skipped" >&2
}

# NumPy for a Python of the system's, which is the one that tests and benchmarks ask.
want_numpy() {
  if debian && ! python3 -c 'import numpy' 2>/dev/null && ! /usr/bin/python3 -c 'import numpy' 2>/dev/null; then
    apt_install python3-numpy 2>/dev/null || echo "setup: going on without numpy"
  fi
}

setup_test() {
  need_packages testthat || return 1
  want_numpy
  want_packages $(Rscript --vanilla -e '
    suggests <- gsub("[[:space:]]|[(][^)]*[)]", "", read.dcf(commandArgs(TRUE), "Suggests"))
    cat(setdiff(strsplit(suggests, ",")[[1L]], c("testthat", "knitr", "rmarkdown")))' "$top/DESCRIPTION")
}

setup_check() {
  setup_test && need_packages knitr rmarkdown || return 1
  want_packages spelling
  need_program pandoc pandoc
  need_program tidy tidy
  need_program qpdf qpdf
  if [ "$(id -u)" = 0 ]; then need_program ip iproute2; fi # for tools/hosts.R
}

# The runtime of clang's sanitizers is a package of its own, named after clang's version.
setup_lint() {
  setup_test && need_packages roxygen2 || return 1
  want_packages lintr
  need_program clang clang
  need_program clang-format clang-format
  runtime=$(clang -print-file-name=libclang_rt.asan-$(uname -m).a 2>/dev/null)
  if debian && command -v clang >/dev/null && [ ! -e "$runtime" ]; then
    apt_install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
  fi
  return 0
}

setup_valgrind() { need_program valgrind valgrind libc6-dbg; }

setup_model() { need_program spin spin; }

setup_coverage() { need_program llvm-cov llvm; }

# Cross compilers and emulators of what tools/portable.sh tries.
setup_portable() {
  need_program musl-gcc musl-tools
  need_program arm-linux-gnueabihf-gcc gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
  need_program s390x-linux-gnu-gcc gcc-s390x-linux-gnu libc6-dev-s390x-cross
  need_program qemu-s390x-static qemu-user-static
}

# Peers are optional: each is tried by itself, and the benchmarks name those that are missing.
setup_bench() {
  want_packages future.apply BiocParallel foreach doParallel doMC pbmcapply bettermc mirai mori synchronicity interprocess filelock \
    bigmemory ff shard SharedObject data.table RcppCNPy
  want_numpy
}

# Debian's versions will do, but for package future, whose classes for back ends are younger, and what goes with it.
setup_suites() {
  setup_test || return 1
  want_packages foreach iterators doParallel doMC doRNG RUnit rngtools caret mlbench dplyr plyr glmnet lme4 boot pbapply BiocParallel furrr
  ! debian || want_packages cli crayon prettyunits sessioninfo listenv digest pROC ipred doSNOW metafor mets rsample recipes \
    spatstat.explore timereg robumeta SeuratObject DEoptim
  suites=$top/.suites-lib
  mkdir -p "$suites"
  R_LIBS=$suites:$R_LIBS Rscript -e "$mirror"'
    wanted <- commandArgs(TRUE)[-1L]
    missing <- Filter(function(p) !dir.exists(file.path(commandArgs(TRUE)[1L], p)), wanted)
    if (length(missing)) install.packages(missing, lib = commandArgs(TRUE)[1L], quiet = TRUE, Ncpus = 2, INSTALL_opts = "--no-docs")' \
    "$suites" future future.apply doFuture future.tests progressr mirai purrr carrier
}

for what in "$@"; do
  case $what in
    test | check | lint | bench | suites | valgrind | coverage | portable | model) "setup_$what" || exit 1 ;;
    *) echo "usage: tools/setup.sh test|check|lint|bench|suites|valgrind|coverage|portable|model ..." >&2; exit 2 ;;
  esac
done
