# Files of other programs that say themselves what they hold: NumPy's .npy, bigmemory's, bigstatsr's, filematrix's.
#
# A layout is a list: path, dtype, shape, offset (of the first element), dimnames (or NULL), order (why it cannot be mapped
# as it stands, or NULL).

# The layout of what memmap() was given, or NULL for a file of bare elements.
file_layout <- function(path) {
  if (!is.character(path) || length(path) != 1L || is.na(path)) return(NULL)
  path <- path.expand(path)
  if (endsWith(path, ".npy")) npy_layout(path)
}

npy_layout <- function(path) {
  h <- .Call(ffi_npy_about, path)
  if (is.null(h)) abort_file(path, "is a ZIP archive (.npz): read_npy() reads its arrays")
  trouble <- if (h$swap != 1L) "holds numbers in the other byte order, which cannot be used in place: read_npy() reads them"
  order <- if (!h$in_order)
    sprintf(paste("holds its elements in C order, the last index fastest, which no array of R has: read_npy() turns them,",
                  "memmap(path, shape = c(%s)) takes them as they lie, with the extents reversed"),
            paste(sprintf("%.0f", rev(h$shape)), collapse = ", "))
  list(path = path, dtype = h$dtype, shape = h$shape, offset = h$offset, trouble = trouble, order = order)
}

# A shared array over a layout. `dtype` and `shape`: what the caller says about it, or NULL.
map_layout <- function(layout, mode, dtype, shape) {
  if (!is.null(layout$trouble)) abort_file(layout$path, layout$trouble)
  if (!is.null(dtype) && !identical(dtype, layout$dtype))
    abort_argument("dtype", describe_value(dtype), sprintf("\"%s\", as the file says, or left out", layout$dtype))
  if (is.null(shape) && !is.null(layout$order)) abort_file(layout$path, layout$order)
  if (!is.null(shape) && (!is.numeric(shape) || !identical(prod(shape), prod(layout$shape))))
    abort_argument("shape", describe_value(shape), sprintf("extents of the %.0f elements of the file, or left out", prod(layout$shape)))
  x <- .Call(ffi_memmap_new, layout$path, layout$dtype, if (is.null(shape)) layout$shape else shape, mode, layout$offset)
  if (is.null(shape) && !is.null(layout$dimnames)) dimnames(x) <- layout$dimnames
  x
}

# A new .npy file of zeros.
npy_create <- function(path, dtype, shape) {
  header <- npy_header(dtype, shape, sum(shape > 1) > 1L)
  x <- .Call(ffi_memmap_new, path, dtype, shape, 2L, as.double(length(header)))
  con <- file(path, "r+b")
  on.exit(close(con))
  writeBin(header, con)
  x
}
