# Files of other programs that say themselves what they hold: NumPy's .npy, bigmemory's, bigstatsr's, filematrix's.
#
# A layout is a list: path, dtype, shape, offset (of the first element), dimnames (or NULL), order (why it cannot be mapped
# as it stands, or NULL).

# The layout of what memmap() was given, or NULL for a file of bare elements.
file_layout <- function(path) {
  if (inherits(path, "big.matrix")) path <- bigmemory::describe(path)
  if (inherits(path, "big.matrix.descriptor")) return(bigmemory_layout(attr(path, "description"), character()))
  if (inherits(path, "FBM")) return(fbm_layout(as.environment(path)))
  if (inherits(path, "filematrix")) return(filematrix_layout(sub_bytes("[.]bmat$", "", as.environment(path)$data.filename)))
  if (!is.character(path) || length(path) != 1L || is.na(path)) return(NULL)
  path <- path.expand(path)
  if (endsWith(path, ".npy") || endsWith(path, ".npz")) return(npy_layout(path))
  if (endsWith(path, ".desc.txt")) return(filematrix_layout(sub_bytes("[.]desc[.]txt$", "", path)))
  if (endsWith(path, ".bmat") && file.exists(sub_bytes("bmat$", "desc.txt", path)))
    return(filematrix_layout(sub_bytes("[.]bmat$", "", path)))
  if (endsWith(path, ".desc")) bigmemory_layout(read_descriptor(path), dirname(path))
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

# ---- bigmemory ----

# The description in a descriptor file: R code that makes one object, of which nothing but its constants is believed or run.
read_descriptor <- function(path) {
  bad <- function(...) abort_file(path, "is no descriptor of a big.matrix")
  if (!file.exists(path)) abort_file(path, "does not exist")
  if (!isTRUE(file.size(path) < 1e9) || dir.exists(path)) bad()
  code <- tryCatch(parse(path, keep.source = FALSE), error = bad, warning = bad)
  e <- if (length(code) == 1L) code[[1L]]
  if (!is.call(e) || !identical(e[[1L]], quote(new)) || !identical(e[[2L]], "big.matrix.descriptor") || is.null(e$description)) bad()
  tryCatch(constant(e$description), error = bad)
}

# The value of a call of list() and c() over constants and ranges.
constant <- function(e) {
  if (is.null(e) || (is.atomic(e) && length(e) == 1L)) return(e)
  if (!is.call(e) || !is.name(e[[1L]])) stop("no constant")
  arguments <- lapply(as.list(e)[-1L], constant)
  switch(as.character(e[[1L]]), list = arguments, c = do.call(c, arguments), `-` = -arguments[[1L]], `:` = arguments[[1L]]:arguments[[2L]],
         stop("no constant"))
}

bigmemory_types <- c(char = "i1", short = "i2", integer = "i4", float = "f4", double = "f8", complex = "c16", raw = "raw")

# `beside`: the directory of the descriptor file, where the file may have moved with it.
bigmemory_layout <- function(d, beside) {
  if (!is.list(d)) abort_argument("path", describe_value(d), "the descriptor of a big.matrix")
  text <- function(name) if (is.character(d[[name]]) && length(d[[name]]) == 1L) d[[name]] else ""
  number <- function(name, k = 1L) if (is.numeric(d[[name]]) && length(d[[name]]) >= k) as.numeric(d[[name]][k]) else NA
  path <- if (text("sharedType") == "SharedMemory") file.path("/dev/shm", basename(text("sharedName")))
          else first_file(file.path(c(beside, text("dirname")), basename(text("filename"))))
  size <- c(number("nrow"), number("ncol"), number("totalRows"), number("totalCols"), number("rowOffset"), number("rowOffset", 2L),
            number("colOffset"))
  if (anyNA(size) || any(size < 0 | size != floor(size))) abort_file(path, "its descriptor does not say its extents")
  dtype <- bigmemory_types[text("type")]
  if (is.na(dtype)) abort_file(path, sprintf("holds a big.matrix of type '%s', for which shared arrays have no dtype", text("type")))
  trouble <- if (isTRUE(d$separated)) "belongs to a big.matrix whose columns lie in files of their own (separated = TRUE)"
             else if (size[1L] != size[3L])
               "belongs to a sub.big.matrix of some rows, which do not lie side by side: map the whole and take x[rows, ]"
  list(path = path, dtype = unname(dtype), shape = size[1:2], offset = size[7L] * size[3L] * item_size(dtype),
       dimnames = some_names(d$rowNames, d$colNames, size), trouble = trouble)
}

item_size <- function(dtype) if (dtype == "raw") 1 else as.numeric(sub("^[a-z]+", "", dtype))

first_file <- function(paths) c(paths[file.exists(paths)], paths[length(paths)])[1L]

# Dimnames, or NULL, of what may be names of rows and columns.
some_names <- function(rows, cols, size) {
  fit <- function(x, n) if (is.character(x) && length(x) == n) x
  names <- list(fit(rows, size[1L]), fit(cols, size[2L]))
  if (!is.null(names[[1L]]) || !is.null(names[[2L]])) names
}

# ---- bigstatsr ----

# bigstatsr reads bytes of either name as raw.
fbm_types <- c(raw = "raw", `unsigned char` = "raw", `unsigned short` = "u2", integer = "i4", float = "f4", double = "f8")

fbm_layout <- function(fbm) {
  dtype <- fbm_types[names(fbm$type)]
  if (is.na(dtype))
    abort_file(fbm$backingfile, sprintf("holds an FBM of type '%s', for which shared arrays have no dtype", names(fbm$type)))
  list(path = fbm$backingfile, dtype = unname(dtype), shape = as.numeric(c(fbm$nrow, fbm$ncol)), offset = 0)
}

# ---- filematrix ----

filematrix_types <- c(double8 = "f8", double4 = "f4", integer1 = "i1", integer2 = "i2", integer4 = "i4", integer8 = "i8", logical4 = "i4",
                      logical1 = "i1", raw1 = "raw", complex16 = "c16")

filematrix_layout <- function(base) {
  info <- paste0(base, ".desc.txt")
  # a handler that left at the warning of file() would leave its connection
  lines <- tryCatch(suppressWarnings(readLines(info, n = 100L, warn = FALSE)), error = function(e) abort_file(info, "cannot be read"))
  value <- function(name) sub_bytes("^[^=]*=", "", c(grep(paste0("^", name, "="), lines, value = TRUE, useBytes = TRUE), "?")[1L])
  size <- number_in(c(value("nrow"), value("ncol")))
  dtype <- filematrix_types[paste0(value("type"), value("size"))]
  if (anyNA(size) || any(size < 0 | size != floor(size))) abort_file(info, "does not say the extents of a file matrix")
  if (is.na(dtype))
    abort_file(info, sprintf("says type '%s' of %s bytes, for which shared arrays have no dtype",
                             encodeString(cut_text(value("type"))), encodeString(cut_text(value("size")))))
  names_in <- function(file) if (file.exists(file)) readLines(file, warn = FALSE)
  list(path = paste0(base, ".bmat"), dtype = unname(dtype), shape = size, offset = 0,
       dimnames = some_names(names_in(paste0(base, ".nmsrow.txt")), names_in(paste0(base, ".nmscol.txt")), size))
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
