# What the compiled kernels share on the R side.

# Below so many elements one thread is always the fastest, and cpu_count() is not asked.
kernel_grain <- 65536

# Threads for n elements: `np` checked, or the processors there are.
kernel_threads <- function(np, n) {
  if (is.null(np)) return(if (n < 2 * kernel_grain) 1L else cpu_count())
  if (!is.numeric(np) || length(np) != 1L || is.na(np) || np < 1 || np != floor(np))
    abort_argument("np", describe_value(np), "NULL or a whole number of at least 1")
  as.integer(min(np, 256))
}

check_flag <- function(x, arg, na = FALSE) {
  if (!is.logical(x) || length(x) != 1L || (is.na(x) && !na))
    abort_argument(arg, describe_value(x), if (na) "TRUE, FALSE or NA" else "TRUE or FALSE")
  x
}

# What the kernels sort and search: bare vectors and shared arrays as they are, other classes by xtfrm().
sortable <- function(x, arg) {
  if (!is.object(x) || is_shared(x) || inherits(x, c("factor", "Date", "POSIXct", "difftime", "integer64", "AsIs"))) {
    if (is.atomic(x) && !is.null(x) || is_shared(x)) return(x)
    abort_argument(arg, describe_value(x), "a vector or a shared array")
  }
  as.vector(xtfrm(x))
}
