# The threaded summaries against R's own on the same values.

n <- 150003
shared <- function(values, code) {
  x <- empty(length(values), code)
  x[] <- values
  x
}
number_sets <- function() {
  set.seed(7)
  list(f8 = c(rnorm(n - 3), Inf, 0, -0), f4 = round(rnorm(n), 2), i1 = sample(-100:100, n, TRUE), i2 = sample(-3000:3000, n, TRUE),
       i4 = sample(-5000:5000, n, TRUE), u1 = sample(0:255, n, TRUE), u2 = sample(0:9999, n, TRUE), u4 = sample(2^31 + 1:100, n, TRUE),
       b1 = sample(c(TRUE, FALSE), n, TRUE))
}
with_missing <- function(x) {
  x[c(5, 70000)] <- NA
  if (is.double(x)) x[66] <- NaN
  x
}
spy <- function(x, generic) sharedmem:::kernel_summary(generic, x, FALSE)

test_that("min, max, range, any and all give R's value and type", {
  local_np(2)
  for (code in names(number_sets())) {
    v <- number_sets()[[code]]
    x <- shared(v, code)
    w <- x[]
    for (f in list(min, max, range)) expect_identical(f(x), f(w), label = code)
    if (code %in% c("f8", "f4", "i4", "b1")) {
      y <- shared(with_missing(v), code)
      w <- y[]
      for (f in list(min, max, range)) {
        expect_identical(f(y), f(w))
        expect_identical(f(y, na.rm = TRUE), f(w, na.rm = TRUE))
      }
    }
  }
  expect_false(is.null(spy(shared(number_sets()$f8, "f8"), "min")))
  for (v in list(rep(TRUE, n), rep(FALSE, n), rep(c(TRUE, FALSE), n), rep(NA, n), c(NA, rep(TRUE, n)), c(rep(FALSE, n), NA)))
    for (na.rm in c(FALSE, TRUE)) {
      x <- shared(v, "b1")
      expect_identical(any(x, na.rm = na.rm), any(v, na.rm = na.rm))
      expect_identical(all(x, na.rm = na.rm), all(v, na.rm = na.rm))
      expect_identical(sum(x, na.rm = na.rm), sum(v, na.rm = na.rm))
    }
})

test_that("the sign of a zero that is the least or greatest is that of the first", {
  local_np(2)
  for (v in list(c(0, -0), c(-0, 0))) {
    x <- shared(rep(v, n), "f8")
    expect_identical(1 / min(x), 1 / min(x[]))
    expect_identical(1 / max(x), 1 / max(x[]))
  }
})

test_that("sums and means of whole numbers are R's, those past the range of integers too", {
  local_np(2)
  for (code in c("i1", "i2", "i4", "u1", "u2", "b1")) {
    w <- shared(number_sets()[[code]], code)
    expect_identical(sum(w), sum(w[]))
    expect_identical(mean(w), mean(w[]))
    expect_false(is.null(spy(w, "sum")))
  }
  y <- shared(with_missing(number_sets()$i4), "i4")
  for (na.rm in c(FALSE, TRUE)) {
    expect_identical(sum(y, na.rm = na.rm), sum(y[], na.rm = na.rm))
    expect_identical(mean(y, na.rm = na.rm), mean(y[], na.rm = na.rm))
  }
  big <- shared(rep(.Machine$integer.max, n), "i4")
  expect_identical(sum(big), sum(big[]))
  expect_equal(sum(shared(rep(4294967295, n), "u4")), 4294967295 * n)
})

test_that("missing values in sums, means and products give NA or NaN as in R", {
  local_np(2)
  v <- runif(n, 0.999, 1.001)
  for (put in list(NA, NaN, c(NaN, NA), c(NA, NaN), Inf, c(Inf, -Inf), c(Inf, NA))) {
    w <- v
    w[seq_along(put) * 40000] <- put
    x <- shared(w, "f8")
    for (f in list(sum, mean, prod)) for (na.rm in c(FALSE, TRUE)) {
      got <- f(x, na.rm = na.rm)
      expected <- f(w, na.rm = na.rm)
      expect_equal(got, expected, tolerance = 1e-14)
      # which of the two NaN and NA together give depends on the compiler, as ?NaN says
      if (!(any(is.nan(put)) && any(is.na(put) & !is.nan(put)))) expect_identical(is.nan(got), is.nan(expected))
    }
  }
})

