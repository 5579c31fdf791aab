#!/usr/bin/env bash
# The current R: a root of Debian unstable, made by debootstrap from the mirror that this machine's apt uses, in which
# the suite and R CMD check run on a copy of this checkout.
#
#   tools/current.sh            the tests of R/ and of the core, and R CMD check (ONLY=regex: those test files alone)
#   tools/current.sh check      the tests of the core and R CMD check alone
#   tools/current.sh root       makes the root where there is none, and brings an old one up to date
#   tools/current.sh run CMD... copies the checkout into the root, installs it there, and runs CMD in the copy
#
# RELEASE: another release of Debian, whose R is older (trixie: R 4.5).
# The root is kept in SHAREDMEM_ROOT (/var/cache/sharedmem-current, or -trixie) for the next run; it is made anew where it is damaged.
# What runs in it lives in namespaces of its own, so its processes and its mounts end with this script, however that ends.
# Where no root can be made (no debootstrap, no mirror), the script counts as skipped. Last line: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 2
. tools/counts.sh
release=${RELEASE:-unstable}
root=${SHAREDMEM_ROOT:-/var/cache/sharedmem-${RELEASE:-current}}
copy=/checkout/$(basename "$PWD")
packages="r-base-dev ca-certificates make procps git pandoc tidy qpdf python3-numpy libpython3-dev r-cran-testthat"
# the packages of Suggests; tests that need one which Debian has not are skipped
suggests=$(sed -n '/^Suggests:/,/^[^ ]/p' DESCRIPTION | sed 's/^Suggests://; s/([^)]*)//g; /^[A-Z].*:/d' | tr ',\n' '  ')
wanted=$(for p in $suggests; do echo "r-cran-$p"; done | tr '[:upper:]\n' '[:lower:] ')
max_age_days=14

need() {
  [ "$(id -u)" = 0 ] || { echo "only root can make a root"; return 1; }
  command -v unshare >/dev/null || { echo "there is no unshare"; return 1; }
  [ -e "$root/.complete" ] && return 0
  command -v debootstrap >/dev/null || apt-get -qq -y -o DPkg::Lock::Timeout=300 install debootstrap >/dev/null 2>&1
  command -v debootstrap >/dev/null || { echo "there is no debootstrap"; return 1; }
}

# inside COMMAND: in the root, as process 1's child of a new pid namespace (so that orphans are reaped and all end together)
inside() {
  # shellcheck disable=SC2016
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private sh -c '
    root=$1; shift
    mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" && mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" &&
      mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx" && mount -t tmpfs -o mode=1777 shm "$root/dev/shm" || exit 125
    mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null
    chroot "$root" /usr/bin/env -u R_HOME -u R_LIBS -u ONLY -u COUNTS -u RELEASE -u LD_PRELOAD \
      HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
    exit $?' sh "$root" "$@"
}

