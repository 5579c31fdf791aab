kept_attributes <- c("names", "dim", "dimnames", "class", "levels", "units", "tzone")
kept_classes <- c("factor", "Date", "POSIXct", "difftime", "integer64")

#' Copy values into shared memory
#'
#' `copy()` gives a shared array with the values of `a`: what is read from it with `x[]` is `a` again.
#'
#' Doubles become dtype `f8`, integers `i4`, logicals `b1`, complex numbers `c16`, raw bytes `raw`,
#' `integer64` `i8`, and strings `S<n>` with the length of the longest one in bytes. Names, dim and dimnames are
#' kept, and so are class and attributes of factors, dates, date-times (`POSIXct`), time differences and `integer64`. Any
#' other attribute or class is an error rather than lost: drop it first, with [unclass()] or [as.vector()].
#'
#' Text is kept byte for byte with its [Encoding()]; nothing is translated. A string whose encoding is another than that of the
#' array's other strings is marked by two bytes in front of it, so it needs two more of the `n`. In a UTF-8 session text of
#' unknown encoding counts as UTF-8. Bytes in a file that are no UTF-8 are read as strings of encoding `"bytes"`.
#'
#' @param a an atomic vector, matrix or array, a shared array, or a list or data frame of these.
#' @return For an atomic vector or shared array a new shared array, independent of `a`. For a list or data frame the
#'   same list or data frame, each atomic element of it a shared array and all others (`NULL`, functions, ...)
#'   left as they are. What cannot be shared is an error of class `sharedmem_argument_error`; see [empty()] for memory.
#' @source `copy` of the Python package `sharedmem`.
#' @examples
#' x <- copy(c(a = 1, b = 2))
#' x[]
#' f <- copy(factor(c("low", "high", "low")))
#' f[]
#' d <- copy(data.frame(n = 1:3, s = c("x", "yy", NA)))
#' dtype(d$s)
#' @export
copy <- function(a) {
  if (is_shared(a)) return(.Call(ffi_copy_shared, a))
  if (is.list(a) && !inherits(a, "POSIXlt")) return(copy_list(a))
  if (inherits(a, "numpy.ndarray")) return(shared_from_numpy(a))
  copy_atomic(a)
}

copy_atomic <- function(a) {
  if (inherits(a, "shared_array")) a <- ordinary(a) # it has the class alone
  if (inherits(a, "POSIXlt")) abort_argument("a", "a POSIXlt, which is a list", "a POSIXct", advice = "copy(as.POSIXct(a))")
  if (is.null(a) || !is.atomic(a) || isS4(a))
    abort_argument("a", describe_value(a), "an atomic vector, a shared array, or a list or data frame of these")
  kept <- attributes(a)
  lost <- setdiff(names(kept), kept_attributes)
  if (length(lost)) abort_lost("attribute", lost)
  if (is.object(a) && !inherits(a, kept_classes)) abort_lost("class", class(a)[1L])
  kept$dim <- NULL
  .Call(ffi_copy_atomic, a, kept)
}

copy_list <- function(a) {
  classes <- oldClass(a)
  a <- unclass(a)
  for (i in seq_along(a)) {
    item <- .subset2(a, i)
    if (is_shared(item) || is.list(item) || (is.atomic(item) && !is.null(item))) a[[i]] <- copy(item)
  }
  oldClass(a) <- classes
  a
}

abort_lost <- function(kind, what) {
  abort_argument("a", sprintf("one with %s %s", kind, paste0("'", what, "'", collapse = ", ")),
                 sprintf("without attributes and classes that shared memory does not keep (it keeps %s)",
                         paste(c(setdiff(kept_attributes, "class"), kept_classes), collapse = " ")),
                 advice = sprintf("copy(%s) drops them", if (kind == "class") "unclass(a)" else "as.vector(a)"))
}

#' @rdname copy
#' @details `as_shared()` is `copy()` under a name that no other package has: data.table exports a `copy()` too. [unshare()] is
#'   the way back.
#' @export
as_shared <- function(a) copy(a)
