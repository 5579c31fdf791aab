new_file <- function(values = as.double(1:10)) {
  path <- tempfile()
  writeBin(values, path)
  path
}

test_that("a file is read where it is", {
  path <- new_file()
  on.exit(unlink(path))
  x <- memmap(path)
  expect_true(is_shared(x))
  expect_identical(x[], as.double(1:10))
  expect_identical(memmap(path, "f8", c(2, 3), offset = 8)[], matrix(as.double(2:7), 2))
  expect_identical(memmap(path, "u1", integer(0), offset = 79)[], 64L)
  expect_identical(length(memmap(path, offset = 80)), 0L)
})

test_that("an offset need not be aligned", {
  path <- tempfile()
  on.exit(unlink(path))
  con <- file(path, "wb")
  writeBin(as.raw(1:3), con)
  writeBin(c(1.5, 2.5), con)
  close(con)
  expect_identical(memmap(path, offset = 3)[], c(1.5, 2.5))
})

test_that("each mode does what it says", {
  path <- new_file()
  on.exit(unlink(path))
  x <- memmap(path, mode = "r")
  expect_error(x[1] <- 2, class = "sharedmem_value_error")
  expect_error(x[] <- 0, class = "sharedmem_value_error")
  y <- memmap(path, mode = "r+")
  y[1] <- 99
  expect_identical(x[1], 99)
  flush(y)
  expect_identical(readBin(path, "double", 1), 99)
  z <- memmap(path, mode = "c")
  z[2] <- -1
  expect_identical(z[2], -1)
  expect_identical(x[2], 2)
  w <- memmap(path, "i4", 5, mode = "w+")
  expect_identical(w[], integer(5))
  w[] <- 5:1
  expect_invisible(flush(w))
  expect_identical(readBin(path, "integer", 9), 5:1)
  expect_identical(file.size(path), 20)
  fresh <- tempfile()
  v <- memmap(fresh, "u1", 3, "w+", offset = 2)
  expect_identical(file.size(fresh), 5)
  unlink(fresh)
})

test_that("files that do not do are refused with their path", {
  path <- new_file()
  on.exit(unlink(path))
  refused <- function(expr, p = path) {
    e <- expect_error(expr, class = "sharedmem_file_error")
    expect_identical(e$path, p)
  }
  refused(memmap(path, shape = 11))
  refused(memmap(path, shape = 10, offset = 1))
  refused(memmap(path, offset = 81))
  refused(memmap(path, offset = 2^50))
  refused(memmap(path, offset = 1))
  refused(memmap(path, "c16", offset = 8))
  refused(memmap(tempdir()), tempdir())
  gone <- tempfile()
  refused(memmap(gone), gone)
  refused(memmap(gone, mode = "r+"), gone)
  refused(memmap(file.path(gone, "x"), shape = 1, mode = "w+"), file.path(gone, "x"))
  fifo <- tempfile()
  skip_if(system2("mkfifo", fifo) != 0)
  refused(memmap(fifo, shape = 1), fifo)
  refused(memmap(fifo, shape = 1, mode = "r+"), fifo)
  refused(memmap("/dev/zero", shape = 1), "/dev/zero")
  unlink(fifo)
})

test_that("bad arguments are named", {
  path <- new_file()
  on.exit(unlink(path))
  arg <- function(expr) expect_error(expr, class = "sharedmem_argument_error")$arg
  expect_identical(arg(memmap(1)), "path")
  expect_identical(arg(memmap(NA_character_)), "path")
  expect_identical(arg(memmap(path, "f9")), "dtype")
  expect_identical(arg(memmap(path, shape = -1)), "shape")
  expect_identical(arg(memmap(path, mode = "a")), "mode")
  expect_identical(arg(memmap(path, offset = -1)), "offset")
  expect_identical(arg(memmap(path, offset = 0.5)), "offset")
  expect_identical(arg(memmap(path, mode = "w+")), "shape")
})

test_that("a file that shrinks is an error and never ends the process", {
  result <- run_script({
    path <- tempfile()
    x <- memmap(path, "f8", 2e5, "w+")
    s <- memmap(path, "S8", 1e5, "r+")
    f4 <- memmap(path, "f4", 1e5, "r+")
    x[] <- 1
    con <- file(path, "r+b")
    seek(con, 4096, rw = "write")
    truncate(con)
    close(con)
    fails <- function(expr) tryCatch({ expr; "no error" }, error = function(e) class(e)[1L])
    answer(list(first = x[1:10], file = c(fails(x[]), fails(x[99999]), fails(x[[99999]]), fails(x[c(5, 99999)]), fails(sum(x)),
                                          fails(x[99999] <- 2), fails(x[] <- 3), fails(x[c(9, 90000)] <- 1:2), fails(s[99999]),
                                          fails(s[99999] <- "a"), fails(copy(x)), fails(f4[50000]), fails(as.double(f4)),
                                          fails(sum(shared_view(x))), fails(shared_view(x)[99999]), fails(x + 1), fails(is.na(x)))))
  }, timeout = 60)
  expect_identical(result$status, 0L)
  expect_identical(result$value$first, rep(1, 10))
  expect_identical(unique(result$value$file), "sharedmem_file_error")
})

