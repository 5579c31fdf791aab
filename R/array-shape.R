# length, dim, names and what rearranges.

#' @export
length.shared_array <- function(x) .Call(ffi_array_length, x)

#' @exportS3Method base::lengths
lengths.shared_array <- function(x, use.names = TRUE) {
  ones <- rep(1L, length(x))
  dim(ones) <- dim(x)
  if (!use.names) return(ones)
  if (is.null(dim(x))) names(ones) <- names(x) else dimnames(ones) <- dimnames(x)
  ones
}

#' @export
dim.shared_array <- function(x) {
  d <- .Call(ffi_array_dim, x)
  if (length(d) < 2L) set_operand(x, sys.call(), sys.nframe())
  d
}

# A new handle over the same memory, with another shape or other names.
reshape_handle <- function(x, d, meta) {
  if (is.null(d)) {
    vector <- !identical(.Call(ffi_array_about, x)$ndim, 0L)
    .Call(ffi_array_reshape, x, numeric(), vector, meta)
  } else {
    .Call(ffi_array_reshape, x, as.double(d), FALSE, meta)
  }
}

# A list of attributes with one changed, or NULL when none is left.
set_meta <- function(meta, name, value) {
  meta[[name]] <- value
  if (length(meta)) meta
}

#' @export
`dim<-.shared_array` <- function(x, value) {
  if (!is_shared(x)) return(NextMethod())
  meta <- set_meta(set_meta(array_meta(x), "names", NULL), "dimnames", NULL)
  if (is.null(value)) return(.Call(ffi_array_reshape, x, numeric(), TRUE, meta))
  if (!is.numeric(value) || length(value) == 0L || anyNA(value) || any(value < 0) || any(value != trunc(value)))
    abort_argument("dim", describe_value(value), "whole numbers, 0 or more")
  if (prod(value) != length(x))
    abort_argument("dim", sprintf("extents of product %.0f", prod(value)), sprintf("extents of product %.0f", length(x)))
  .Call(ffi_array_reshape, x, as.double(value), FALSE, meta)
}

#' @export
names.shared_array <- function(x) {
  answer <- names_asked(x, sys.nframe())
  if (!is.null(answer)) return(answer)
  meta <- array_meta(x)
  if (!is.null(meta$names)) meta$names
  else if (length(dim(x)) == 1L) meta$dimnames[[1L]]
}

#' @export
`names<-.shared_array` <- function(x, value) {
  if (!is_shared(x)) return(NextMethod())
  if (length(dim(x)) == 1L) {
    dimnames(x) <- if (!is.null(value)) list(value)
    return(x)
  }
  if (!is.null(value)) value <- names(`names<-`(logical(length(x)), value))
  reshape_handle(x, dim(x), set_meta(array_meta(x), "names", value))
}

#' @export
dimnames.shared_array <- function(x) array_meta(x)$dimnames

#' @export
`dimnames<-.shared_array` <- function(x, value) {
  if (!is_shared(x)) return(NextMethod())
  d <- dim(x)
  if (!is.null(value)) {
    if (is.null(d)) abort_argument("dimnames", describe_value(value), "NULL for what is no array")
    value <- if (length(value)) check_dimnames(value, d)
  }
  reshape_handle(x, d, set_meta(array_meta(x), "dimnames", value))
}

# Dimnames as R itself would keep them.
check_dimnames <- function(value, d) {
  if (!is.list(value) || length(value) != length(d))
    abort_argument("dimnames", describe_value(value), sprintf("a list of %d", length(d)))
  for (k in seq_along(value)) {
    v <- value[[k]]
    if (length(v) == 0L) value[k] <- list(NULL)
    else if (length(v) != d[k])
      abort_argument("dimnames", sprintf("%d names for extent %d", length(v), k), sprintf("%.0f", d[k]))
    else value[[k]] <- as.character(v)
  }
  value
}
