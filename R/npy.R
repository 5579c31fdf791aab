#' Read and write NumPy's files
#'
#' `read_npy()` reads a `.npy` or `.npz` file of NumPy's into new shared arrays, on several threads; `write_npy()` writes a `.npy` file that
#' NumPy loads. Neither needs Python.
#'
#' An array is the same on both sides, element by element: `x[i, j]` in R is `a[i-1, j-1]` in NumPy, whichever order the file has its
#' elements in. Files in C order (NumPy's default, the last index fastest) are turned into R's order while they are read, bytes
#' of the other byte order are turned round in the same pass. A scalar stays a scalar, an array with one extent is a
#' plain vector.
#'
#' Numbers, truth values and byte strings are read: dtypes f8 f4 i1 i2 i4 i8 u1 u2 u4 c16 b1 `S<n>` of either byte order, format versions
#' 1.0 to 3.0. Unicode text (`U<n>`), Python objects (pickles), records (structured dtypes), dates, and numbers that shared arrays
#' do not have are errors that name what the file holds. Headers are not trusted: what they promise is held against the size of the
#' file before memory is asked for.
#'
#' A `.npz` archive gives a list of arrays by their names, read one by one. Members that are stored (`numpy.savez`) are read
#' like files of their own, R's [unz()] unpacks the bytes of deflated ones (`numpy.savez_compressed`); the checksums of both are checked.
#'
#' `write_npy()` writes to a temporary name beside `file` and renames it, like [tofile()]: at any time there is the old file or the whole
#' new one. With `order = "C"` it needs memory for a second copy of `x` meanwhile. Names and dimnames are not written, as the format
#' has no place for them. NumPy has no `NA` either: that of i4 is written as -2147483648 and that of f8, f4 and c16 as `NaN`, as which
#' they are `NA` again when R reads them; `NA` among truth values or strings is an error.
#'
#' @param file string: a path; `~` is expanded.
#' @param np whole number: threads at most. `NULL` means [cpu_count()].
#' @param members names of the arrays of a `.npz` archive that are wanted; `NULL` means all.
#' @param x a shared array, or a vector, matrix or array of numbers, logical values, complex numbers, raw bytes or strings. Factors and
#'   dates are an error: write `unclass(x)`.
#' @param order `"F"`: the elements in the order in which R has them; `"C"`: the last index fastest, as programs other than NumPy
#'   may expect it.
#' @return `read_npy()`: a shared array; of a `.npz` file a named list of them. `write_npy()`: `x`, invisibly. A file that is missing,
#'   damaged, too short, or holds what shared arrays cannot, is an error of class `sharedmem_file_error` with the field `path`.
#' @source `load` and `save` of NumPy.
#' @seealso [memmap()] to use a `.npy` file in place, [fromfile()] for files without a header, [shared_path()] and
#'   `reticulate::r_to_py()` to have R and NumPy work on the same memory
#' @examples
#' path <- tempfile(fileext = ".npy")
#' x <- copy(matrix(1:6, 2))
#' write_npy(x, path)             # in Python: a = numpy.load(path); a.shape is (2, 3), a[0, 2] is 5
#' y <- read_npy(path)
#' y[1, 3]
#' memmap(path, mode = "r")[2, ]  # in place
#' unlink(path)
#' @export
read_npy <- function(file, np = NULL, members = NULL) {
  check_path(file)
  np <- resolve_np(check_np(np, least = 1L))
  if (!is.null(members) && (!is.character(members) || anyNA(members)))
    abort_argument("members", describe_value(members), "NULL or names of arrays in a .npz archive")
  file <- path.expand(file)
  x <- npy_at(file, 0, -1, np)
  if (is.null(x)) return(read_npz(file, members, np))
  if (!is.null(members)) abort_argument("members", describe_value(members), "NULL for a file that is no .npz archive")
  x
}

