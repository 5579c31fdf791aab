on_linux <- Sys.info()[["sysname"]] == "Linux"

# Python that maps what `args` say: path, dtype, offset, and the extents.
open_numpy <- c("path, dtype, offset = sys.argv[1], sys.argv[2], int(sys.argv[3])",
                "a = np.memmap(path, dtype, 'r+', offset, tuple(int(n) for n in sys.argv[4:]), 'F')")
as_words <- function(w) c(w$path, w$dtype, sprintf("%.0f", w$offset), sprintf("%.0f", w$shape))

# The common file of small arrays stays open once the path of one was given out, so those are made in a session of their own.
in_session <- function(code) {
  skip_if_not(on_linux)
  r <- run_script(code, vars = list(run_numpy = run_numpy,
                                     python_with_numpy = python_with_numpy, open_numpy = open_numpy, as_words = as_words))
  expect_script_ok(r)
  r$value
}

test_that("another program writes into an array by its path: large ones, small ones in a common file, scalars", {
  skip_without_numpy()
  r <- in_session(quote({
    right <- logical()
    for (shape in list(c(2, 3), c(300, 200), 5, numeric(), c(2, 3, 4))) {
      x <- empty(shape, "i4")
      beside <- empty(100, "i4")
      run_numpy(c(open_numpy, "a[...] = np.arange(a.size).reshape(a.shape)"), as_words(shared_path(x)))
      want <- seq_len(prod(shape)) - 1L
      if (length(shape) > 1L) want <- aperm(array(want, rev(shape)))
      right <- c(right, identical(x[], want), sum(beside) == 0)
    }
    answer(right)
  }))
  expect_identical(r, rep(TRUE, 10))
})

test_that("the list says the dtype in NumPy's words, the shape, and whether it may be written to", {
  r <- in_session(quote({
    codes <- vapply(c("f8", "f4", "i8", "c16", "b1", "S5", "raw"), function(dt) shared_path(empty(3, dt))$dtype, "")
    answer(list(codes, shared_path(empty(c(2, 3))), shared_path(empty(7))$shape, shared_path(empty(numeric()))$shape))
  }))
  expect_identical(unname(r[[1L]]), c("f8", "f4", "i8", "c16", "b1", "S5", "u1"))
  w <- r[[2L]]
  expect_identical(names(w), c("path", "offset", "dtype", "shape", "order", "writable"))
  expect_equal(w$shape, c(2, 3))
  expect_equal(r[[3L]], 7)
  expect_length(r[[4L]], 0L)
  expect_identical(w$order, "F")
  expect_true(w$writable)
})

test_that("a child has a path of its own to memory that the process that made it has let go of", {
  r <- in_session(quote({
    x <- full(1e5, 1)
    flag <- full(1, 0)
    session <- Sys.getpid()
    wait <- function() while (flag[1] == 0) Sys.sleep(0.01)
    b <- background(function() {
      first <- shared_path(x)
      flag[1] <- -1
      while (flag[1] != 1) Sys.sleep(0.01)
      w <- shared_path(x)
      y <- memmap(w$path, w$dtype, w$shape, "r+", w$offset)
      y[7] <- -1
      of <- function(pid, w) grepl(sprintf("^/proc/%d/", pid), w$path)
      c(of(session, first), of(Sys.getpid(), w), identical(x[6:8], c(1, -1, 1)))
    })
    wait()
    rm(x)
    gc()
    flag[1] <- 1
    answer(b$wait())
  }))
  expect_identical(r, c(TRUE, TRUE, TRUE))
})

test_that("the path of a mapped file is the file's own, with the offset of its elements", {
  skip_if_not(on_linux)
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  write_npy(matrix(1:6, 2), path)
  w <- shared_path(memmap(path))
  expect_identical(normalizePath(w$path), normalizePath(path))
  expect_false(w$writable)
  expect_identical(memmap(w$path, w$dtype, w$shape, "r", w$offset)[], matrix(1:6, 2))
  expect_true(shared_path(memmap(path, mode = "r+"))$writable)
  expect_error(shared_path(memmap(path, mode = "c")), class = "sharedmem_path_error")
  x <- memmap(path, mode = "r+")
  unlink(path)
  w <- shared_path(x)
  expect_identical(memmap(w$path, w$dtype, w$shape, "r", w$offset)[], matrix(1:6, 2))
})

