same <- function(a) expect_identical(copy(a)[], a)

test_that("vectors come back as they were", {
  same(c(1.5, NA, NaN, Inf, -0))
  same(c(3L, NA, -.Machine$integer.max))
  same(c(TRUE, NA, FALSE))
  same(c(1+2i, NA, complex(real = NaN, imaginary = 1)))
  same(as.raw(0:255))
  same(c("a", NA, "", "\u00e9t\u00e9"))
  same(character(0))
  same(numeric(0))
  same(1:100000)
  same(rnorm(1e5))
})

test_that("NA stays apart from NaN, bit for bit", {
  x <- copy(c(NA, NaN))[]
  expect_identical(is.nan(x), c(FALSE, TRUE))
})

test_that("names, dim and dimnames are kept", {
  same(c(a = 1, b = 2))
  same(matrix(1:6, 2))
  same(matrix(1:6, 2, dimnames = list(c("u", "v"), NULL)))
  same(array(runif(24), c(2, 3, 4), list(NULL, letters[1:3], NULL)))
  same(array(1:3, 3))
  same(matrix(numeric(0), 0, 3))
})

test_that("factors, dates, times and time differences keep class and attributes", {
  same(factor(c("x", "y", NA)))
  same(ordered(c("lo", "hi"), levels = c("lo", "hi")))
  same(as.Date("2024-02-29") + 0:3)
  same(as.POSIXct("2020-01-01", tz = "UTC") + 0:3)
  same(as.POSIXct("2020-01-01", tz = "Asia/Tokyo"))
  same(as.difftime(c(1, 2), units = "hours"))
})

test_that("integer64 keeps its values", {
  skip_if_not_installed("bit64")
  x <- bit64::as.integer64(c("1", "9007199254740993", NA))
  y <- copy(x)
  expect_identical(dtype(y), "i8")
  expect_identical(unclass(y[]), unclass(x))
  expect_s3_class(y[], "integer64")
})

test_that("strings get the width of the longest one in bytes of UTF-8", {
  expect_identical(dtype(copy(c("a", "abc"))), "S3")
  expect_identical(dtype(copy("\u00e9")), "S2")
  expect_identical(dtype(copy(iconv("\u00e9", "UTF-8", "latin1"))), "S2")
  expect_identical(dtype(copy(c(NA_character_, ""))), "S1")
  expect_identical(copy(iconv("\u00e9", "UTF-8", "latin1"))[], "\u00e9")
})

test_that("a shared array gives an independent one", {
  x <- copy(c(a = 1, b = 2))
  y <- copy(x)
  y[1] <- 9
  expect_identical(x[], c(a = 1, b = 2))
  expect_identical(y[], c(a = 9, b = 2))
  big <- copy(as.double(1:1e5))
  expect_identical(copy(big)[], as.double(1:1e5))
})

test_that("the copy is independent of the original", {
  a <- c(1, 2, 3)
  x <- copy(a)
  x[2] <- 7
  expect_identical(a, c(1, 2, 3))
})

test_that("a data frame or list keeps its shape, with shared columns", {
  d <- data.frame(n = 1:3, s = c("x", "yy", NA), f = factor(c("u", "v", "u")))
  s <- copy(d)
  expect_s3_class(s, "data.frame")
  expect_identical(names(s), names(d))
  expect_identical(attr(s, "row.names"), attr(d, "row.names"))
  for (k in names(d)) {
    expect_true(is_shared(s[[k]]))
    expect_identical(s[[k]][], d[[k]])
  }
  l <- list(a = 1:3, b = list(c = "z", d = NULL), e = sum, f = NULL)
  m <- copy(l)
  expect_identical(names(m), names(l))
  expect_identical(m$a[], l$a)
  expect_identical(m$b$c[], "z")
  expect_true("d" %in% names(m$b))
  expect_identical(m$e, sum)
  expect_identical(l, list(a = 1:3, b = list(c = "z", d = NULL), e = sum, f = NULL))
})

test_that("what cannot be kept or shared is refused", {
  e <- expect_error(copy(NULL), class = "sharedmem_argument_error")
  expect_identical(e$arg, "a")
  for (a in list(sum, globalenv(), quote(x), quote(x + y), as.POSIXlt(Sys.time()), ts(1:3), structure(1:3, mine = 1),
                 structure(1, class = "unknown"), table(1:3)))
    expect_error(copy(a), class = "sharedmem_argument_error")
})
