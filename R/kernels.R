# What the compiled kernels share on the R side.

# Below so many elements one thread is always the fastest, and cpu_count() is not asked.
kernel_grain <- 65536

# Threads for n elements: `np` checked, or the processors there are; within what this process may use.
kernel_threads <- function(np, n) {
  np <- check_np(np, least = 1L)
  if (n < 2 * kernel_grain) 1L else resolve_np(np)
}

# What the kernels sort and search: bare vectors and shared arrays as they are, other classes by xtfrm().
sortable <- function(x, arg) {
  if (!is.object(x) || is_shared(x) || inherits(x, c("factor", "Date", "POSIXct", "difftime", "integer64", "AsIs"))) {
    if (is.atomic(x) && !is.null(x) || is_shared(x)) return(x)
    abort_argument(arg, describe_value(x), "a vector or a shared array")
  }
  as.vector(xtfrm(x))
}

# ---- what large shared arrays have done on threads; the methods call these and go on where they give NULL ----

kernel_least <- 1e5
kernel_numbers <- c("f8", "f4", "i1", "i2", "i4", "u1", "u2", "u4", "b1")
kernel_summaries <- c("sum", "prod", "min", "max", "range", "any", "all", "mean")
kernel_operators <- c("+", "-", "*", "/", "==", "!=", "<", ">", "<=", ">=")
kernel_functions <- c("sqrt", "exp", "abs", "floor", "ceiling", "trunc", "log", "log2", "log10", "log1p", "expm1",
                      "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "-")

# A shared array of numbers without class, large enough for threads.
is_kernel_array <- function(x) {
  is_shared(x) && length(x) >= kernel_least && dtype_code(x) %in% kernel_numbers && is.null(array_meta(x)$class)
}

# sum(x) and so on, or NULL where R is to do it.
kernel_summary <- function(generic, x, na.rm) {
  if (!is_kernel_array(x) || !(isTRUE(na.rm) || isFALSE(na.rm))) return(NULL)
  logical <- dtype_code(x) == "b1"
  if (generic %in% c("any", "all") && !logical) return(NULL)
  .Call(ffi_reduce_run, x, match(generic, kernel_summaries) - 1L, na.rm, kernel_threads(NULL, length(x)))
}

# An operand of threaded arithmetic: bare numbers, with dims at most.
is_kernel_operand <- function(x) {
  if (is_shared(x)) return(dtype_code(x) %in% kernel_numbers && length(array_meta(x)) == 0L)
  (is.numeric(x) || is.logical(x)) && !is.object(x) && all(names(attributes(x)) == "dim")
}

# e1 op e2, or NULL where R is to do it.
kernel_operator <- function(generic, e1, e2) {
  op <- match(generic, kernel_operators)
  n <- c(length(e1), length(e2))
  if (is.na(op) || max(n) < kernel_least || !(n[1L] == n[2L] || min(n) == 1)) return(NULL)
  if (!is_kernel_operand(e1) || !is_kernel_operand(e2)) return(NULL)
  d1 <- dim(e1)
  d2 <- dim(e2)
  if (length(d1) && length(d2) && !identical(as.double(d1), as.double(d2))) return(NULL)
  value <- .Call(ffi_arith_combine, op - 1L, e1, e2, kernel_threads(NULL, max(n)))
  with_dim(value, if (length(d1)) d1 else d2)
}

# A function of the Math group (or "-"), or NULL where R is to do it.
kernel_function <- function(generic, x) {
  fn <- match(generic, kernel_functions)
  if (is.na(fn) || length(x) < kernel_least || !is_kernel_operand(x)) return(NULL)
  if (generic %in% c("floor", "ceiling", "trunc") && !dtype_code(x) %in% c("f8", "f4", "u4")) return(NULL)
  with_dim(.Call(ffi_arith_apply, fn - 1L, x, kernel_threads(NULL, length(x))), dim(x))
}

with_dim <- function(value, d) {
  if (!is.null(value) && length(d)) dim(value) <- d
  value
}