# The .npy that begins at byte `at` of a file and has `size` bytes (-1: all the rest); NULL for an archive.
npy_at <- function(file, at, size, np) believe_text(file, .Call(ffi_npy_read, file, at, size, np))

# x, unless a string in it would be read as something else than its bytes.
believe_text <- function(file, x) {
  if (!is.null(x)) check_marks(x, function(i)
    abort_file(file, sprintf(paste("element %.0f begins with byte 255 or is no truth value, which shared arrays keep for NA;",
                                   "save a.view(\"u1\") instead"), i)))
  x
}

#' @rdname read_npy
#' @export
write_npy <- function(x, file, order = "F", np = NULL) {
  check_path(file)
  check_choice(order, c("F", "C"), "order")
  np <- resolve_np(check_np(np, least = 1L))
  given <- x
  x <- npy_elements(x)
  dim <- like_shape(x)
  longer <- sum(dim > 1) > 1L && all(dim > 0)
  turned <- longer && order == "C"
  header <- npy_header(dtype(x), dim, longer && order == "F")
  if (turned) x <- .Call(ffi_npy_turn, x, dtype(x), rev(dim), c(1L, 1L), np)
  replace_file(x, file, header, np)
  invisible(given)
}

# What of x goes into a file: numbers as they are, truth values and strings in NumPy's form.
npy_elements <- function(x) {
  classes <- if (is_shared(x)) array_meta(x)$class else oldClass(x)
  if (any(c("factor", "Date", "POSIXct", "difftime") %in% classes))
    abort_argument("x", sprintf("of class <%s>", paste(classes, collapse = "/")), "numbers, truth values or strings; write unclass(x)")
  if (!is_shared(x)) {
    if (!is.numeric(x) && !is.logical(x) && !is.complex(x) && !is.raw(x) && !is.character(x))
      abort_argument("x", describe_value(x), "a shared array or an atomic vector")
    if (is.character(x) || is.logical(x)) x <- copy(array(x, if (is.null(dim(x))) length(x) else dim(x)))
  }
  check_marks(x, function(i)
    abort_class("sharedmem_value_error",
                sprintf("element %.0f of `x` is NA or in another encoding, which NumPy's dtype %s has no way to say", i, dtype(x))))
  x
}

# Raises by abort(i) if element i of an array of strings or truth values is one of those that only this package understands: NA, or marked
# with another encoding.
check_marks <- function(x, abort) {
  i <- if (is_shared(x)) .Call(ffi_npy_marked, x) else 0
  if (i > 0) abort(i)
}

# The header of a .npy file, format version 1.0, as NumPy writes it.
npy_header <- function(dtype, dim, fortran) {
  code <- npy_code(dtype)
  mark <- if (grepl("^(S|.1$)", code)) "|" else if (.Platform$endian == "little") "<" else ">"
  shape <- paste0("(", paste(sprintf("%.0f", dim), collapse = ", "), if (length(dim) == 1L) ",", ")")
  text <- sprintf("{'descr': '%s%s', 'fortran_order': %s, 'shape': %s, }", mark, code, if (fortran) "True" else "False", shape)
  text <- paste0(text, strrep(" ", -(nchar(text) + 11) %% 64), "\n")
  c(as.raw(0x93), charToRaw("NUMPY"), as.raw(c(1, 0, nchar(text) %% 256, nchar(text) %/% 256)), charToRaw(text))
}

npy_code <- function(dtype) if (dtype == "raw") "u1" else dtype

# ---- .npz ----

read_npz <- function(file, members, np) {
  found <- zip_members(file)
  found$name <- sub_bytes("[.]npy$", "", found$entry)
  if (is.null(members)) members <- found$name[endsWith(found$entry, ".npy")]
  missing <- setdiff(members, found$name)
  if (length(missing))
    abort_argument("members", sprintf("'%s'", missing[1L]),
                   sprintf("among the arrays of the archive: %s", paste(found$name, collapse = ", ")))
  read <- lapply(members, function(name) {
    m <- found[match(name, found$name), ]
    tryCatch(read_member(file, m, np),
             sharedmem_file_error = function(e)
               abort_file(file, sprintf("member '%s': %s", name, sub_bytes(sprintf("file '%s': ", file), "", conditionMessage(e), TRUE))))
  })
  names(read) <- members
  read
}

