#!/bin/bash
# The site, into .site, by package pkgdown, which is installed into .site-lib; building asks nothing of the network. Then
# tools/site-links.R looks for links that lead nowhere; with `shots` Chromium takes pictures of pages at 400 and 1400 pixels, light and
# dark, into .build/shots.
#
#   tools/site.sh [shots]
set -u
cd "$(dirname "$0")/.." || exit 2
top=$PWD
lib=$top/.site-lib
mkdir -p "$lib" .build
R_LIBS=$lib:$top/.lib${R_LIBS:+:$R_LIBS}
export R_LIBS
Rscript --vanilla -e 'quit(status = !(requireNamespace("pkgdown", quietly = TRUE) && packageVersion("pkgdown") >= "2.1"))' ||
  SM_LIB=$lib Rscript -e '
    if (identical(getOption("repos")[["CRAN"]], "@CRAN@")) chooseCRANmirror(graphics = FALSE, ind = 1, local.only = TRUE)
    install.packages(c("pkgdown", "evaluate"), lib = Sys.getenv("SM_LIB"), quiet = TRUE, Ncpus = 2)' ||
  { echo "site: pkgdown cannot be installed" >&2; exit 1; }

# pkgdown takes the scripts of its pages from a host that may be out of reach; npm has the same files. The one that npm has not, which lists
# the headings of a page, has a small one of ours in its place.
export R_USER_CACHE_DIR=$lib/cache
scripts() { # NAME VERSION PACKAGE FILE...
  local dir=$R_USER_CACHE_DIR/R/pkgdown/$1/$2 package=$3 archive
  shift 3
  [ -e "$dir/$1" ] && return
  mkdir -p "$dir"
  archive=$(cd "$dir" && npm pack --silent "$package" 2>/dev/null) || return 0
  for file in "$@"; do tar -xzOf "$dir/$archive" "package/dist/$file" >"$dir/$file"; done
  rm -f "$dir/$archive"
}
if command -v npm >/dev/null; then
  scripts headroom 0.11.0 headroom.js@0.11.0 headroom.min.js jQuery.headroom.min.js
  scripts clipboard.js 2.0.11 clipboard@2.0.11 clipboard.min.js
  scripts search 1.0.0 fuse.js@6.4.6 fuse.min.js
  scripts search 1.0.0 autocomplete.js@0.38.0 autocomplete.jquery.min.js
  scripts search 1.0.0 mark.js@8.11.1 mark.min.js
  mkdir -p "$R_USER_CACHE_DIR/R/pkgdown/bootstrap-toc/1.0.1"
  cp tools/site-toc.js "$R_USER_CACHE_DIR/R/pkgdown/bootstrap-toc/1.0.1/bootstrap-toc.min.js"
fi

# A copy, in which links that lead to files of the sources lead to pages of the site.
src=$top/.build/site-src
rm -rf "$src" "$top/.site"
mkdir -p "$src/vignettes/articles"
git ls-files -z | grep -zv '^bench/\|^tests/\|^tools/\|^inst/examples/' | tar -c --null -T - | tar -x -C "$src"
article() {
  { printf -- '---\ntitle: "%s"\n---\n\n' "$2"; sed '1d' "$1"; } >"$src/vignettes/articles/$3.Rmd"
}
article bench/RESULTS.md "Beside other packages" benchmarks
article bench/RELIABILITY.md "After kills and interrupts" reliability
article ARCHITECTURE.md "Architecture" architecture
article CONTRIBUTING.md "Contributing" contributing
cp -r bench/figures "$src/vignettes/articles/"
for f in "$src"/README.md "$src"/vignettes/articles/*.Rmd "$src"/vignettes/*.Rmd; do
  # shellcheck disable=SC2016
  sed -i -E 's#https://sharedmem.example/articles/#ARTICLES/#g; s#\]\((\.\./)?bench/RESULTS.md#](ARTICLES/benchmarks.html#g;
    s#\]\((\.\./)?bench/RELIABILITY.md#](ARTICLES/reliability.html#g; s#\]\(ARCHITECTURE.md#](ARTICLES/architecture.html#g;
    s#\]\(CONTRIBUTING.md#](ARTICLES/contributing.html#g; s#^(```)\{r\}#\1r#' "$f"
done
sed -i 's#ARTICLES/#articles/#g' "$src/README.md"
sed -i 's#ARTICLES/##g' "$src"/vignettes/articles/*.Rmd "$src"/vignettes/*.Rmd
# pkgdown knows no calls of pool$map() in \\usage
for f in map critical; do
  perl -0pi -e 's/\\usage\{\n(.*?)\n\}\n/my $u = $1; $u =~ s{\\special\{(.*?)\}(?=\n|$)}{$1}g; "\\section{Usage}{\\preformatted{$u}}\n"/se' "$src/man/$f.Rd"
done
rm -f "$src"/ARCHITECTURE.md "$src"/CONTRIBUTING.md "$src"/cran-comments.md
Rscript --vanilla -e '
  options(pkgdown.internet = FALSE, cli.num_colors = 1L)
  # these ask the network, whatever the option says
  for (f in c("cran_link", "pkg_timeline")) utils::assignInNamespace(f, function(...) NULL, "pkgdown")
  utils::assignInNamespace("CRAN_urls", function() data.frame(Package = character(), URL = character()), "downlit")
  pkgdown::build_site(commandArgs(TRUE)[1L], override = list(destination = commandArgs(TRUE)[2L]), preview = FALSE, install = FALSE,
                      new_process = FALSE)' "$src" "$top/.site" >.build/site.log 2>&1 ||
  { tail -n 30 .build/site.log; echo "site: pkgdown fails (.build/site.log)" >&2; exit 1; }
Rscript --vanilla tools/site-links.R .site || exit 1
[ "${1:-}" != shots ] || Rscript --vanilla tools/site-shots.R .site .build/shots
