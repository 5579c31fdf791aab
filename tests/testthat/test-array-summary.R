test_that("summaries give what R gives, with further values and na.rm", {
  for (code in c("f8", "f4", "i4", "u2", "i8")) {
    ref <- c(4, 1, 3, 3)
    if (code %in% c("i4", "u2")) ref <- as.integer(ref)
    x <- empty(4, code)
    x[] <- ref
    for (f in c("sum", "prod", "max", "min", "range")) {
      expect_identical(match.fun(f)(x), match.fun(f)(ref), info = paste(code, f))
      expect_identical(match.fun(f)(x, 10, x), match.fun(f)(ref, 10, ref), info = paste(code, f))
    }
    for (f in list(mean, median, quantile, summary, is.na, anyNA, is.nan, is.finite, is.infinite))
      expect_identical(f(x), f(ref), info = code)
    expect_identical(quantile(x, 0.1, type = 6), quantile(ref, 0.1, type = 6))
    expect_identical(mean(x, trim = 0.25), mean(ref, trim = 0.25))
  }
  x <- empty(3)
  x[] <- c(1, NA, 3)
  expect_identical(sum(x), NA_real_)
  expect_identical(sum(x, na.rm = TRUE), 4)
  expect_identical(range(x, 2, na.rm = TRUE), c(1, 3))
  expect_identical(median(x, na.rm = TRUE), 2)
  expect_identical(is.na(x), c(FALSE, TRUE, FALSE))
  expect_true(anyNA(x))
})

test_that("any() and all() work on b1", {
  x <- empty(2, "b1")
  expect_false(any(x))
  x[] <- TRUE
  expect_true(all(x))
  x[1] <- NA
  expect_identical(all(x), NA)
})

test_that("is.numeric() says what the values are", {
  numeric <- vapply(c("f8", "f4", "i1", "i8", "u4", "b1", "c16", "raw", "S3"), function(code) is.numeric(empty(1, code)), NA)
  expect_identical(unname(numeric), c(TRUE, TRUE, TRUE, TRUE, TRUE, FALSE, FALSE, FALSE, FALSE))
  expect_false(is.numeric(copy(factor("a"))))
  expect_false(is.numeric(copy(Sys.Date())))
})

test_that("a missing value is found in a large array", {
  x <- empty(2^20 + 10)
  expect_false(anyNA(x))
  x[2^20 + 5] <- NA
  expect_true(anyNA(x))
})

test_that("sum, min and max of a long run are base R's or better", {
  n <- 2^18
  plain <- sample(c(1e16, 1, -1e16, 3), n, TRUE) + runif(n)
  cases <- list(plain, replace(plain, 7, NA), replace(plain, c(7, 9), c(NaN, NA)), replace(plain, 9, NaN), replace(plain, 1, Inf),
                replace(plain, 1:2, c(Inf, -Inf)), rep(NA_real_, n), rep(-0, n), replace(plain, 1:2, .Machine$double.xmax))
  for (v in cases) for (na.rm in c(FALSE, TRUE)) {
    x <- copy(v)
    y <- x[1:n]
    quiet <- function(f, v) suppressWarnings(f(v, na.rm = na.rm))
    for (f in list(min, max, range)) expect_identical(quiet(f, y), quiet(f, v + 0))
    expect_equal(sum(y, na.rm = na.rm), sum(v + 0, na.rm = na.rm), tolerance = 1e-12)
    if (is.finite(sum(y, na.rm = na.rm))) expect_identical(sum(y, na.rm = na.rm), sum(x, na.rm = na.rm))
    else expect_identical(sum(y, na.rm = na.rm), sum(v, na.rm = na.rm)) # of the same bits: NA or NaN, x87 looks at them
  }
  expect_warning(min(copy(rep(NA_real_, n))[1:n], na.rm = TRUE), "no non-missing")
  expect_identical(sum(copy(rep(c(1e16, 1, -1e16, 1), n / 4))[1:n]), n / 2)
})

test_that("mean() takes trim and na.rm by position and by a part of their names", {
  x <- c(1, NA, 3, 100)
  s <- copy(x)
  for (f in list(function(v) mean(v, 0, TRUE), function(v) mean(v, na = TRUE), function(v) mean(v, na.rm = TRUE), function(v) mean(v),
                 function(v) mean(v, 0.4, na.rm = TRUE), function(v) mean(v, trim = 0.4, TRUE)))
    expect_identical(f(s), f(x))
})