read_member <- function(file, m, np) {
  at <- zip_data(file, m)
  if (m$method != 0) return(read_deflated(file, m, np))
  x <- npy_at(file, at, m$size, np)
  if (is.null(x)) abort_file(file, "is an archive itself")
  if (.Call(ffi_npy_crc, file, at, m$size) != m$crc) abort_file(file, "its bytes are damaged: they do not give its checksum")
  x
}

# A deflated member: unz() unpacks it, piece by piece, into the array, or into scratch that is turned then.
read_deflated <- function(file, m, np) {
  damaged <- function(...) abort_file(file, "its deflated bytes are damaged")
  if (m$size > 1032 * m$packed + 1024) abort_file(file, "it promises more bytes than can have been deflated into it")
  con <- tryCatch(suppressWarnings(unz(file, m$entry, "rb")), error = damaged)
  on.exit(close(con))
  next_bytes <- function(n) tryCatch(readBin(con, "raw", n), error = damaged, warning = damaged)
  bytes <- next_bytes(min(65536, m$size))
  h <- .Call(ffi_npy_parse, bytes, m$size)
  if (is.character(h)) abort_file(file, h)
  direct <- h$in_order && h$swap == 1L
  x <- if (direct) empty(h$shape, h$dtype) else empty(m$size - h$offset, "u1")
  crc <- .Call(ffi_npy_put, x, bytes, h$offset, 0, 0)
  have <- length(bytes)
  while (length(bytes <- next_bytes(2^22))) {
    crc <- .Call(ffi_npy_put, x, bytes, 0, have - h$offset, crc)
    have <- have + length(bytes)
    if (have > m$size) damaged()
  }
  if (have != m$size || crc != m$crc) damaged()
  if (!direct) x <- .Call(ffi_npy_turn, x, h$dtype, h$shape, c(h$swap, !h$in_order), np)
  believe_text(file, x)
}

# ---- ZIP archives ----

# n bytes from `at` on; an error if the file has not that many.
zip_bytes <- function(file, at, n) {
  con <- tryCatch(suppressWarnings(file(file, "rb")), error = function(e) abort_file(file, "cannot be opened"))
  on.exit(close(con))
  seek(con, at)
  bytes <- readBin(con, "raw", n)
  if (length(bytes) < n) zip_damaged(file)
  bytes
}

zip_damaged <- function(file) abort_file(file, "is a damaged ZIP archive")

# The number in n bytes after the first `at`, the lowest byte first.
zip_number <- function(file, bytes, at, n) {
  if (at + n > length(bytes)) zip_damaged(file)
  sum(as.integer(bytes[at + seq_len(n)]) * 256^(seq_len(n) - 1))
}

# Where the archive's directory stands, from the record at the file's end, or the one for large archives before it.
zip_directory <- function(file) {
  size <- file.size(file)
  tail_at <- max(0, size - 65557)
  tail <- zip_bytes(file, tail_at, size - tail_at)
  end <- grepRaw(as.raw(c(0x50, 0x4b, 5, 6)), tail, all = TRUE, fixed = TRUE)
  last <- length(tail) - 21
  if (!length(end)) zip_damaged(file)
  at <- if (last %in% end && zip_number(file, tail, length(tail) - 2, 2) == 0) last - 1 else end[length(end)] - 1 # a comment may follow
  if (at + 22 > length(tail)) zip_damaged(file)
  behind <- tail_at + at
  number <- function(k, n) zip_number(file, tail, at + k, n)
  directory <- list(count = number(10, 2), size = number(12, 4), at = number(16, 4))
  locator <- if (at >= 20) tail[at - 20 + 1:20]
  if (identical(locator[1:4], as.raw(c(0x50, 0x4b, 6, 7)))) {
    record <- zip_bytes(file, zip_number(file, locator, 8, 8), 56)
    if (!identical(record[1:4], as.raw(c(0x50, 0x4b, 6, 6)))) zip_damaged(file)
    large <- function(k) zip_number(file, record, k, 8)
    directory <- list(count = large(32), size = large(40), at = large(48))
    behind <- zip_number(file, locator, 8, 8)
  }
  if (directory$at + directory$size != behind || directory$count * 46 > directory$size) zip_damaged(file)
  c(directory, file_size = size)
}

