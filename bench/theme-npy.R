# NumPy's files: read, written and mapped, beside NumPy itself, other readers of .npy, and other formats that hold a matrix.

n <- size(1e4, 1e3)
section("NumPy's files", c(
  "A square matrix in a `.npy` file, in the page cache. NumPy times itself; it reads into private memory, maybe of huge pages, and",
  "ours goes into shared memory, whose floor is that of `fromfile()`. What is in C order is transposed while it is read, as NumPy's",
  "`asfortranarray(load())` does."))
python <- numpy_python()
path <- function(ext = ".npy") tempfile(fileext = ext)
types <- list(f8 = 8, f4 = 4, i4 = 4)

for (dt in names(types)) {
  x <- empty(c(n, n), dt)
  x[] <- seq_len(n) %% 1000
  last <- x[n, n]
  text <- sprintf("%s, %.0f MB", dt, nbytes(x) / 1e6)
  right <- function(v) is.null(v) || v[n, n] == last
  bare <- path("")
  tofile(x, bare)
  for (order in c("F", "C")) {
    file <- path()
    write_npy(x, file, order)
    load <- sprintf("y=np.load('%s')", file)
    work(sprintf("read, %s order, %s", order, text), list(
      `sharedmem, 2 threads` = function() read_npy(file, np = 2),
      `sharedmem, 1 thread` = function() read_npy(file, np = 1),
      `sharedmem, fromfile() of the same bytes` = function() fromfile(bare, dt, np = 2),
      `numpy.load` = numpy(python, file, NULL, load),
      `numpy.load, into Fortran order` =
        if (order == "C") numpy(python, file, NULL, sprintf("y=np.asfortranarray(np.load('%s'))", file)),
      RcppCNPy = if (dt == "f8") peer("RcppCNPy", function() RcppCNPy::npyLoad(file))),
      check = function(v) is.null(v) || is.null(dim(v)) || right(v), times = size(5L, 2L), budget = size(6, 1),
      goal = if (order == "F") "<= 1.2 of fromfile()" else "<= 2 of fromfile()",
      met = function(m) m[[1L]] <= (if (order == "F") 1.2 else 2) * m[["sharedmem, fromfile() of the same bytes"]])
    unlink(file)
  }
  unlink(bare)
  if (dt != "f8") next
  values <- x[]
  frame <- as.data.frame(values)
  file <- path()
  for (order in c("F", "C")) work(sprintf("write, %s order, %s", order, text), list(
    `sharedmem, 2 threads` = function() write_npy(x, file, order, np = 2),
    `numpy.save` = numpy(python, bare, NULL, sprintf("x=np.ones((%.0f,%.0f),order='%s')\nt=time.perf_counter()\nnp.save('%s',x)",
                                                     n, n, order, file)),
    RcppCNPy = if (order == "F") peer("RcppCNPy", function() RcppCNPy::npySave(file, values)),
    `saveRDS(compress = FALSE)` = if (order == "F") function() saveRDS(values, file, compress = FALSE),
    `arrow, uncompressed feather` = if (order == "F") peer("arrow", function() {
      arrow::write_feather(frame, file, compression = "uncompressed")
    }),
    `data.table, fwrite` = if (order == "F" && quick) peer("data.table", function() data.table::fwrite(frame, file))),
    times = size(3L, 2L), budget = size(5, 1))
  write_npy(x, file)
  work(sprintf("map, and read one column, %s", text), list(
    `sharedmem, memmap()` = repeatedly(100L, function() memmap(file)[, 7]),
    `numpy.load(mmap_mode)` = numpy(python, file, NULL, sprintf("for k in range(100): y=np.array(np.load('%s',mmap_mode='r')[:,6])",
                                                                file))),
    check = function(v) is.null(v) || length(v) == n)
  unlink(file)
}
rm(x, values, frame)
