#' Shared arrays as NumPy arrays
#'
#' With reticulate, a shared array that is handed to Python is a NumPy array over the same memory: nothing is copied, and what
#' Python writes is in R's array, and in those of all workers, at once.
#'
#' `reticulate::r_to_py(x)` is called by hand, or by reticulate itself for each argument of a Python function: `np$sin(x, out = x)`
#' works in place. The Python array keeps the memory alive as long as Python holds it, also when `x` is gone in R. It has
#' the shape of `x`, the first index fastest (Fortran order), and cannot be written to if `x` cannot. A scalar becomes an array
#' without extents.
#'
#' The way back: [copy()] of a NumPy array (one that reticulate has not converted: `import("numpy", convert = FALSE)`) gives a
#' new shared array with its values; NumPy itself writes them into the shared memory, in any layout and byte order, without an R
#' vector in between. If the NumPy array came from a shared array, that is still there in R: nothing needs to come back.
#'
#' Python's own workers (multiprocessing, started by fork) write into the same memory. Those that it starts afresh get a copy of
#' whatever is sent to them: send [shared_path()] instead.
#'
#' NumPy has no `NA`: it sees `NaN` in f8, f4 and c16, -2147483648 in i4, and the byte 128 in b1. A file mapped by [memmap()] that becomes
#' shorter while Python uses it ends the session, as it would any Python program.
#'
#' @param x a shared array.
#' @param convert as in `reticulate::r_to_py()`: whether what Python functions give back is converted to R.
#' @return `r_to_py()`: a Python object, a `numpy.ndarray`. Without NumPy in reticulate's Python: reticulate's error.
#' @seealso [shared_path()] for Python in another process, [read_npy()] for files
#' @examples
#' if (requireNamespace("reticulate", quietly = TRUE) && reticulate::py_available() &&
#'     reticulate::py_module_available("numpy")) {
#'   x <- empty(c(2, 3))
#'   a <- reticulate::r_to_py(x)
#'   a$fill(2)
#'   x[]
#' }
#' @exportS3Method reticulate::r_to_py
r_to_py.shared_array <- function(x, convert = FALSE) {
  about <- .Call(ffi_array_address, x)
  shape <- paste(sprintf("%.0f", like_shape(x)), collapse = " ")
  a <- numpy_helpers()$over(about$address, sprintf("%.0f", nbytes(x)), npy_code(dtype(x)), shape, about$writable, keeper(x))
  if (convert) assign("convert", TRUE, envir = as.environment(a))
  a
}

# An R function, which Python can hold, and which holds x and nothing else: with the Python array in reach of it neither would ever
# be collected.
keeper <- function(x) {
  force(x)
  function() x
}

# Python functions, made once a session. `over`: the array keeps its base, which keeps the R handle. A base that is a buffer lets NumPy
# make an array writable again, so memory that must not be written to gets one that is none.
numpy_helpers <- function() {
  if (is.null(the$cache$numpy))
    the$cache$numpy <- reticulate::py_run_string(local = TRUE, convert = FALSE, code = "
class Memory(object):
    pass

def over(address, nbytes, dtype, shape, writable, owner, Memory=Memory):
    import ctypes, numpy
    shape = tuple(int(n) for n in shape.split())
    if writable:
        base = (ctypes.c_char * int(nbytes)).from_address(int(address))
        base.owner = owner
        return numpy.ndarray(shape, dtype, base, order='F')
    base = Memory()
    base.owner = owner
    dtype = numpy.dtype(dtype)
    strides, step = [], dtype.itemsize
    for n in shape:
        strides.append(step)
        step *= n
    base.__array_interface__ = dict(version=3, typestr=dtype.str, shape=shape, strides=tuple(strides), data=(int(address), True))
    return numpy.asarray(base)

def put(to, a):
    import numpy
    numpy.copyto(to, a, casting='equiv')

def about(a):
    return a.dtype.str + ' ' + ' '.join(str(n) for n in a.shape)
")
  the$cache$numpy
}

# A new shared array with the values of a NumPy array.
shared_from_numpy <- function(a) {
  about <- strsplit(as.character(reticulate::py_to_r(numpy_helpers()$about(a))), " ", fixed = TRUE)[[1L]]
  x <- empty(as.numeric(about[-1L]), .Call(ffi_npy_dtype, about[1L]))
  numpy_helpers()$put(r_to_py.shared_array(x), a)
  check_marks(x, function(i) abort_argument("a", sprintf("one whose element %.0f begins with byte 255", i), "strings in UTF-8"))
  x
}