test_that("forked workers write through the same mapping", {
  path <- new_file(numeric(4))
  on.exit(unlink(path))
  x <- memmap(path, mode = "r+")
  parallel::mclapply(1:4, function(i) { x[i] <- i^2; NULL }, mc.cores = 2)
  expect_identical(x[], c(1, 4, 9, 16))
})

test_that("a handle over a file leads to the file: in this process, in another one, in a later session, from anywhere", {
  folder <- tempfile()
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  path <- file.path(folder, "f")
  here <- setwd(folder)
  x <- memmap("f", "i4", c(2, 3), "w+")
  setwd(here)
  dimnames(x) <- list(NULL, c("a", "b", "c"))
  x[] <- 1:6
  saved <- file.path(folder, "x.rds")
  saveRDS(x, saved)
  expect_lt(file.size(saved), 1000)
  bytes <- serialize(x, NULL)
  y <- unserialize(bytes)
  y[1, 1] <- 9L
  expect_identical(x[[1, 1]], 9L)
  r <- run_script({
    x <- readRDS(saved)
    x[2, "c"] <- 7L
    answer(list(x[], class(try(unserialize(readonly)[1] <- 1L, silent = TRUE))))
  }, vars = list(saved = saved, readonly = serialize(memmap(path, "i4"), NULL)))
  expect_script_ok(r)
  expect_identical(r$value[[1]], x[])
  expect_identical(r$value[[2]], "try-error")
  expect_identical(x[[2, 3]], 7L)
  rm(x, y)
  gc()
  expect_identical(unserialize(bytes)[, "b"], 3:4)
  made <- MapReduce(np = 2)$map(function(i) { z <- memmap(path, "i4", mode = "r+"); z[i] <- -i; z }, 1:2)
  expect_identical(made[[2]][1:2], -(1:2))
  short <- unserialize(bytes)
  writeBin(1, path)
  expect_error(short[1], class = "sharedmem_unattached_error")
  unlink(path)
  e <- expect_error(unserialize(bytes)[1], class = "sharedmem_unattached_error")
  expect_match(conditionMessage(e), path, fixed = TRUE)
})

test_that("mode c is saved by its values, since no file has them", {
  path <- new_file()
  x <- memmap(path, mode = "c")
  x[1] <- -1
  saved <- tempfile()
  on.exit(unlink(c(path, saved)))
  saveRDS(x, saved)
  expect_identical(readRDS(saved)[1], -1)
  bytes <- serialize(x, NULL)
  expect_identical(unserialize(bytes)[1], -1)
  rm(x)
  gc()
  expect_error(unserialize(bytes)[1], class = "sharedmem_unattached_error")
})

test_that("nothing stays open or mapped", {
  before <- snapshot_resources()
  path <- new_file()
  x <- memmap(path, mode = "r+")
  x[1] <- 2
  try(memmap(path, shape = 100), silent = TRUE)
  try(memmap(path, offset = 3), silent = TRUE)
  rm(x)
  unlink(path)
  after <- snapshot_resources()
  expect_identical(after$fds, before$fds)
  expect_identical(after$mappings, before$mappings)
})

test_that("a file that cannot be made in mode w+ leaves the old one whole, and none where there was none", {
  skip_under_sanitizer()
  old <- tempfile()
  new <- tempfile()
  writeBin(1:100 + 0, old)
  lib <- paste(unique(c(library_of_package(), .libPaths())), collapse = ":")
  code <- sprintf("library(sharedmem); for (f in c('%s', '%s')) {
    e <- tryCatch(memmap(f, 'f8', 1e7, 'w+'), error = identity); cat(class(e)[1], identical(e$path, f), fill = TRUE) }", old, new)
  run <- function(limit) system2("bash", c("-c", shQuote(sprintf("%s; R_LIBS=%s %s --vanilla -e %s", limit, lib,
                                                          file.path(R.home("bin"), "Rscript"), shQuote(code)))), stdout = TRUE)
  expect_identical(run("ulimit -f 2000"), rep("sharedmem_file_error TRUE", 2))
  expect_identical(readBin(old, "double", 200), 1:100 + 0)
  expect_false(file.exists(new))
  expect_error(memmap(old, "f8", 2^49, "w+"), class = "sharedmem_file_error")
  expect_identical(readBin(old, "double", 200), 1:100 + 0)
  unlink(old)
})

