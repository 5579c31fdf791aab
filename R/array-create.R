# New shared arrays. Arguments are checked in C (src/r_array.c), so that a small array costs one .Call.

# Called from C when memory cannot be had.
abort_memory <- function(asked, available, reason) {
  text <- sprintf("cannot allocate %s of shared memory: %s", format_bytes(asked), reason)
  if (!is.na(available)) text <- sprintf("%s (%s available)", text, format_bytes(available))
  abort_class("sharedmem_memory_error",
              paste0(text, "; free other arrays and call gc(), or use a smaller shape or dtype"),
              asked = asked, available = available)
}

# Called from C when an argument of any type is refused.
abort_argument_value <- function(arg, value, expected) {
  abort_argument(arg, describe_value(value), expected, advice =
    if (arg == "dtype" && is.numeric(value)) "all extents go into `shape`, as in empty(c(5, 3)) and full(c(5, 3), value)")
}

format_bytes <- function(n) {
  units <- c("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
  k <- if (is.finite(n) && n >= 1024) min(floor(log(n, 1024)), 5) else 0
  sprintf(if (k == 0) "%.0f %s" else "%.4g %s", n / 1024^k, units[k + 1])
}

# Shape, dtype and values of an R object or shared array, as the *_like functions take them.
like_values <- function(array, arg = "array") {
  if (is_shared(array)) return(array)
  if (is.list(array) && !is.data.frame(array)) array <- unlist(array, use.names = FALSE)
  if (!is.atomic(array) || is.null(array))
    abort_argument(arg, describe_value(array), "a shared array, or an R vector, array or list of numbers")
  array
}

like_shape <- function(array) {
  if (is_shared(array)) .Call(ffi_array_shape, array)
  else if (length(dim(array)) > 1L) dim(array)
  else length(array)
}

#' Create shared arrays
#'
#' `empty()` makes a zero-filled array in shared memory and `full()` one filled with `value`;
#' `empty_like()` and `full_like()` take shape and, unless given, dtype from another array.
#' Every process forked afterwards sees the same memory: what one writes, all others read.
#'
#' The memory is reserved when the array is made, so an array that was made can be filled. It
#' returns to the system when the last handle in the last process is garbage collected or that
#' process ends. Arrays of up to 32 KiB are carved out of common segments.
#'
#' @param shape numeric vector: the extents, as in [dim()], each a whole number of at least 0. One number
#'   gives a plain vector of that length; `integer(0)` or `NULL` gives a scalar.
#' @param dtype string: the element type by its NumPy code, one of `"f8"`, `"f4"`, `"i1"`, `"i2"`, `"i4"`, `"i8"`,
#'   `"u1"`, `"u2"`, `"u4"`, `"c16"`, `"b1"`, `"raw"`, `"S<n>"` (strings of up to n bytes); also as NumPy writes it otherwise (`"<f8"`,
#'   `"=i4"`, `"|S5"`, `"float64"`, `"int32"`, `"uint8"`, `"bool"`, `"float"`, and `"int"`, which is `"i8"` there), or an R type
#'   (`"double"`, `"numeric"`, `"integer"`, `"logical"`, `"complex"`, `"raw"`). In the `_like` functions `NULL` takes that of `array`.
#' @param array a shared array, or an R vector, matrix, array or list of numbers.
#' @param value the value or values to fill with, recycled to the length of the array.
#' @param ... nothing: what comes here is an error that says where it belongs.
#' @return A shared array (class `shared_array`). An unusable `shape` or `dtype` is an error of class
#'   `sharedmem_argument_error`; memory that cannot be had one of class `sharedmem_memory_error`
#'   with fields `asked` and `available` (bytes).
#' @source `empty`, `empty_like`, `full` and `full_like` of the Python package `sharedmem`.
#' @seealso [copy()], [memmap()], [is_shared()]
#' @examples
#' x <- empty(c(2, 3))
#' x[1, ] <- 1:3
#' x[]
#' total <- empty(integer(0))   # a scalar
#' total[] <- 0
#' full(4, 2.5)[]
#' dtype(empty_like(1:10))
#' @export
empty <- function(shape, dtype = "f8", ...) {
  if (...length()) check_extents("empty", list(...))
  .Call(ffi_array_new, shape, dtype, 0L)
}

#' @rdname empty
#' @export
empty_like <- function(array, dtype = NULL) {
  array <- like_values(array)
  if (is.null(dtype)) .Call(ffi_array_new, like_shape(array), dtype(array), .Call(ffi_text_encoding, array))
  else empty(like_shape(array), dtype)
}

#' @rdname empty
#' @export
full <- function(shape, value, dtype = "f8", ...) {
  if (...length()) check_extents("full", list(...))
  if (missing(value)) abort_argument("value", "missing", "the value to fill with", advice = "full(c(5, 3), 0); empty() fills with 0")
  fill(empty(shape, dtype), value)
}

#' @rdname empty
#' @export
full_like <- function(array, value, dtype = NULL) fill(empty_like(array, dtype), value)

# Whatever comes in `...` is a mistake, mostly an extent.
check_extents <- function(f, given) {
  name <- names(given)[1L]
  arg <- if (is.null(name) || !nzchar(name)) "..." else name
  abort_argument(arg, describe_value(given[[1L]]), "left out", advice =
    sprintf("all extents go into `shape`, as in %s, the type into `dtype`",
            c(empty = "empty(c(5, 3))", full = "full(c(5, 3), value)")[[f]]))
}

fill <- function(x, value) {
  if (!is_shared(value) && !is.atomic(value) || length(value) == 0L)
    abort_argument("value", describe_value(value), "an atomic vector with at least one element")
  .Call(ffi_array_touch, x)
  x[] <- value
  x
}
