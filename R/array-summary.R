# Summaries of the values.

#' Summaries of shared arrays
#'
#' These work on a shared array as on the R vector with the same values. R looks at the first argument alone: write
#' `max(x, 1)`, not `max(1, x)`.
#'
#' @param x,object a shared array.
#' @param ... further arguments: for the Summary group (`sum`, `prod`, `max`, `min`, `range`, `any`, `all`) further
#'   values, else those of the function for ordinary vectors.
#' @param na.rm logical: leave out NA and NaN.
#' @param recursive ignored, as for any atomic vector.
#' @return What the function gives for the ordinary R vector with the same values.
#' @source The methods of NumPy arrays in the Python package `sharedmem`.
#' @examples
#' x <- empty(4)
#' x[] <- c(3, 1, 4, 1)
#' sum(x)
#' range(x)
#' median(x)
#' @name shared_array-summary
NULL

#' @rdname shared_array-summary
#' @export
Summary.shared_array <- function(..., na.rm = FALSE) {
  if (...length() == 1L) {
    value <- kernel_summary(.Generic, ..1, na.rm)
    if (!is.null(value)) return(value)
    x <- if (.Generic == "range") plain(..1) else plain_view(..1)
    return(switch(.Generic, # so that errors speak of sum(x)
      sum = sum(x, na.rm = na.rm), prod = prod(x, na.rm = na.rm), max = max(x, na.rm = na.rm), min = min(x, na.rm = na.rm),
      range = range(x, na.rm = na.rm), any = any(x, na.rm = na.rm), all = all(x, na.rm = na.rm)))
  }
  values <- lapply(list(...), plain)
  args <- lapply(seq_along(values), function(k) call("[[", quote(values), k)) # so that errors speak of sum(values[[1L]])
  names(args) <- names(values)
  eval(as.call(c(as.name(.Generic), args, na.rm = na.rm)))
}

#' @rdname shared_array-summary
#' @export
mean.shared_array <- function(x, ...) {
  plainly <- function(x, trim = 0, na.rm = FALSE, ...) if (identical(trim, 0)) kernel_summary("mean", x, na.rm) # as mean.default() has them
  value <- plainly(x, ...)
  if (is.null(value)) mean(plain_view(x), ...) else value
}

#' @rdname shared_array-summary
#' @importFrom stats median
#' @export
median.shared_array <- function(x, na.rm = FALSE, ...) stats::median(plain(x), na.rm = na.rm, ...)

#' @rdname shared_array-summary
#' @importFrom stats quantile
#' @export
quantile.shared_array <- function(x, ...) stats::quantile(plain(x), ...)

#' @rdname shared_array-summary
#' @export
summary.shared_array <- function(object, ...) summary(plain(object), ...)

test_values <- function(test, x) {
  value <- .Call(ffi_index_by_stretches, test, list(x))
  if (is.null(value)) get(test, envir = baseenv(), mode = "function")(plain(x)) else value
}

#' @rdname shared_array-summary
#' @export
is.na.shared_array <- function(x) {
  refuse_as_bytes(sys.nframe())
  test_values("is.na", x)
}

#' @rdname shared_array-summary
#' @export
anyNA.shared_array <- function(x, recursive = FALSE) {
  n <- length(x)
  if (n <= 2^20) return(anyNA(plain(x)))
  for (from in seq(0, n - 1, by = 2^20))
    if (anyNA(.Call(ffi_view_new, x, from, min(2^20, n - from)))) return(TRUE)
  FALSE
}

#' @rdname shared_array-summary
#' @export
is.nan.shared_array <- function(x) test_values("is.nan", x)

#' @rdname shared_array-summary
#' @export
is.finite.shared_array <- function(x) test_values("is.finite", x)

#' @rdname shared_array-summary
#' @export
is.infinite.shared_array <- function(x) test_values("is.infinite", x)

#' @rdname shared_array-summary
#' @export
is.numeric.shared_array <- function(x) {
  go_on_with_values(x, sys.call(), sys.nframe())
  code <- dtype_code(x)
  cls <- array_meta(x)$class
  !(code %in% c("b1", "c16", "raw") || startsWith(code, "S")) &&
    !any(c("factor", "Date", "POSIXct", "difftime") %in% cls)
}
