#' Where another program finds a shared array
#'
#' Gives what a program in any language needs to map the memory of a shared array: a path, the place of the first element in that
#' file, the dtype and the shape. What one side writes, the other reads.
#'
#' In Python, in another process of the same user on the same machine (`p` being the list, sent as JSON or on the command line):
#'
#' ```python
#' import numpy
#' a = numpy.memmap(p["path"], p["dtype"], "r+", p["offset"], tuple(p["shape"]), p["order"])
#' ```
#'
#' `a[i-1, j-1]` is `x[i, j]` then. For Python inside this R session there is a shorter way: `reticulate::r_to_py(x)`, see
#' [r_to_py.shared_array()].
#'
#' @section How long the path is good:
#' The memory has no name in a file system. The path leads by way of the process that made it (`/proc/<pid>/fd/<n>`): it can be
#' opened while that process runs and holds the array, also by a worker, whatever becomes of the R object there. Once opened
#' and mapped, the memory lives as long as the mapping, when R has ended too. Keep `x` until the other program has opened it. For
#' an array made by [memmap()] the path is the file's own name and stays good as long as the file does.
#'
#' Arrays of up to 32 KiB lie in a common file, at an offset: the other program sees the other small arrays of the session beside
#' this one and must stay within its bounds. The memory of such an array is not used again in this session once its path was asked for.
#'
#' @param x a shared array.
#' @return A list: `path` (string), `offset` (bytes before the first element), `dtype` (NumPy code, such as `"f8"`), `shape` (extents,
#'   none for a scalar), `order` (`"F"`: the first index is the fastest), `writable` (`FALSE` for a file mapped in mode `"r"`).
#'   Where other processes cannot find the memory (systems other than Linux, a file mapped in mode `"c"`, systems that refuse
#'   memory files), an error of class `sharedmem_path_error`.
#' @seealso [memmap()], which is the other direction: `memmap("/dev/shm/name", ...)` is the array of a Python
#'   `multiprocessing.shared_memory.SharedMemory` of that name
#' @examples
#' x <- empty(c(2, 3), "i4")
#' if (Sys.info()[["sysname"]] == "Linux") {
#'   where <- shared_path(x)
#'   y <- memmap(where$path, where$dtype, where$shape, "r+", where$offset)   # as another program would
#'   y[2, 3] <- 23L
#'   x[2, 3]
#' }
#' @export
shared_path <- function(x) {
  if (!is_shared(x)) abort_argument("x", describe_value(x), "a shared array")
  where <- .Call(ffi_array_where, x)
  if (is.null(where))
    abort_class("sharedmem_path_error",
                paste("no other process can find the memory of this array: that takes Linux and memory with a file behind it, and not a",
                      "file mapped in mode \"c\"; write_npy() or memmap(mode = \"w+\") make a file"))
  list(path = where$path, offset = where$offset, dtype = npy_code(dtype(x)), shape = like_shape(x), order = "F",
       writable = where$writable)
}
