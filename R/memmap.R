#' Map a file as a shared array
#'
#' `memmap()` gives a shared array whose elements are the bytes of a file, read and written where they are used;
#' `flush()` writes changed elements to the file now rather than when the system finds time.
#'
#' The bytes are those of this machine (native byte order), without any header; see [fromfile()] for others.
#'
#' Some files say themselves what they hold; `dtype`, `shape` and `offset` are then left out:
#' - NumPy's `.npy` files. One in C order with two extents or more is an error, as no array of R lies like that: [read_npy()] turns it,
#'   and `shape = rev(extents)` takes the elements as they lie. Mode `"w+"` with a name that ends in `.npy` makes such a file.
#' - A `.desc` file of bigmemory, its descriptor or a `big.matrix` itself, whose NA among `char` and `short` are read as -128 and -32768.
#' - An `FBM` of bigstatsr. One with a code (`FBM.code256`) gives the codes.
#' - The `.bmat` or `.desc.txt` file of filematrix, or the `filematrix` itself.
#'
#' Forked workers use the array as the session does. What is saved or serialized of it is the path, not the values (`unshare(x)` has
#' those): a handle that is sent to another process, or read back in a later session, maps the file there, `"w+"` as `"r+"`. In mode `"c"`
#' there is no path: saved are the values, and [serialize()] leads nowhere outside of this process and its workers.
#'
#' Should the file become shorter while it is mapped, reading or writing what is no longer there is an error.
#'
#' @param path string: the file. `~` is expanded. Or an object of bigmemory, bigstatsr or filematrix.
#' @param dtype string: the element type, see [empty()].
#' @param shape numeric vector of extents, see [empty()], or `NULL` for all of the file from `offset` on as a plain vector.
#' @param mode string: `"r"` to read only, `"r+"` to read and write, `"w+"` to make the file, or empty it, and write (all
#'   elements are zero then; needs `shape`), `"c"` to copy on write: what is written stays in the memory of the process that
#'   writes it and never reaches the file or other processes.
#' @param offset number of bytes of the file before the first element, at least 0.
#' @return `memmap()`: a shared array, with the dimnames that such an object has. A file that is missing, unreadable, no regular file,
#'   or ends before `offset` and `shape` do is an error of class `sharedmem_file_error` with the field `path`.
#'   Writing to an array in mode `"r"` is
#'   an error of class `sharedmem_value_error`.
#' @source `memmap` of NumPy.
#' @examples
#' path <- tempfile()
#' x <- memmap(path, "i4", c(2, 3), mode = "w+")
#' x[1, ] <- 1:3
#' flush(x)
#' readBin(path, "integer", 6)
#' unlink(path)
#' @export
memmap <- function(path, dtype = "f8", shape = NULL, mode = c("r", "r+", "w+", "c"), offset = 0) {
  modes <- c("r", "r+", "w+", "c")
  if (identical(mode, modes)) mode <- "r"
  if (!is.character(mode) || length(mode) != 1L || !mode %in% modes)
    abort_argument("mode", describe_value(mode), "one of \"r\", \"r+\", \"w+\", \"c\"")
  layout <- if (missing(offset) && mode != "w+") file_layout(path)
  if (!is.null(layout)) return(map_layout(layout, constants$file_mode[[mode]], if (!missing(dtype)) dtype, shape))
  if (!is.character(path) || length(path) != 1L || is.na(path) || !nzchar(path))
    abort_argument("path", describe_value(path), "a string, the name of a file")
  if (!is.numeric(offset) || length(offset) != 1L || is.na(offset) || offset < 0 || offset != floor(offset) || offset > 2^52)
    abort_argument("offset", describe_value(offset), "a whole number of bytes, at least 0")
  if (mode == "w+" && is.null(shape)) abort_argument("shape", "NULL", "given in mode \"w+\"")
  if (mode == "w+" && missing(offset) && endsWith(path, ".npy")) return(npy_create(path.expand(path), dtype, shape))
  .Call(ffi_memmap_new, path.expand(path), dtype, shape, constants$file_mode[[mode]], as.double(offset))
}

#' @rdname memmap
#' @param con a shared array made by `memmap()`. For one in plain memory there is nothing to write.
#' @return `flush()`: `con`, invisibly; `sharedmem_file_error` if the file cannot be written.
#' @export
flush.shared_array <- function(con) {
  .Call(ffi_memmap_flush, con)
  invisible(con)
}

# Called from C.
abort_file <- function(path, message) {
  abort_class("sharedmem_file_error", sprintf("file '%s': %s", path, message), path = path)
}