apt_inside() { inside env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" </dev/null; }

# What the tests and R CMD check need and the root lacks.
install_packages() {
  local known
  inside apt-get -qq update </dev/null || return 1
  # shellcheck disable=SC2086
  known=$(inside apt-cache --generate pkgnames | grep -Fx -e "$(echo $wanted | tr ' ' '\n')" | tr '\n' ' ')
  # shellcheck disable=SC2086
  apt_inside install $packages $known
}

# The mirror of Debian's main component that apt uses on this machine.
mirror() {
  apt-get indextargets --format '$(SITE) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null |
    awk '!/security/ { print $2; exit }'
}

make_root() {
  local from
  from=$(mirror)
  [ -n "$from" ] || { apt-get -qq update >/dev/null 2>&1; from=$(mirror); }
  [ -n "$from" ] || { echo "apt names no mirror of Debian"; return 1; }
  echo "current: making a root of Debian $release in $root"
  rm -rf "$root.new" && mkdir -p "$root.new/etc/dpkg/dpkg.cfg.d" || return 1
  # a root that is not whole is made anew, so dpkg need not wait for the disk; nobody reads its pages
  printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' \
    >"$root.new/etc/dpkg/dpkg.cfg.d/machine"
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
    debootstrap --variant=minbase "$release" "$root.new" "$from" >.build/debootstrap.log 2>&1 ||
    { tail -n 3 .build/debootstrap.log; return 1; }
  # apt's and R's settings and the certificates are this machine's
  apt-config dump | grep '^Acquire::' >"$root.new/etc/apt/apt.conf.d/00machine"
  echo 'APT::Install-Recommends "false";' >>"$root.new/etc/apt/apt.conf.d/00machine"
  cp /etc/resolv.conf /etc/hosts "$root.new/etc/"
  rm -rf "$root" && mv "$root.new" "$root" || return 1
  install_packages >.build/current-install.log 2>&1 || { tail -n 3 .build/current-install.log; return 1; }
  settle
}

settle() {
  local site
  mkdir -p "$root/etc/ssl/certs" "$root/usr/local/share/ca-certificates"
  cp -a /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null
  inside update-ca-certificates >/dev/null 2>&1
  site=$(R RHOME 2>/dev/null)/etc/Rprofile.site
  [ ! -e "$site" ] || cp -L "$site" "$root/etc/R/Rprofile.site"
  whole || { echo "current: R does not start in the new root"; return 1; }
  echo "$packages $wanted" >"$root/.complete"
}

# Does R start in the root, with testthat?
whole() {
  [ -x "$root/usr/bin/R" ] && inside Rscript --vanilla -e 'stopifnot(requireNamespace("testthat"))' >/dev/null 2>&1
}

ready() {
  mkdir -p .build "$(dirname "$root")"
  exec 8>"$root.lock"
  flock 8
  if [ -e "$root/.complete" ] && whole; then
    if [ -n "$(find "$root/.complete" -mtime +$max_age_days)" ]; then
      echo "current: bringing $root up to date"
      if install_packages >.build/current-install.log 2>&1 && apt_inside dist-upgrade >>.build/current-install.log 2>&1 && settle; then
        flock -u 8
        return 0
      fi
    elif [ "$(cat "$root/.complete")" = "$packages $wanted" ] ||
      { install_packages >.build/current-install.log 2>&1 && settle; }; then
      flock -u 8
      return 0
    fi
  fi
  make_root
  local status=$?
  flock -u 8
  return $status
}

# The checkout as it stands, without what was built; what was built in the copy before stays there.
copy_checkout() {
  mkdir -p "$root$copy"
  find "$root$copy" -mindepth 1 -maxdepth 1 ! -name .lib ! -name .build -exec rm -rf {} +
  tar -c --exclude=./.git --exclude=./.lib --exclude=./.build --exclude=./.demo-lib --exclude='*.o' --exclude='*.so' . |
    tar -x -C "$root$copy"
}

in_copy() { inside sh -c 'cd "$1" || exit 2; shift; R_LIBS=$PWD/.lib; export R_LIBS; "$@"; exit $?' sh "$copy" "$@"; }

# count NAME LOG COMMAND...: the command's closing line is added to the counts
count() {
  local name=$1 log=$2 status line
  shift 2
  in_copy "$@" >"$log" 2>&1 </dev/null
  status=$?
  line=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
  sed "s/^/  /" "$log"
  # shellcheck disable=SC2086
  if [ -n "$line" ]; then add $line; else failed "$name on the current R: no result (status $status)"; fi
}

why=$(need) || { skipped "the current R: $why"; totals; exit; }
mode=${1:-all}
case $mode in
  root) ready; exit ;;
  run)
    shift
    ready >&2 && copy_checkout && in_copy make -s install >&2 || exit 2
    in_copy "$@"
    exit ;;
  all | check) ;;
  *) echo "usage: tools/current.sh [check | root | run COMMAND...]" >&2; exit 2 ;;
esac

ready || { skipped "the current R: its root cannot be made here"; totals; exit; }
copy_checkout
inside Rscript --version
in_copy make -s install </dev/null || { failed "the package does not install on the current R"; totals; exit 1; }
[ $mode = check ] || count "the suite" .build/current-test.log env ONLY="${ONLY:-}" tools/test.sh
[ $mode = all ] || count "the tests of the core" .build/current-native.log tools/native.sh plain
[ -n "${ONLY:-}" ] || count "R CMD check" .build/current-check.log tools/check.sh --no-tests
totals
