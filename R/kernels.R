# What the compiled kernels share on the R side.

# Below so many elements one thread is always the fastest, and cpu_count() is not asked.
kernel_grain <- 65536

# Threads for n elements: `np` checked, or the processors there are; within what this process may use.
kernel_threads <- function(np, n) {
  few <- n < 2 * kernel_grain
  if (few && is.null(np)) return(1L)
  np <- check_np(np, least = 1L)
  if (few) 1L else resolve_np(np)
}

# What the kernels sort and search: bare vectors and shared arrays as they are, other classes by xtfrm().
sortable <- function(x, arg) {
  if (is_shared(x)) return(if (.Call(ffi_text_marked, x)) bare_values(x) else x) # text of several encodings
  if (!is.object(x) || inherits(x, c("factor", "Date", "POSIXct", "difftime", "integer64", "AsIs"))) {
    if (is.atomic(x) && !is.null(x)) return(x)
    abort_argument(arg, describe_value(x), "a vector or a shared array")
  }
  as.vector(xtfrm(x))
}

# ---- what large shared arrays have done on threads; the methods call these and go on where they give NULL ----

kernel_least <- 1e5

# True for a dtype whose elements kernels take as they are: not text, complex, raw, nor what a double does not hold.
is_kernel_dtype <- function(code) {
  code %in% names(constants$dtype) && !constants$dtype[[code]] %in% constants$kernel
}

# A shared array of numbers without class, large enough for threads.
is_kernel_array <- function(x) {
  is_shared(x) && .Call(ffi_array_length, x) >= kernel_least && is_kernel_dtype(dtype_code(x)) && is.null(array_meta(x)$class)
}

# sum(x) and so on, or NULL where R is to do it.
kernel_summary <- function(generic, x, na.rm) {
  if (!is_kernel_array(x) || !(isTRUE(na.rm) || isFALSE(na.rm))) return(NULL)
  logical <- dtype_code(x) == "b1"
  if (generic %in% c("any", "all") && !logical) return(NULL)
  .Call(ffi_reduce_run, x, constants$summary[[generic]], na.rm, kernel_threads(NULL, length(x)))
}
