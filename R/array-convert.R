# From a shared array to ordinary R objects.

#' Convert shared arrays to ordinary R objects
#'
#' All of these copy the values out of shared memory.
#'
#' @param x a shared array.
#' @param mode string: a vector mode, as in [as.vector()].
#' @param ... further arguments of the function for ordinary vectors; of `c()`: further values.
#' @param row.names,optional,nm as in [as.data.frame()].
#' @return An ordinary R object of the type that the function's name says. A dtype `i8` is read as double, with a
#'   warning if a value past 2^53 loses digits; with bit64 loaded, `as.integer64()` keeps all of them.
#' @examples
#' x <- empty(c(2, 2), "i4")
#' x[] <- 1:4
#' as.double(x)
#' as.data.frame(x)
#' @name shared_array-convert
NULL

#' @rdname shared_array-convert
#' @export
as.vector.shared_array <- function(x, mode = "any") as.vector(shared_values(x), mode)

#' @rdname shared_array-convert
#' @export
as.double.shared_array <- function(x, ...) as.double(values_to_convert(x, sys.nframe()), ...)

#' @rdname shared_array-convert
#' @export
as.integer.shared_array <- function(x, ...) as.integer(values_to_convert(x, sys.nframe()), ...)

#' @rdname shared_array-convert
#' @export
as.logical.shared_array <- function(x, ...) as.logical(values_to_convert(x, sys.nframe()), ...)

#' @rdname shared_array-convert
#' @export
as.complex.shared_array <- function(x, ...) as.complex(values_to_convert(x, sys.nframe()), ...)

#' @rdname shared_array-convert
#' @export
as.raw.shared_array <- function(x) as.raw(values_to_convert(x, sys.nframe()))

# The values for the method in frame k. `mode<-`() would give them the attributes of a handle.
values_to_convert <- function(x, k) {
  refuse_mode(k)
  shared_values(x)
}

refuse_mode <- function(k) {
  for (i in seq_len(min(3L, k - 1L))) if (base::identical(sys.function(k - i), base::`mode<-`))
    abort_class("sharedmem_value_error", paste("the mode of a shared array is that of its dtype, and stays: x[] is an ordinary vector,",
                                               "empty_like(x, dtype) an array of another dtype"))
}

#' @rdname shared_array-convert
#' @export
as.character.shared_array <- function(x, ...) {
  refuse_mode(sys.nframe())
  text <- startsWith(dtype_code(x), "S")
  if (text || "factor" %in% array_meta(x)$class) quote_column(sys.nframe(), x)
  # a function of base R that found no is.character() keeps dims and names of what is
  if (text && tests_text(sys.nframe())) shared_values(x) else as.character(shared_values(x), ...)
}

#' @rdname shared_array-convert
#' @export
as.list.shared_array <- function(x, ...) {
  value <- as.list(shared_values(x), ...)
  if (is.null(names(value)) && startsWith(dtype_code(x), "S") && names_by_values(sys.nframe(), dim(x)))
    names(value) <- as.vector(shared_values(x))
  value
}

# sapply() and vapply() name by the values of a character vector, which they know by is.character() alone. k: the frame that
# they call; d: the extents.
names_by_values <- function(k, d) {
  at <- sys.parents()[k]
  if (called_by(base::lapply, k) && called_by(base::sapply, at)) at <- sys.parents()[at]
  else if (!is.null(d) || !called_by(base::vapply, k)) return(FALSE)
  isTRUE(get("USE.NAMES", envir = sys.frame(at)))
}

#' @rdname shared_array-convert
#' @export
as.matrix.shared_array <- function(x, ...) as.matrix(shared_values(x), ...)

#' @rdname shared_array-convert
#' @export
as.array.shared_array <- function(x, ...) as.array(shared_values(x), ...)

#' @rdname shared_array-convert
#' @export
as.data.frame.shared_array <- function(x, row.names = NULL, optional = FALSE, ..., nm = deparse1(substitute(x))) {
  value <- shared_values(x)
  if (length(dim(value)) == 1L) value <- c(value)
  factors <- is.character(value) && factors_asked(sys.nframe())
  if (factors && length(dim(value)) < 2L) value <- factor(value)
  if (length(dim(value)) < 2L) as.data.frame(value, row.names = row.names, optional = optional, ..., nm = nm)
  else if (factors) as.data.frame(value, row.names = row.names, optional = optional, ..., stringsAsFactors = TRUE)
  else as.data.frame(value, row.names = row.names, optional = optional, ...)
}

# data.frame() hands its stringsAsFactors on to what is.character() alone.
factors_asked <- function(k) isTRUE(caller_frame(k, base::data.frame, 1L)$stringsAsFactors)

#' @rdname shared_array-convert
#' @exportS3Method bit64::as.integer64
as.integer64.shared_array <- function(x, ...) {
  if (dtype_code(x) != "i8") return(bit64::as.integer64(as.vector(shared_values(x)), ...))
  out <- structure(.Call(ffi_index_get_all, x, TRUE, TRUE), class = "integer64")
  if (!"integer64" %in% array_meta(x)$class && any(is.na(out)))
    warn_class("sharedmem_value_warning", "-2^63, which i8 holds, is NA in integer64")
  out
}

#' @rdname shared_array-convert
#' @export
c.shared_array <- function(...) do.call(c, lapply(list(...), plain), quote = TRUE)

#' @rdname shared_array-convert
#' @export
rep.shared_array <- function(x, ...) rep(shared_values(x), ...)

# Not rep.int.shared_array: R CMD check takes that for a method of rep().
#' @rawNamespace S3method(rep.int, shared_array, rep_int_shared)
#' @noRd
rep_int_shared <- function(x, times) rep.int(shared_values(x), times)

#' @rawNamespace S3method(rep_len, shared_array)
#' @noRd
rep_len.shared_array <- function(x, length.out) rep_len(shared_values(x), length.out)

#' @rdname shared_array-convert
#' @export
levels.shared_array <- function(x) {
  go_on_with_values(x, sys.call(), sys.nframe())
  array_meta(x)$levels
}
