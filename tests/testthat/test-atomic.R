test_that("atomic_add() adds, gives the new values, and takes an index twice", {
  for (code in c("i4", "i8", "f8")) {
    x <- empty(4, code)
    expect_equal(atomic_add(x, 2, 3L), 3)
    expect_equal(atomic_add(x, c(2, 2, 4), c(1L, 2L, 5L)), c(4, 6, 5))
    expect_equal(atomic_add(x, c(TRUE, FALSE), -1L), c(-1, -1))
    expect_equal(x[], c(-1, 6, -1, 5))
    expect_length(atomic_add(x, integer(), 1L), 0)
    expect_equal(atomic_add(x, 1:4, c(1L, 2L)), c(0, 8, 0, 7))
  }
  expect_type(atomic_add(empty(1, "i4"), 1, 1), "integer")
  expect_identical(atomic_add(empty(1), 1, 0.5), 0.5)
  m <- empty(c(2, 2))
  atomic_add(m, cbind(2, 1), 4)
  expect_identical(m[2, 1], 4)
})

test_that("nothing is added when an index or a value is refused", {
  x <- empty(3, "i4")
  expect_error(atomic_add(x, c(1, 4), 1L), class = "sharedmem_index_error")
  expect_error(atomic_add(x, c(1, NA), 1L), class = "sharedmem_index_error")
  expect_error(atomic_add(x, 1:2, c(1, 1.5)), class = "sharedmem_value_error")
  expect_error(atomic_add(x, 1:3, 1:2), class = "sharedmem_value_error")
  expect_error(atomic_add(x, 1, integer()), class = "sharedmem_value_error")
  expect_error(atomic_add(x, 1, "a"), class = "sharedmem_value_error")
  expect_identical(x[], c(0L, 0L, 0L))
  expect_error(atomic_add(empty(2, "u1"), 1, 1), class = "sharedmem_argument_error")
  expect_error(atomic_add(1:3, 1, 1), class = "sharedmem_argument_error")
})

test_that("a sum that does not fit leaves its element alone and names it; NA stays NA", {
  x <- empty(3, "i4")
  x[] <- c(0L, .Machine$integer.max, 0L)
  e <- expect_error(atomic_add(x, 1:3, 1L), class = "sharedmem_value_error")
  expect_identical(e$position, 2)
  expect_identical(x[], c(1L, .Machine$integer.max, 0L))
  x[1] <- NA
  expect_identical(atomic_add(x, 1, 1L), NA_integer_)
  y <- empty(1, "i8")
  y[] <- -2^63
  expect_error(atomic_add(y, 1, -1), class = "sharedmem_value_error")
})

test_that("no addition of two processes is lost", {
  skip_on_cran()
  for (code in c("i4", "i8", "f8")) {
    x <- empty(2, code)
    jobs <- lapply(1:2, function(k) parallel::mcparallel(for (j in 1:20000) atomic_add(x, 1, 1L)))
    parallel::mccollect(jobs)
    expect_equal(x[1], 40000)
    expect_equal(x[2], 0)
  }
})
