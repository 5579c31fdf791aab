left <- function(data, needle) vapply(needle, function(v) sum(if (is.na(v)) !is.na(data) else !is.na(data) & data < v) + 1L, 1L)
right <- function(data, needle) vapply(needle, function(v) if (is.na(v)) length(data) + 1L else sum(!is.na(data) & data <= v) + 1L, 1L)
agrees <- function(data, needle) {
  for (np in 1:2)
    if (!identical(searchsorted(data, needle, np = np), left(as.vector(data), as.vector(needle))) ||
        !identical(searchsorted(data, needle, side = "right", np = np), right(as.vector(data), as.vector(needle)))) return(FALSE)
  TRUE
}

test_that("searchsorted() gives the positions before and after equal elements", {
  set.seed(1)
  for (n in c(0, 1, 2, 3, 10, 500)) {
    data <- sort(round(runif(n), 2))
    expect_true(agrees(data, round(runif(300, -0.1, 1.1), 2)))
    expect_true(agrees(data, sort(round(runif(300, -0.1, 1.1), 2))))
    expect_true(agrees(data, -sort(round(runif(300, -0.1, 1.1), 2))))
    expect_true(agrees(data, c(Inf, -Inf, NA, NaN, 0, -0)))
    expect_true(agrees(c(data, NA, NaN), c(0.5, NA, NaN, 2, -1)))
    expect_true(agrees(sort(sample.int(50, n, TRUE)), sample.int(60, 200, TRUE) - 5L))
  }
  expect_identical(searchsorted(c(1, 2), numeric()), integer())
})

test_that("many needles on several threads give what findInterval() gives", {
  set.seed(2)
  data <- sort(runif(1e4))
  needle <- c(runif(1e5), sort(runif(1e5)), data)
  expect_identical(searchsorted(data, needle, side = "right", np = 2), findInterval(needle, data) + 1L)
  shared <- copy(data)
  expect_identical(searchsorted(shared, copy(needle), side = "right", np = 2), findInterval(needle, data) + 1L)
})

test_that("numbers of different types are compared exactly", {
  expect_identical(searchsorted(1:5, c(0.5, 2, 2.5, 1e300, -Inf)), c(1L, 2L, 3L, 6L, 1L))
  expect_identical(searchsorted(c(-1.5, 0, 2.5), c(-2L, -1L, 0L, 2L, 3L)), c(1L, 2L, 2L, 3L, 4L))
  big <- empty(3, "i8")
  big[] <- c(2^53 - 1, 2^53, 2^53)
  expect_identical(searchsorted(big, 2^53), 2L)
  for (code in c("f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4")) {
    x <- empty(50, code)
    x[] <- 1:50
    expect_true(agrees(x, c(0, 1, 25, 25.5, 50, 51)))
  }
  expect_identical(searchsorted(c(FALSE, TRUE, TRUE), c(TRUE, FALSE), side = "right"), c(4L, 2L))
})

test_that("strings are searched in the order of the C locale", {
  data <- sort(c("", "B", "a", "ab", "b", "\u00e9"), method = "radix")
  needle <- c("", "A", "B", "aa", "ab", "abc", "zz", "\u00e9", NA)
  expected <- c(1L, 2L, 2L, 4L, 4L, 5L, 6L, 6L, 7L)
  expect_identical(searchsorted(data, needle), expected)
  expect_identical(searchsorted(copy(data), needle), expected)
  expect_identical(searchsorted(copy(data), copy(needle)), expected)
  expect_identical(searchsorted(c(data, NA), NA_character_, side = "right"), 8L)
})

test_that("bad arguments are errors that name them", {
  arg <- function(...) expect_error(searchsorted(...), class = "sharedmem_argument_error")$arg
  expect_identical(arg(1:3, "a"), "needle")
  expect_identical(arg(letters, 1), "needle")
  expect_identical(arg(1:3, 1, side = "middle"), "side")
  expect_identical(arg(list(), 1), "data")
  expect_identical(arg(1i, 1), "data")
  expect_identical(arg(1:3, 1, np = -1), "np")
})

test_that("units and classes of data and needle are brought together, or refused", {
  hours <- as.difftime(1:3, units = "hours")
  days <- as.Date(c("2024-01-01", "2024-02-01"))
  f <- factor(c("a", "b", "c"))
  for (shared in c(FALSE, TRUE)) {
    s <- if (shared) copy else identity
    expect_identical(searchsorted(s(hours), s(as.difftime(90, units = "mins"))), 2L)
    expect_identical(searchsorted(s(days), s(as.POSIXct("2024-01-15", tz = "UTC"))), 2L)
    expect_identical(searchsorted(s(as.POSIXct(days)), s(as.Date("2024-01-15"))), 2L)
    expect_identical(searchsorted(s(f), s(factor("c"))), 3L)
    expect_identical(searchsorted(s(f), "b"), 2L)
    for (bad in list(list(f, factor("z")), list(f, 2), list(1:3, f), list(days, hours), list(hours, days), list(days, "2024-01-15"),
                     list(as.numeric_version("1.2"), as.numeric_version("1.10"))))
      expect_error(searchsorted(if (is.list(bad[[1L]])) bad[[1L]] else s(bad[[1L]]), bad[[2L]]), class = "sharedmem_argument_error")
  }
  expect_identical(searchsorted(days, unclass(days[2])), 2L)
})