# One row a member: entry (its name), method, crc, packed and size (bytes), header (where its local header stands).
zip_members <- function(file) {
  directory <- zip_directory(file)
  bytes <- zip_bytes(file, directory$at, directory$size)
  at <- 0
  members <- lapply(seq_len(directory$count), function(i) {
    number <- function(k, n) zip_number(file, bytes, at + k, n)
    if (number(0, 4) != 0x02014b50) zip_damaged(file)
    lengths <- c(number(28, 2), number(30, 2), number(32, 2))
    if (at + 46 + sum(lengths) > length(bytes)) zip_damaged(file)
    m <- zip_large(file, list(size = number(24, 4), packed = number(20, 4), header = number(42, 4)),
                   bytes[at + 46 + lengths[1L] + seq_len(lengths[2L])])
    if (m$packed > directory$file_size) zip_damaged(file)
    name <- bytes[at + 46 + seq_len(lengths[1L])]
    if (any(name == 0)) zip_damaged(file)
    m$entry <- rawToChar(name)
    m$method <- number(10, 2)
    m$crc <- number(16, 4)
    if (bitwAnd(number(8, 2), 0x2041) != 0) abort_file(file, sprintf("member '%s' is encrypted", m$entry))
    if (!m$method %in% c(0, 8) || (m$method == 0 && m$size != m$packed) || bitwAnd(number(8, 2), 0x20) != 0 || number(6, 1) > 63)
      abort_file(file, sprintf("member '%s' is neither stored nor deflated", m$entry))
    at <<- at + 46 + sum(lengths)
    m
  })
  if (at != length(bytes)) zip_damaged(file)
  column <- function(name, type) vapply(members, `[[`, type, name)
  if (anyDuplicated(column("entry", ""))) zip_damaged(file)
  data.frame(entry = column("entry", ""), method = column("method", 0), crc = column("crc", 0), packed = column("packed", 0),
             size = column("size", 0), header = column("header", 0))
}

# Fields of four bytes that are all ones stand in the extra field 1, with eight bytes each.
zip_large <- function(file, m, extra) {
  at <- 0
  while (at + 4 <= length(extra) && any(unlist(m) == 2^32 - 1)) {
    n <- zip_number(file, extra, at + 2, 2)
    if (zip_number(file, extra, at, 2) == 1) {
      field <- extra[at + 4 + seq_len(n)]
      k <- 0
      for (name in names(m)) if (m[[name]] == 2^32 - 1) {
        m[[name]] <- zip_number(file, field, k, 8)
        k <- k + 8
      }
      break
    }
    at <- at + 4 + n
  }
  m
}

# Where the bytes of a member begin: behind a header of its own, which must name it too.
zip_data <- function(file, m) {
  name <- charToRaw(m$entry)
  local <- zip_bytes(file, m$header, 30 + length(name))
  if (zip_number(file, local, 0, 4) != 0x04034b50 || zip_number(file, local, 26, 2) != length(name) || !identical(local[-(1:30)], name))
    zip_damaged(file)
  m$header + 30 + length(name) + zip_number(file, local, 28, 2)
}
