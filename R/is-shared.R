#' What a shared array is
#'
#' `is_shared()` and `is_shared_array()` tell whether an object is a shared array, `dtype()` gives its element type and
#' `nbytes()` the bytes its elements take. Other packages export an `is_shared()` too.
#'
#' @param x any R object; for `dtype()` and `nbytes()` a shared array or an atomic R vector. Of
#'   an R vector they say what [copy()] of it would have.
#' @return `is_shared()`, `is_shared_array()`: `TRUE` or `FALSE`; a handle that is not attached is a shared array too.
#'   `dtype()`: a string, the NumPy code. `nbytes()`: a number of bytes.
#'   An object without a dtype is an error of class `sharedmem_argument_error`, a handle that is not
#'   attached one of class `sharedmem_unattached_error`.
#' @source `dtype` and `nbytes` of NumPy.
#' @examples
#' x <- empty(10, "i4")
#' is_shared(x)
#' is_shared(1:10)
#' dtype(x)
#' nbytes(x)
#' @export
is_shared <- function(x) .Call(ffi_array_is, x)

#' @rdname is_shared
#' @export
is_shared_array <- is_shared

#' @rdname is_shared
#' @export
dtype <- function(x) {
  if (is_shared(x)) return(.Call(ffi_array_dtype, x))
  if (inherits(x, "integer64")) return("i8")
  switch(typeof(x), double = "f8", integer = "i4", logical = "b1", complex = "c16", raw = "raw",
         character = .Call(ffi_text_dtype, x),
         abort_argument("x", describe_value(x), "a shared array or an atomic vector"))
}

#' @rdname is_shared
#' @export
nbytes <- function(x) {
  if (is_shared(x)) return(.Call(ffi_array_nbytes, x))
  code <- dtype(x)
  size <- if (startsWith(code, "S")) as.double(substring(code, 2L))
          else switch(code, f8 = , i8 = 8, i4 = 4, c16 = 16, 1)
  length(x) * size
}

# Bytes of shared memory that this process holds through its arrays.
shared_bytes <- function() .Call(ffi_array_live)
