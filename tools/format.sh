#!/bin/sh
# Holds the C code against .clang-format (--check prints what differs, status 1), or writes it so.
cd "$(dirname "$0")/.." || exit 2
command -v clang-format >/dev/null || { echo "format: there is no clang-format here" >&2; exit 0; }
if [ "${1:-}" != --check ]; then exec clang-format -i src/*.[ch] tests/*/*.[ch]; fi
clang-format --dry-run -Werror src/*.[ch] tests/*/*.[ch]
