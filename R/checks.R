# Checks of arguments: each raises an argument error that says what came and what was expected.

check_choice <- function(x, choices, arg) {
  if (!is.character(x) || length(x) != 1L || !x %in% choices)
    abort_argument(arg, describe_value(x), paste0("\"", choices, "\"", collapse = " or "))
}

check_flag <- function(x, arg) {
  if (!is.logical(x) || length(x) != 1L || is.na(x))
    abort_argument(arg, describe_value(x), "TRUE or FALSE",
                   advice = if (arg == "seed" && is.numeric(x)) "numbers are fixed by set.seed() before the map")
}

check_path <- function(file) {
  if (!is.character(file) || length(file) != 1L || is.na(file) || !nzchar(file))
    abort_argument("file", describe_value(file), "a path")
}

check_whole <- function(x, arg, least) {
  if (!is.numeric(x) || length(x) != 1L || is.na(x) || x < least || x != floor(x) || x > 2^52)
    abort_argument(arg, describe_value(x), sprintf("a whole number of at least %d", least))
}

check_np <- function(np, arg = "np", least = 0L) {
  if (is.null(np)) return(NULL)
  if (!is.numeric(np) || length(np) != 1L || is.na(np) || np < least || np != floor(np) || np > 1e5)
    abort_argument(arg, describe_value(np), sprintf("NULL or a whole number from %d to 100000", least))
  as.integer(np)
}

check_bound <- function(v, arg, lo, hi, n) {
  if (!is.numeric(v) || length(v) != 1L || is.na(v) || v != trunc(v)) abort_argument(arg, describe_value(v), "a whole number")
  if (v < lo || v > hi)
    abort_index(sprintf("`%s` is %.0f, out of bounds: length %.0f", arg, v, n), 1, v, n, 0L)
}

check_chunk <- function(chunk) {
  if (is.null(chunk)) return(0)
  if (!is.numeric(chunk) || length(chunk) != 1L || is.na(chunk) || chunk < 1 || chunk != floor(chunk) || chunk > 2^53)
    abort_argument("chunk", describe_value(chunk), "NULL or a whole number of at least 1")
  as.double(chunk)
}

# A package of Suggests, in a version that `what` can work with.
need_package <- function(package, what, version = NULL) {
  have <- if (requireNamespace(package, quietly = TRUE)) as.character(utils::packageVersion(package))
  if (!is.null(have) && (is.null(version) || utils::compareVersion(have, version) >= 0)) return(invisible())
  abort_class("sharedmem_package_error",
              sprintf("%s needs package %s%s, %s: install.packages(\"%s\")", what, package,
                      if (is.null(version)) "" else paste0(" (>= ", version, ")"),
                      if (is.null(have)) "which is not installed" else paste("and", have, "is installed"), package),
              package = package, needed = version, installed = have)
}
