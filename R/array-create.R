empty <- function(shape, dtype = "f8") {
  vector <- length(shape) == 1L
  .Call(ffi_array_new, dtype, as.double(shape), vector)
}