test_that("views by another shape, arrays that came by serialize() and those a worker made have paths too", {
  skip_if_not(on_linux)
  same <- function(x, w) {
    y <- memmap(w$path, w$dtype, w$shape, "r+", w$offset)
    y[1] <- 17
    expect_identical(x[1], 17)
  }
  x <- empty(c(200, 300))
  y <- x
  dim(y) <- 6e4
  same(x, shared_path(y))
  same(y, shared_path(unserialize(serialize(x, NULL))))
  made <- MapReduce(np = 2)$map(function(i) empty(1e4 * i), 1:2)
  for (z in made) same(z, shared_path(z))
  from_worker <- MapReduce(np = 2)$map(function(i) shared_path(x), 1:2)
  for (w in from_worker) same(x, w)
})

test_that("once opened, the memory outlives the array in R", {
  skip_if_not(on_linux)
  x <- empty(1e5)
  x[5] <- 5
  w <- shared_path(x)
  y <- memmap(w$path, w$dtype, w$shape, "r+", w$offset)
  rm(x)
  gc()
  gc()
  expect_identical(y[5], 5)
})

test_that("memory of a small array whose path was given out is not used for another one", {
  r <- in_session(quote({
    x <- empty(10)
    w <- shared_path(x)
    y <- memmap(w$path, w$dtype, w$shape, "r+", w$offset)
    rm(x)
    for (i in 1:3) gc()
    many <- lapply(1:2000, function(i) empty(10))
    y[] <- 1
    answer(sum(vapply(many, sum, 0)))
  }))
  expect_identical(r, 0)
})

test_that("Python's workers and R's write one array at a time", {
  skip_if_not(on_linux)
  skip_without_numpy()
  script <- tempfile(fileext = ".py")
  on.exit(unlink(script))
  writeLines(c("import sys, multiprocessing", "import numpy as np", open_numpy,
               "def work(j):", "    for i in range(a.shape[0]): a[i, j] = 1000 * j + i",
               "if __name__ == '__main__':",
               "    with multiprocessing.get_context('fork').Pool(2) as p: p.map(work, range(0, a.shape[1], 2))"), script)
  x <- empty(c(500, 40))
  words <- as_words(shared_path(x))
  python <- python_with_numpy()
  status <- MapReduce(np = 2)$map(function(j) {
    if (j == 0) return(system2(python, shQuote(c(script, words))))
    x[, j] <- 1000 * (j - 1) + 0:499
    0L
  }, c(0, seq(2, 40, by = 2)))
  expect_true(all(unlist(status) == 0))
  expect_identical(x[], outer(0:499, 1000 * (0:39), `+`))
})

test_that("Python's package sharedmem and R's write one array, each under its own lock and order", {
  skip_if_not(on_linux)
  skip_without_numpy()
  python <- python_with_numpy()
  skip_if_not(system2(python, c("-c", shQuote("import sharedmem")), stdout = FALSE, stderr = FALSE) == 0L,
              "Python's package sharedmem is not installed (PYTHONPATH may name its folder)")
  script <- tempfile(fileext = ".py")
  on.exit(unlink(script))
  writeLines(c("import sys, sharedmem", "import numpy as np", open_numpy,
               "with sharedmem.MapReduce(np=2) as pool:", "    def work(j):", "        with pool.critical: a[0, 0] += 1",
               "        a[1:, j] = 10 * j", "        return j", "    print(sum(pool.map(work, range(1, 40, 2))))"), script)
  x <- empty(c(500, 40))
  words <- as_words(shared_path(x))
  said <- MapReduce(np = 2)$map(function(j) {
    if (j == 0) return(system2(python, shQuote(c(script, words)), stdout = TRUE))
    x[2:500, j] <- j
    ""
  }, c(0, seq(1, 39, by = 2)))
  expect_identical(said[[1L]], "400")
  expect_identical(x[1, 1], 20)
  j <- 1:40
  expect_identical(x[500, ], ifelse(j %% 2 == 1, j, 10 * (j - 1)) + 0)
})

test_that("what is no shared array is an argument error", {
  expect_identical(expect_error(shared_path(1:3), class = "sharedmem_argument_error")$arg, "x")
})
