#!/bin/sh
# Prints pkgdown/cheatsheet.html to pkgdown/assets/cheatsheet.pdf, one page, by Chromium.
set -u
cd "$(dirname "$0")/.." || exit 2
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { echo "there is no Chromium here" >&2; exit 1; }
profile=$(mktemp -d)
"$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$profile" --no-pdf-header-footer --print-to-pdf="$PWD/pkgdown/assets/cheatsheet.pdf" \
  "file://$PWD/pkgdown/cheatsheet.html" >/dev/null 2>&1
rm -rf "$profile"
pages=$(qpdf --show-npages pkgdown/assets/cheatsheet.pdf 2>/dev/null)
echo "pkgdown/assets/cheatsheet.pdf: ${pages:-?} page(s), $(wc -c <pkgdown/assets/cheatsheet.pdf) bytes"
[ "${pages:-1}" = 1 ]
