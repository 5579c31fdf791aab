#' Shared arrays as Arrow arrays
#'
#' With nanoarrow, a shared array is an Arrow array over the same memory, without a copy: for every program that takes Arrow data.
#'
#' The elements are those of `x` in memory (of a matrix by column), without names and extents. f8 f4 i1 i2 i4 i8 u1 u2 u4 and raw become
#' Arrow's types of the same width, `S<n>` fixed-size binary of n bytes. The buffer is the shared memory itself: what is written into
#' `x` later shows in the Arrow array, which is against what Arrow readers expect: write before, not after. It keeps the memory
#' alive. Arrow has validity bits of its own, which shared memory has not: i4 and `S<n>` with `NA` among them, b1 (which
#' Arrow packs into bits) and what has a class (factors, dates) go by way of [shared_view()], as R vectors do. Arrow has no complex numbers.
#'
#' @param x a shared array.
#' @param ... not used.
#' @param schema `NULL`; the type follows from the dtype of `x`.
#' @return A `nanoarrow_array`.
#' @examples
#' if (requireNamespace("nanoarrow", quietly = TRUE)) {
#'   x <- empty(4, "f4")
#'   x[] <- 1:4
#'   nanoarrow::as_nanoarrow_array(x)
#' }
#' @exportS3Method nanoarrow::as_nanoarrow_array
as_nanoarrow_array.shared_array <- function(x, ..., schema = NULL) {
  code <- npy_code(dtype(x))
  if (!is.null(schema) || code %in% c("b1", "c16") || (code == "i4" && anyNA(x)) || .Call(ffi_npy_marked, x) > 0 ||
      length(class_attributes(array_meta(x))))
    return(nanoarrow::as_nanoarrow_array(shared_view(x), ..., schema = schema))
  type <- switch(code, f8 = nanoarrow::na_double(), f4 = nanoarrow::na_float(), i1 = nanoarrow::na_int8(), i2 = nanoarrow::na_int16(),
                 i4 = nanoarrow::na_int32(), i8 = nanoarrow::na_int64(), u1 = nanoarrow::na_uint8(), u2 = nanoarrow::na_uint16(),
                 u4 = nanoarrow::na_uint32(), nanoarrow::na_fixed_size_binary(as.integer(substring(code, 2L))))
  bytes <- nanoarrow::as_nanoarrow_buffer(shared_view(.Call(ffi_array_bytes, x)))
  nanoarrow::nanoarrow_array_modify(nanoarrow::nanoarrow_array_init(type),
                                    list(length = length(x), null_count = 0, buffers = list(NULL, bytes)))
}
