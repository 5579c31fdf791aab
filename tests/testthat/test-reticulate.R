python_embeds <- local({
  known <- NULL
  function() {
    if (is.null(known)) {
      asked <- run_script({ answer(suppressWarnings(reticulate::py_available(initialize = TRUE))) },
                          env = c(RETICULATE_PYTHON = python_with_numpy()))
      known <<- isTRUE(asked$value)
    }
    known
  }
})

# Python is started in a session of its own for each test: once it runs, it stays.
with_python <- function(code) {
  skip_without_numpy()
  skip_if_not_installed("reticulate")
  skip_if_not(python_embeds(), "this Python has no shared library")
  skip_under_sanitizer()
  script <- c("suppressMessages(library(reticulate, exclude = 'tuple'))", "np <- import('numpy', convert = FALSE)",
              unlist(lapply(as.list(code)[-1L], deparse, control = c("keepNA", "keepInteger", "digits17"))))
  r <- run_script(script, env = c(RETICULATE_PYTHON = python_with_numpy()), timeout = 120)
  expect_script_ok(r)
  r$value
}

test_that("a shared array in Python is NumPy over the same memory, of every dtype and shape, written from both sides", {
  r <- with_python(quote({
    bad <- character()
    for (dt in c("f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "c16", "b1", "S5", "raw")) {
      for (shape in list(numeric(), 3, c(2, 3), c(0, 2), c(2, 3, 4), c(300, 200))) {
        x <- empty(shape, dt)
        a <- r_to_py(x)
        said <- py_to_r(np$dtype(a$dtype)$str)
        right <- substring(said, 2) == if (dt == "raw") "u1" else dt
        right <- right && identical(as.numeric(unlist(py_to_r(a$shape))), as.numeric(shape)) && py_to_r(a$flags$f_contiguous)
        if (length(x) && !dt %in% c("S5", "raw")) {
          a$fill(1L)
          right <- right && all(x[] == 1)
          x[length(x)] <- 0
          right <- right && py_to_r(np$count_nonzero(a)) == length(x) - 1
        }
        if (!right) bad <- c(bad, paste(dt, length(shape)))
      }
    }
    answer(bad)
  }))
  expect_identical(r, character())
})

test_that("Python computes in place: the address is the memory's, and no memory is used for a copy", {
  r <- with_python(quote({
    x <- empty(c(2000, 1000))
    x[2, 3] <- 16
    a <- r_to_py(x)
    address <- py_to_r(a$ctypes$data)
    np$sqrt(x, out = x)
    again <- py_to_r(r_to_py(x)$ctypes$data)
    v <- shared_view(x)
    answer(list(x[2, 3], address == again, py_to_r(np$shares_memory(a, r_to_py(x)))))
  }))
  expect_identical(r, list(4, TRUE, TRUE))
})

test_that("an array lives as long as Python holds it, and no longer", {
  r <- with_python(quote({
    collect <- function() {
      rm(list = "x", envir = globalenv())
      for (i in 1:3) gc()
      getNamespace("sharedmem")$shared_bytes()
    }
    x <- empty(1e6)
    a <- r_to_py(x)
    a$fill(3)
    held <- collect()
    sum <- py_to_r(a$sum())
    b <- a[["__getitem__"]](0L)
    rm(a, b)
    x <- empty(1)
    for (i in 1:3) gc()
    answer(list(held, sum, collect()))
  }))
  expect_gte(r[[1L]], 8e6)
  expect_identical(r[[2L]], 3e6)
  expect_lt(r[[3L]], 8e6)
})

test_that("what R may not write, NumPy may not either", {
  r <- with_python(quote({
    path <- tempfile(fileext = ".npy")
    write_npy(matrix(1:6, 2), path)
    a <- r_to_py(memmap(path))
    b <- r_to_py(memmap(path, mode = "c"))
    b$fill(9L)
    tried <- inherits(try(a$fill(9L), silent = TRUE), "try-error") && inherits(try(a$setflags(write = TRUE), silent = TRUE), "try-error")
    kept <- identical(unlist(py_to_r(a$shape)), c(2L, 3L)) && py_to_r(a$item(1L, 2L)) == 6
    answer(list(py_to_r(a$flags$writeable), tried && kept, as.numeric(py_to_r(b$sum())), read_npy(path)[]))
  }))
  expect_identical(r, list(FALSE, TRUE, 54, matrix(1:6, 2)))
})

test_that("copy() of a NumPy array takes any layout and byte order, and refuses what it has no dtype for", {
  r <- with_python(quote({
    a <- np$arange(24L)$reshape(2L, 3L, 4L)
    big <- np$asarray(a, dtype = ">i2")
    slice <- py_eval("__import__('numpy').arange(100.)[::-7]", convert = FALSE)
    refused <- function(code) inherits(tryCatch(copy(py_eval(code, convert = FALSE)), error = identity), "sharedmem_argument_error")
    answer(list(copy(a)[], dtype(copy(big)), identical(copy(big)[], aperm(array(0:23, 4:2))), copy(slice)[],
                copy(py_eval("__import__('numpy').array(5.5)", convert = FALSE))[],
                copy(py_eval("__import__('numpy').array([b'ab', b''])", convert = FALSE))[],
                refused("__import__('numpy').array(['a'])"), refused("__import__('numpy').array([None])"),
                refused("__import__('numpy').array([1], 'u8')"), refused("__import__('numpy').array([bytes([255])])")))
  }))
  expect_identical(r, list(aperm(array(as.numeric(0:23), 4:2)), "i2", TRUE, rev(seq(1, 99, by = 7)) + 0, 5.5, c("ab", ""),
                           TRUE, TRUE, TRUE, TRUE))
})

test_that("workers of R's session and Python inside it write one array", {
  r <- with_python(quote({
    x <- empty(c(100, 4))
    run <- py_run_string(paste(sep = "\n",
      "def work(j):",
      "    column = shared[:, j]",
      "    column[:] = j",
      "def both(a):",
      "    import multiprocessing",
      "    global shared",
      "    shared = a",
      "    jobs = [multiprocessing.get_context('fork').Process(target=work, args=(j,)) for j in (0, 1)]",
      "    for j in jobs: j.start()",
      "    for j in jobs: j.join()",
      "    return [j.exitcode for j in jobs]"))
    code <- run$both(x)
    MapReduce(np = 2)$map(function(j) {
      x[, j] <- j - 1
      NULL
    }, 3:4)
    answer(list(unlist(code), x[]))
  }))
  expect_identical(r, list(c(0L, 0L), matrix(rep(0:3 + 0, each = 100), 100)))
})

test_that("the example has R fill, NumPy transform and R read one array without a copy", {
  r <- with_python(quote({
    said <- utils::capture.output(source(system.file("examples", "numpy.R", package = "sharedmem"), local = new.env()))
    answer(said)
  }))
  expect_match(r, "x\\[4, 9\\] is 6", all = FALSE)
})
