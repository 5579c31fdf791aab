#' Read and write binary files in parallel
#'
#' `fromfile()` reads a binary file of numbers, or of strings of fixed width, into a new shared array, on several threads;
#' `tofile()` writes the elements of an array to a file.
#'
#' The file holds the elements and nothing else, as `numpy.tofile()` and [writeBin()] write them. Each thread has its part of the
#' memory made and reads into it, turning bytes round on the way where the file's order is not the machine's, so the
#' data are touched once. A regular file is needed: a directory, a pipe or a device is an error, as is a file whose
#' size does not fit, or that changes while it is read; no half-read array is ever given.
#'
#' `tofile()` writes a new file beside `file`, has the system bring it to the disk, and gives it the name, so that there is
#' the old file or the whole new one at any time, also after an error, an interrupt or the death of the process, of which nothing is left.
#' A symbolic link stays, and what it points to is replaced; permissions are kept. A file that nobody may write is not replaced. If the
#' file had further names (hard links), these keep the old contents, and a warning of class `sharedmem_file_warning` says so; so it does
#' where the session maps the file by [memmap()] for writing, since that array keeps the old file ([flush()] is what saves it).
#'
#' @param file Character: a path; `~` is expanded.
#' @param dtype Character: what the file holds, a dtype as in [empty()].
#' @param count Whole number of elements to read; -1: all to the end of the file, which must then be whole elements.
#' @param offset Whole number: bytes before the first element.
#' @param endian `"little"`, `"big"` or `"swap"`: the byte order in the file.
#' @param np Whole number: threads at most. `NULL` means [cpu_count()].
#' @param x A shared array or R vector; character vectors are written as fixed-width `S<n>`, logical as one byte
#'   an element (`b1`), in the order of the elements in memory (by column), in the byte order of the machine.
#' @return `fromfile()`: a shared array, a plain vector. `tofile()`: `x`, invisibly. Failure is an error of class
#'   `sharedmem_file_error` with the field `path`.
#' @source `sharedmem.fromfile` of the Python package; `tofile` is NumPy's.
#' @seealso [memmap()] for files that are larger than the memory, [readBin()]
#' @examples
#' path <- tempfile()
#' tofile(c(1.5, 2, 3), path)
#' x <- fromfile(path)
#' x[]
#' fromfile(path, count = 1, offset = 8)[]
#' unlink(path)
#' @export
fromfile <- function(file, dtype = "f8", count = -1, offset = 0, endian = .Platform$endian, np = NULL) {
  check_path(file)
  check_whole(count, "count", -1)
  check_whole(offset, "offset", 0)
  if (!is.character(endian) || length(endian) != 1L || !endian %in% c("little", "big", "swap"))
    abort_argument("endian", describe_value(endian), "\"little\", \"big\" or \"swap\"")
  .Call(ffi_file_read, path.expand(file), dtype, as.double(count), as.double(offset), endian != .Platform$endian,
        resolve_np(check_np(np, least = 1L)))
}

#' @rdname fromfile
#' @export
tofile <- function(x, file, np = NULL) {
  check_path(file)
  if (!is_shared(x) && !is.numeric(x) && !is.logical(x) && !is.complex(x) && !is.raw(x) && !is.character(x))
    abort_argument("x", describe_value(x), "a shared array or an atomic vector")
  replace_file(if (is.character(x) || is.logical(x)) copy(as.vector(x)) else x, file, raw(), resolve_np(check_np(np, least = 1L)))
  invisible(x)
}

# Writes `header` and the elements of x to a new file that takes the place of `file`.
replace_file <- function(x, file, header, np) {
  replaced <- .Call(ffi_file_write, x, path.expand(file), header, np)
  links <- replaced[1L]
  warn <- function(text) warn_class("sharedmem_file_warning", text, path = file, links = links)
  if (links > 1) warn(sprintf("file '%s' had %.0f names (hard links): the others keep the old contents", file, links))
  if (replaced[2L])
    warn(sprintf("file '%s' is mapped by a shared array, which keeps the old file: what is written to it later does not reach the new one",
                 file))
}
