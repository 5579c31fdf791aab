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

# A folder of its own for the files of one test.
folder_for_files <- function(frame = parent.frame()) {
  folder <- tempfile("files")
  dir.create(folder)
  do.call(on.exit, list(substitute(unlink(folder, recursive = TRUE), list(folder = folder)), add = TRUE), envir = frame)
  function(name) file.path(folder, name)
}

test_that("tofile() writes through symbolic links, which stay, also to a file that is not there yet", {
  at <- folder_for_files()
  writeBin(1, at("target"))
  file.symlink("target", at("link"))
  file.symlink(at("link"), at("second"))
  tofile(1:10 + 0, at("second"))
  expect_identical(Sys.readlink(at("link")), "target")
  expect_identical(readBin(at("target"), "double", 20), 1:10 + 0)
  dir.create(at("sub"))
  file.symlink("sub/new", at("dangling"))
  tofile(5, at("dangling"))
  expect_identical(readBin(at("sub/new"), "double", 2), 5)
  file.symlink("loop", at("loop"))
  expect_error(tofile(1, at("loop")), class = "sharedmem_file_error")
  expect_setequal(list.files(at("."), all.files = TRUE, no.. = TRUE), c("target", "link", "second", "sub", "dangling", "loop"))
})

test_that("tofile() keeps permissions, follows the umask for new files, and takes long names", {
  at <- folder_for_files()
  writeBin(1, at("old"))
  Sys.chmod(at("old"), "640", use_umask = FALSE)
  tofile(2, at("old"))
  expect_identical(format(file.mode(at("old"))), "640")
  before <- Sys.umask("027")
  on.exit(Sys.umask(before), add = TRUE)
  tofile(3, at("new"))
  expect_identical(format(file.mode(at("new"))), "640")
  expect_identical(format(Sys.umask(NA)), "27")
  long <- strrep("n", 255)
  tofile(4, at(long))
  tofile(5, at(long))
  expect_identical(readBin(at(long), "double", 2), 5)
  expect_error(tofile(1, at(strrep("n", 256))), class = "sharedmem_file_error")
})

test_that("tofile() refuses what is read-only or no regular file, and says which other names keep the old contents", {
  at <- folder_for_files()
  writeBin(c(1, 2), at("kept"))
  Sys.chmod(at("kept"), "444")
  e <- expect_error(tofile(3, at("kept")), class = "sharedmem_file_error")
  expect_identical(e$path, at("kept"))
  expect_identical(readBin(at("kept"), "double", 9), c(1, 2))
  expect_error(tofile(3, at("")), class = "sharedmem_file_error")
  expect_error(tofile(3, "/dev/null"), class = "sharedmem_file_error")
  expect_error(tofile(3, at("no/such")), class = "sharedmem_file_error")
  writeBin(1, at("a"))
  file.link(at("a"), at("b"))
  w <- expect_warning(tofile(c(7, 8), at("a")), class = "sharedmem_file_warning")
  expect_identical(w$links, 2)
  expect_identical(readBin(at("a"), "double", 9), c(7, 8))
  expect_identical(readBin(at("b"), "double", 9), 1)
})

test_that("replacing a file that an array maps for writing is said", {
  at <- folder_for_files()
  m <- memmap(at("x"), "f8", 3, "w+")
  m[] <- 1:3
  w <- expect_warning(tofile(m, at("x")), "mapped", class = "sharedmem_file_warning")
  expect_identical(w$path, at("x"))
  expect_silent(tofile(m, at("x"))) # the array maps the file of before
  expect_identical(fromfile(at("x"))[], c(1, 2, 3))
  write_npy(1:2 + 0, at("y.npy"))
  n <- memmap(at("y.npy"), mode = "r+")
  expect_warning(write_npy(n, at("y.npy")), "mapped", class = "sharedmem_file_warning")
  for (mode in c("r", "c")) {
    p <- memmap(at("y.npy"), mode = mode)
    expect_silent(write_npy(p, at("y.npy")))
  }
  expect_identical(read_npy(at("y.npy"))[], c(1, 2))
})

test_that("a tofile() that is killed or fails leaves the old file whole and nothing beside it", {
  skip_on_os(c("mac", "solaris"))
  skip_under_sanitizer()
  at <- folder_for_files()
  writeBin(c(1, 2), at("x"))
  folder <- dirname(at("x"))
  script <- start_script(vars = list(path = at("x"), big = at("big"), started = at("started")), code = {
    x <- empty(4e7)
    x[] <- 1
    file.create(started)
    repeat tofile(x, big)
  })
  wait_until(file.exists(at("started")), 30)
  wait_until(file.exists(at("big")) || script_ended(script), 30)
  tools::pskill(script_pid(script), tools::SIGKILL)
  finish_script(script)
  expect_identical(setdiff(list.files(folder, all.files = TRUE, no.. = TRUE), c("x", "started", "big")), character())
  expect_identical(file.size(at("big")), 4e7 * 8)
  lib <- paste(unique(c(library_of_package(), .libPaths())), collapse = ":")
  code <- sprintf("library(sharedmem); e <- tryCatch(tofile(runif(1e6), '%s'), error = identity); cat(class(e)[1])", at("x"))
  out <- system2("bash", c("-c", shQuote(sprintf("ulimit -f 2000; R_LIBS=%s %s --vanilla -e %s", lib,
                                                file.path(R.home("bin"), "Rscript"), shQuote(code)))), stdout = TRUE)
  expect_identical(out, "sharedmem_file_error")
  expect_identical(readBin(at("x"), "double", 9), c(1, 2))
  expect_setequal(list.files(folder, all.files = TRUE, no.. = TRUE), c("x", "started", "big"))
})

test_that("a string with bytes behind a zero byte is an error that names it", {
  file <- tempfile()
  writeBin(as.raw(c(0x78, 0, 0, 0x79, 0, 0x7a)), file)
  x <- fromfile(file, "S3")
  expect_identical(x[1], "x")
  for (read in list(function() x[], function() x[2], function() x[[2]], function() unique(x)))
    expect_error(read(), "bytes behind a zero byte", class = "sharedmem_value_error")
  expect_error(x[], "element 2")
  unlink(file)
})