test_that("what is left empty gives R's value and warning", {
  local_np(2)
  x <- shared(rep(NA_real_, n), "f8")
  expect_warning(expect_identical(min(x, na.rm = TRUE), Inf), "no non-missing")
  expect_warning(expect_identical(max(x, na.rm = TRUE), -Inf), "no non-missing")
  expect_identical(sum(x, na.rm = TRUE), 0)
  expect_identical(prod(x, na.rm = TRUE), 1)
  expect_identical(mean(x, na.rm = TRUE), NaN)
  i <- shared(rep(NA_integer_, n), "i4")
  expect_warning(expect_identical(min(i, na.rm = TRUE), Inf), "no non-missing")
  expect_identical(sum(i, na.rm = TRUE), 0L)
})

# Sums that are known exactly: pairs that cancel, with a rest that is left.
hard_inputs <- function() {
  set.seed(11)
  big <- rnorm(n) * 10^sample(0:15, n, TRUE)
  rest <- round(runif(1000) * 2^20) / 2^20
  cancel <- c(big, -big, rest)
  list(list(x = sample(cancel), sum = sum(rest * 2^20) / 2^20),
       list(x = c(1e16, rep(1, 2e5), -1e16), sum = 2e5),
       list(x = rep(0.1, 1e6), sum = 1e5 * (1 + 5.5511151231257827e-17)),
       list(x = c(rep(c(1, 1e-18), 1e5), rep(-1, 1e5)), sum = 1e-13))
}

test_that("sums of hard inputs are at least as near to the exact sum as R's", {
  local_np(2)
  for (h in hard_inputs()) {
    ours <- abs(sum(copy(h$x)) - h$sum)
    expect_lte(ours, abs(sum(h$x) - h$sum))
    expect_lte(ours, abs(h$sum) * 2^-53 + 2^-106 * length(h$x) * sum(abs(h$x)))
  }
})

test_that("partial sums past the range of doubles do not spoil a sum that is within it", {
  local_np(2)
  v <- c(rep(1e308, 5), rep(-1e308, 5), runif(n))
  expect_equal(sum(copy(v)), sum(v))
  expect_identical(sum(copy(rep(1e308, n))), Inf)
})

test_that("sums and products are the same for any number of threads", {
  set.seed(12)
  x <- copy(rnorm(7e5) * 10^sample(-10:10, 7e5, TRUE))
  run <- function(what, np) .Call(sharedmem:::ffi_reduce_run, x, what, FALSE, np)
  for (what in c(0L, 1L, 7L))
    for (np in 2:7) expect_identical(run(what, np), run(what, 1L))
})

test_that("products are R's but for the last bits, past the range too", {
  local_np(2)
  v <- exp(rnorm(n, sd = 1e-3))
  expect_equal(prod(copy(v)), prod(v), tolerance = 1e-15)
  expect_identical(prod(copy(rep(c(2, 0.5), n))), 1)
  expect_identical(prod(copy(c(rep(1e-300, n), rep(1e300, n)))), prod(c(rep(1e-300, n), rep(1e300, n))))
  expect_identical(prod(copy(rep(3, n))), Inf)
  expect_identical(prod(shared(rep(1L, n), "i4")), 1)
})

test_that("a product that has become 0 or infinite ends as R's", {
  local_np(2)
  set.seed(13)
  v <- runif(3e5)
  w <- -1e5 * v
  for (x in list(v, -v, c(v, -1), w, c(w, -2), c(v, 0), c(v, Inf), c(w, 0), c(w, -Inf), c(0, v), c(v, NaN), c(w, NA), c(v, 1e300 / v)))
    for (na.rm in c(FALSE, TRUE)) {
      got <- prod(copy(x), na.rm = na.rm)
      expect_identical(c(got, 1 / got), c(prod(x, na.rm = na.rm), 1 / prod(x, na.rm = na.rm)))
    }
})

test_that("no thread is left when a kernel has returned", {
  skip_if_not(dir.exists("/proc/self/task"))
  before <- length(list.files("/proc/self/task"))
  x <- runif(3e5)
  argsort(x, np = 4)
  sum(copy(x))
  expect_lte(length(list.files("/proc/self/task")), before)
})
