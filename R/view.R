#' View shared memory as an ordinary R vector
#'
#' Gives an ordinary R vector, matrix or array over the same memory, without a copy, for functions that take no
#' other: `lm.fit()`, `rowSums()`, `which.max()`.
#'
#' @details
#' The view follows what is written into the array. It is read-only by construction: writing to it makes R
#' work on a private copy first. It keeps the memory alive. By [serialize()] and to the processes of a cluster on this machine it travels
#' as the array's handle does, without a copy, and looks into the same memory there; `saveRDS()` and `save()` keep its values, and
#' workers give back its values.
#'
#' Compiled code of R and of other packages takes it that a vector stays as it is during a call. While another process writes the same
#' elements, give such code `x[]`, not a view: what it computes may be anything, and a package's sort may end R. R's own `order()` and
#' `sort()` sort a copy of the view, and [argsort()] stands it.
#'
#' No copy is made for `f8`, `i4`, `c16` and `raw`. The other numeric dtypes and `b1` are converted on access; the
#' first function that asks for the vector's address (most compiled code does) gets a full copy, which the view holds
#' and shows from then on. `S<n>` is copied in full at the first access to an element. An `i8` is seen as double.
#'
#' @param x a shared array.
#' @param from,to numbers: first and last element, from 1 to `length(x)`. Left out: all of `x`, with its dims, names and
#'   class; else a plain vector with its names and class. `to = from - 1` gives length 0.
#' @return An ordinary R vector. Positions out of bounds raise `sharedmem_index_error`.
#' @source NumPy arrays in the Python package `sharedmem` are views themselves; ALTREP in R.
#' @examples
#' x <- empty(c(4, 2))
#' x[] <- 1:8
#' rowSums(shared_view(x))
#' v <- shared_view(x, 2, 4)
#' x[2] <- 20
#' v
#' @export
shared_view <- function(x, from = 1, to = length(x)) {
  if (!is_shared(x)) abort_argument("x", describe_value(x), "a shared array")
  if (missing(from) && missing(to)) return(.Call(ffi_view_new, x, 0, NULL))
  n <- length(x)
  check_bound(from, "from", 1, n + 1, n)
  check_bound(to, "to", from - 1, n, n)
  .Call(ffi_view_new, x, from - 1, to - from + 1)
}

# Called from C: the frame of order() or the like if it is the one that asks for a view's values.
sorting_frame <- function(unused) {
  n <- sys.nframe() - 1L
  if (n == 0L) return()
  f <- sys.function(n)
  if (identical(f, base::order) || identical(f, base::sort.list) || identical(f, base::sort.int)) sys.frame(n)
}

subset_range <- function(nm, from, n) nm[seq.int(from + 1, length.out = n)]