test_that("mode w+ wipes an old file, longer or shorter, through a link that stays", {
  file <- tempfile()
  link <- tempfile()
  file.symlink(file, link)
  for (n in c(10, 5000, 100)) {
    writeBin(runif(1000), file)
    x <- memmap(link, "f8", n, "w+", offset = 8)
    expect_identical(x[], numeric(n))
    expect_identical(file.size(file), 8 + 8 * n)
    x[n] <- 1
    flush(x)
    expect_identical(readBin(file, "double", n + 9), c(numeric(n), 1))
  }
  expect_identical(Sys.readlink(link), file)
  unlink(c(file, link))
})

test_that("operators go over a large file by stretches, with R's values and attributes", {
  n <- 150001L
  v <- c(NA, NaN, Inf, -0, 0, 1e308, seq_len(n - 6L) / 7)
  path <- new_file(v)
  whole <- new_file(c(.Machine$integer.max, NA, seq_len(n - 2L)))
  on.exit(unlink(c(path, whole)))
  x <- memmap(path)
  i <- memmap(whole, "i4")
  w <- i[]
  expect_identical(list(x + 1, 2L - x, x * x, x / v, v^x, -x, x > 0.5, NA < x, x == rev(v), x & TRUE, FALSE | x, !x),
                   list(v + 1, 2L - v, v * v, v / v, v^v, -v, v > 0.5, NA < v, v == rev(v), v & TRUE, FALSE | v, !v))
  expect_identical(list(is.na(x), is.nan(x), is.finite(x), is.infinite(x)), list(is.na(v), is.nan(v), is.finite(v), is.infinite(v)))
  expect_identical(list(i + 1, i / 2L, i > 3L, x + i, i %/% 2L), list(w + 1, w / 2L, w > 3L, v + w, w %/% 2L))
  expect_warning(over <- i + 1L, "overflow")
  expect_identical(over, suppressWarnings(w + 1L))
  expect_warning(short <- x + c(1, 2), "longer object length")
  expect_identical(short, suppressWarnings(v + c(1, 2)))
  expect_identical(x + numeric(0), numeric(0))
  expect_error(x + "a", "non-numeric")
})

test_that("an ordinary operand beside a large file is read by stretches too, and a view of a file serves as subscripts", {
  path <- tempfile()
  on.exit(unlink(path))
  n <- 2e5
  writeBin(seq_len(n) %% 1000 / 8, path)
  m <- memmap(path, "f8")
  v <- m[]
  for (y in list(seq_len(n), rep_len(c(5L, NA, -3L), n), rep_len(c(TRUE, FALSE, NA), n), rep_len(c(0.5, NaN), n))) {
    expect_identical(m + y, v + y)
    expect_identical(y - m, y - v)
    expect_identical(m < y, v < y)
  }
  writeBin(c(3L, NA, 1L), path)
  at <- shared_view(memmap(path, "i4"))
  x <- copy(c(10, 20, 30))
  expect_identical(x[at], c(30, NA, 10))
  x[at[c(1, 3)]] <- 0
  expect_identical(x[], c(0, 20, 0))
})

test_that("the result of an operator on a large file has dim, dimnames and names as R gives them", {
  n <- 140000L
  path <- new_file(as.double(seq_len(n)))
  on.exit(unlink(path))
  m <- memmap(path, "f8", c(2L, n / 2L), mode = "c")
  v <- m[]
  x <- memmap(path)
  expect_identical(list(m + 1, m > 3, m * m, m + m[], is.na(m)), list(v + 1, v > 3, v * v, v + v, is.na(v)))
  expect_identical(list(m + x, x + m), list(v + x[], x[] + v))
  far <- structure(x[], unit = "m")
  near <- structure(2, unit = "m")
  expect_identical(list(x + far, far * x, x > far, x & far, near / x), list(x[] + far, far * x[], x[] > far, x[] & far, near / x[]))
  dimnames(m) <- list(c("a", "b"), NULL)
  dimnames(v) <- list(c("a", "b"), NULL)
  expect_identical(list(m + 1, 1 < m, m - m), list(v + 1, 1 < v, v - v))
  expect_error(m + memmap(path, "f8", c(n / 2L, 2L)), "non-conformable")
})
