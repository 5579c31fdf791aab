test_that("fromfile() reads what writeBin() wrote, in either byte order, on any number of threads", {
  path <- tempfile("binary")
  on.exit(unlink(path))
  x <- c(rnorm(4e5), NA, NaN, Inf, -0)
  for (endian in c("little", "big")) for (np in 1:3) {
    writeBin(x, path, endian = endian)
    got <- fromfile(path, endian = endian, np = np)
    expect_true(is_shared(got))
    expect_identical(dtype(got), "f8")
    expect_identical(as.vector(got), x)
  }
  i <- sample.int(.Machine$integer.max, 3e5)
  writeBin(i, path, endian = "big")
  expect_identical(as.vector(fromfile(path, "i4", endian = "big", np = 2)), i)
  writeBin(i %% 60000L, path, size = 2, endian = "swap")
  expect_identical(as.vector(fromfile(path, "u2", endian = "swap", np = 2)), i %% 60000L)
  z <- complex(real = rnorm(10), imaginary = rnorm(10))
  writeBin(z, path, endian = "big")
  expect_identical(as.vector(fromfile(path, "c16", endian = "big")), z)
  writeBin(as.raw(1:5), path)
  expect_identical(as.vector(fromfile(path, "raw")), as.raw(1:5))
  writeBin(charToRaw("abcdefgh"), path)
  expect_identical(as.vector(fromfile(path, "S4", endian = "swap")), c("abcd", "efgh"))
})

test_that("count and offset select a part", {
  path <- tempfile("binary")
  on.exit(unlink(path))
  writeBin(as.double(1:100), path)
  expect_identical(as.vector(fromfile(path, count = 3, offset = 16)), c(3, 4, 5))
  expect_identical(as.vector(fromfile(path, offset = 8 * 98)), c(99, 100))
  expect_length(fromfile(path, count = 0), 0)
  expect_length(fromfile(path, offset = 800), 0)
  file.create(path)
  expect_length(fromfile(path), 0)
})

test_that("files that do not fit are errors that name the file", {
  path <- tempfile("binary")
  on.exit(unlink(path, recursive = TRUE))
  fails <- function(...) expect_error(fromfile(...), class = "sharedmem_file_error")
  expect_identical(fails(path)$path, path)
  writeBin(as.raw(1:20), path)
  expect_identical(fails(path)$path, path)
  fails(path, "f8", count = 3)
  fails(path, "u1", offset = 21)
  fails(path, "i4", offset = 2)
  fails(tempdir())
  if (system2("id", "-u", stdout = TRUE) != "0") {
    Sys.chmod(path, "000")
    fails(path, "u1")
  }
})

test_that("a FIFO is an error and does not block", {
  path <- tempfile("binary")
  skip_if(system2("mkfifo", path) != 0)
  on.exit(unlink(path))
  expect_error(fromfile(path), class = "sharedmem_file_error")
  expect_error(tofile(1:3, path), class = "sharedmem_file_error")
})

test_that("bad arguments are errors that name them", {
  arg <- function(...) expect_error(fromfile(...), class = "sharedmem_argument_error")$arg
  expect_identical(arg(1), "file")
  expect_identical(arg(c("a", "b")), "file")
  expect_identical(arg("a", "q7"), "dtype")
  expect_identical(arg("a", 8), "dtype")
  expect_identical(arg("a", count = -2), "count")
  expect_identical(arg("a", count = NA), "count")
  expect_identical(arg("a", offset = 0.5), "offset")
  expect_identical(arg("a", endian = "middle"), "endian")
  expect_identical(arg("a", np = 0), "np")
  expect_identical(expect_error(tofile(sum, "a"), class = "sharedmem_argument_error")$arg, "x")
})

test_that("tofile() writes what fromfile() and readBin() read back", {
  path <- tempfile("binary")
  on.exit(unlink(path))
  x <- rnorm(5e5)
  for (y in list(x, copy(x))) {
    expect_identical(as.vector(tofile(y, path, np = 2)), x)
    expect_identical(readBin(path, "double", 6e5), x)
  }
  tofile(1:10, path)
  expect_identical(readBin(path, "integer", 20), 1:10)
  tofile(c(TRUE, NA, FALSE), path)
  expect_identical(as.vector(fromfile(path, "b1")), c(TRUE, NA, FALSE))
  tofile(c("abc", NA, ""), path)
  expect_identical(as.vector(fromfile(path, "S3")), c("abc", NA, ""))
  tofile(matrix(1:6, 2), path)
  expect_identical(as.vector(fromfile(path, "i4")), 1:6)
  tofile(numeric(), path)
  expect_identical(file.size(path), 0)
})

test_that("tofile() replaces a file in one step and keeps its permissions, and leaves no other", {
  dir <- tempfile("binary")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  path <- file.path(dir, "data")
  tofile(1:3, path)
  Sys.chmod(path, "640")
  tofile(4:6, path)
  expect_identical(format(file.mode(path)), "640")
  expect_identical(list.files(dir, all.files = TRUE, no.. = TRUE), "data")
  expect_error(tofile(1, dir), class = "sharedmem_file_error")
  expect_error(tofile(1, file.path(dir, "no", "where")), class = "sharedmem_file_error")
  expect_identical(list.files(dir, all.files = TRUE, no.. = TRUE), "data")
  expect_identical(readBin(path, "integer", 9), 4:6)
})

test_that("reading and failing to read leave no descriptor open", {
  skip_if_not(dir.exists("/proc/self/fd"))
  path <- tempfile("binary")
  on.exit(unlink(path))
  writeBin(as.raw(1:20), path)
  count <- function() { gc(); length(list.files("/proc/self/fd")) }
  before <- count()
  for (k in 1:20) {
    try(fromfile(path), silent = TRUE)
    try(fromfile(path, "nonsense"), silent = TRUE)
    try(tofile(1, "/nowhere/at/all"), silent = TRUE)
    fromfile(path, "u1")
    tofile(1:5, tempfile())
  }
  expect_lte(count(), before + 1)
})

test_that("a file that grows or shrinks while it is read is an error or is read whole", {
  skip_on_cran()
  path <- tempfile("binary")
  on.exit(unlink(path))
  n <- 2e7
  tofile(seq_len(n), path)
  r <- run_script(quote({
    changes <- 0
    system(sprintf("sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do printf abcd >>%s; done' &", path))
    for (k in 1:10) {
      x <- tryCatch(fromfile(path, "i4", count = n, np = 2), sharedmem_file_error = function(e) NULL)
      if (is.null(x)) changes <- changes + 1 else stopifnot(x[1] == 1, x[n] == n)
    }
    answer(changes)
  }), timeout = 60, vars = list(path = path, n = n))
  expect_identical(r$status, 0L)
  expect_true(r$value >= 0 && r$value <= 10)
})
