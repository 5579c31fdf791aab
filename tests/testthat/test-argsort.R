same_as_order <- function(x, np = 1:2) {
  for (decreasing in c(FALSE, TRUE)) for (na_last in c(TRUE, FALSE, NA)) {
    expected <- order(x, decreasing = decreasing, na.last = na_last, method = "radix")
    for (threads in np) {
      got <- argsort(x, decreasing = decreasing, na_last = na_last, np = threads)
      if (!identical(as.vector(got, "integer"), expected)) return(FALSE)
    }
  }
  TRUE
}

same_as_order_of_shared <- function(x) {
  for (decreasing in c(FALSE, TRUE)) for (na_last in c(TRUE, FALSE, NA)) {
    expected <- order(as.vector(x), decreasing = decreasing, na.last = na_last, method = "radix")
    if (!identical(as.vector(argsort(x, NULL, decreasing, na_last, np = 2), "integer"), expected)) return(FALSE)
  }
  TRUE
}

sizes <- c(0, 1, 2, 3, 25, 1000, 2e5)

test_that("argsort() gives the permutation of order() for doubles of every kind", {
  set.seed(1)
  for (n in sizes) {
    expect_true(same_as_order(runif(n)))
    expect_true(same_as_order(rnorm(n, sd = 1e-3)))
    expect_true(same_as_order(exp(rnorm(n, sd = 30)) * sample(c(-1, 1), n, TRUE)))
    expect_true(same_as_order(sample(c(NA, NaN, Inf, -Inf, 0, -0, 1, -1, 5e-324), n, TRUE)))
    expect_true(same_as_order(ifelse(runif(n) < 0.1, NA, rcauchy(n))))
    expect_true(same_as_order(floor(runif(n, -50, 50))))
    expect_true(same_as_order(c(.Machine$double.xmax, -.Machine$double.xmax, runif(n))))
  }
})

test_that("argsort() takes sorted, reversed, nearly sorted, constant and all-missing input", {
  set.seed(2)
  for (n in sizes) {
    up <- seq_len(n) / 3
    expect_true(same_as_order(up))
    expect_true(same_as_order(rev(up)))
    expect_true(same_as_order(rev(floor(up))))
    near <- up
    if (n > 2) near[sample(n, n %/% 100 + 1)] <- runif(n %/% 100 + 1, 0, n)
    expect_true(same_as_order(near))
    expect_true(same_as_order(rep(3.5, n)))
    expect_true(same_as_order(rep(NA_real_, n)))
    expect_true(same_as_order(rep(c(NaN, NA), length.out = n)))
    expect_true(same_as_order(rep(NA_integer_, n)))
    expect_true(same_as_order(rep(c(-0, 0), length.out = n)))
  }
})

test_that("argsort() gives the permutation of order() for integers, logical values, raw bytes and factors", {
  set.seed(3)
  for (n in sizes) {
    expect_true(same_as_order(sample.int(.Machine$integer.max, n, TRUE) * sample(c(-1L, 1L), n, TRUE)))
    expect_true(same_as_order(sample(c(NA, 1:1000), n, TRUE)))
    expect_true(same_as_order(sample(c(NA, -3:3), n, TRUE)))
    expect_true(same_as_order(sample(c(NA, TRUE, FALSE), n, TRUE)))
    expect_true(same_as_order(factor(sample(letters, n, TRUE), levels = sample(letters))))
    expect_true(same_as_order(as.Date("2020-01-01") + sample(1000, n, TRUE)))
    expect_true(same_as_order(as.POSIXct("2020-01-01", tz = "UTC") + runif(n)))
    bytes <- as.raw(sample(0:255, n, TRUE))
    expect_identical(as.vector(argsort(bytes), "integer"), order(as.integer(bytes)))
  }
})

test_that("argsort() sorts strings as order() does in the C locale", {
  set.seed(4)
  for (n in c(0, 1, 2, 25, 3000, 1.5e5)) {
    expect_true(same_as_order(sprintf("id_%06d", sample.int(1e6, n, TRUE))))
    expect_true(same_as_order(sample(c("", "a", "ab", "b", NA, "\u00e9", "zz", "Z"), n, TRUE)))
    expect_true(same_as_order(paste0(strrep("x", sample(0:40, n, TRUE)), sample(c("", "y"), n, TRUE))))
    expect_true(same_as_order(as.character(runif(n))))
    expect_true(same_as_order(rep(NA_character_, n)))
  }
  latin <- c("\u00e9t\u00e9", "zebra", "\u00c0", "abc")
  other <- latin
  Encoding(other) <- "UTF-8"
  other <- iconv(other, "UTF-8", "latin1")
  expect_identical(argsort(other), argsort(latin))
})

test_that("argsort() takes few distinct values, up to and past the limit of its dictionaries", {
  set.seed(6)
  few <- function(n, distinct) sample(c(seq_len(distinct), sample.int(distinct, n - distinct, TRUE)))
  for (distinct in c(2, 1000, 8191, 8192, 8193)) {
    place <- few(1.4e5, distinct)
    expect_true(same_as_order((place - 500) / 8, np = c(1, 2, 7)))
    expect_true(same_as_order(sample.int(1e9L, distinct)[place], np = c(1, 2, 7)))
    expect_true(same_as_order(sprintf("key%d", seq_len(distinct))[place], np = c(1, 2, 7)))
  }
  odd <- c(NA, NaN, -Inf, Inf, -0, 0, 5e-324, -1, 1e300)
  for (n in c(2047, 2048, 1.4e5)) {
    expect_true(same_as_order(sample(odd, n, TRUE), np = c(1, 2, 7)))
    expect_true(same_as_order(sample(c(odd, rnorm(500)), n, TRUE), np = c(1, 2, 7)))
    expect_true(same_as_order(sample(c(NA, "", NA, "b", "a"), n, TRUE), np = c(1, 2, 7)))
  }
})

test_that("what looks few in a sample and is not is sorted all the same", {
  set.seed(7)
  n <- 1.4e5
  x <- runif(n)
  x[1 + rep((0:511) * (n %/% 512), each = 2) + 0:1] <- 0.5
  x[sample.int(n, n / 2)] <- 0.25
  expect_true(same_as_order(x))
  expect_true(same_as_order(as.character(x)))
  expect_true(same_as_order(c(rep(c(1.5, 0.5), n / 2), x)))
  expect_true(same_as_order(as.integer(x * 1e9)))
})

test_that("equal texts in different encodings are equal, bytes are taken as they are", {
  set.seed(8)
  utf8 <- c("\u00e9t\u00e9", "zebra", "\u00c0", "abc")
  latin1 <- iconv(utf8, "UTF-8", "latin1")
  expect_false(identical(charToRaw(latin1[1L]), charToRaw(utf8[1L])))
  for (n in c(100, 3000, 1.4e5)) {
    place <- sample.int(4L, n, TRUE)
    mixed <- ifelse(runif(n) < 0.5, utf8[place], NA)
    other <- runif(n) < 0.5 & !is.na(mixed)
    mixed[other] <- latin1[place[other]]
    same <- enc2utf8(mixed)
    for (decreasing in c(FALSE, TRUE)) for (na_last in c(TRUE, FALSE, NA))
      expect_identical(argsort(mixed, NULL, decreasing, na_last, np = 2),
                       order(same, decreasing = decreasing, na.last = na_last, method = "radix"))
  }
  bytes <- "\xff\xfe"
  Encoding(bytes) <- "bytes"
  with_bytes <- rep(c("b", bytes, "\u00e9", "a"), 1000)
  expect_identical(argsort(with_bytes), as.vector(outer(seq(0, by = 4, length.out = 1000), c(4, 1, 3, 2), "+"), "integer"))
})

test_that("strings that R makes when asked for are sorted too", {
  set.seed(9)
  numbers <- sample.int(50L, 5000, TRUE)
  expect_identical(argsort(as.character(numbers)), order(as.character(numbers), method = "radix"))
  view <- shared_view(copy(sample(c("b", NA, "a", "longer"), 5000, TRUE)))
  expect_identical(argsort(view), order(view[], method = "radix"))
  sorted <- sort(sample(c("b", "a"), 5000, TRUE), method = "radix")
  expect_identical(argsort(sorted), seq_len(5000))
  expect_identical(argsort(sorted, decreasing = TRUE), order(sorted, decreasing = TRUE, method = "radix"))
})

test_that("argsort() sorts shared arrays of every dtype like the vector of their values", {
  set.seed(5)
  n <- 1.5e5
  values <- list(f8 = ifelse(runif(n) < 0.1, NA, rnorm(n)), f4 = c(NA, NaN, round(rnorm(n - 2), 2)), i1 = sample(-100:100, n, TRUE),
                 i2 = sample(-30000:30000, n, TRUE), i4 = sample(c(NA, -1e9, 1:1e5), n, TRUE), i8 = sample(-2^40 + 1:1e5, n, TRUE),
                 u1 = sample(0:255, n, TRUE), u2 = sample(0:65535, n, TRUE), u4 = sample(2^31 + 1:1e5, n, TRUE),
                 b1 = sample(c(NA, TRUE, FALSE), n, TRUE), S6 = sample(c(NA, "", "abc", "abcdef", "b"), n, TRUE))
  for (code in names(values)) {
    x <- empty(n, code)
    x[] <- values[[code]]
    expect_true(same_as_order_of_shared(x), label = code)
  }
  m <- copy(matrix(runif(6), 2))
  expect_identical(argsort(m), order(m[]))
})

test_that("integer64 is sorted by its numbers, NA where argsort() was told to put it", {
  skip_if_not_installed("bit64")
  v <- bit64::as.integer64(c("5", NA, "-9000000000000000000", "9000000000000000000", "0"))
  expect_identical(argsort(v), c(3L, 5L, 1L, 4L, 2L))
  expect_identical(argsort(v, decreasing = TRUE, na_last = FALSE), c(2L, 4L, 1L, 5L, 3L))
  expect_identical(argsort(copy(v)), c(3L, 5L, 1L, 4L, 2L))
})

test_that("other classes are sorted by xtfrm(), complex values by their real and then their imaginary parts", {
  v <- numeric_version(c("1.10", "1.2", "1.9"))
  expect_identical(argsort(v), c(2L, 3L, 1L))
  z <- complex(real = c(2, 1, NA, 1, 2), imaginary = c(0, 3, 0, -1, 0))
  for (x in list(z, copy(z))) {
    expect_identical(argsort(x), c(4L, 2L, 1L, 5L, 3L))
    expect_identical(argsort(x, decreasing = TRUE, na_last = NA), c(1L, 5L, 2L, 4L))
  }
})

test_that("the result goes into `out`", {
  x <- c(3, 1, NA, 2)
  for (code in c("i4", "i8", "f8")) {
    out <- empty(4, code)
    expect_true(is_shared(argsort(x, out)))
    expect_equal(as.vector(out), c(2, 4, 1, 3))
  }
  out <- empty(3, "i4")
  argsort(x, out, na_last = NA)
  expect_equal(as.vector(out), c(2, 4, 1))
  sorted <- empty(1e5, "f8")
  expect_equal(as.vector(argsort(seq_len(1e5), sorted)), as.double(seq_len(1e5)))
})

test_that("an `out` that cannot take the result is an argument error", {
  x <- c(3, 1, 2)
  bad <- function(...) expect_error(argsort(...), class = "sharedmem_argument_error")
  expect_identical(bad(x, out = empty(2, "i4"))$arg, "out")
  expect_identical(bad(x, out = empty(3, "u1"))$arg, "out")
  expect_identical(bad(x, out = integer(3))$arg, "out")
  file <- tempfile()
  odd <- memmap(file, "i4", 3, "w+", offset = 2)
  expect_identical(bad(x, out = odd)$arg, "out")
})

test_that("an `out` that is the data, by whatever mapping, takes the permutation of what they were", {
  v <- c(3, 1, 2)
  x <- copy(v)
  expect_identical(argsort(x, out = x)[], c(2, 3, 1))
  x[] <- v
  expect_identical(argsort(shared_view(x), out = x)[], c(2, 3, 1))
  file <- tempfile()
  writeBin(v, file)
  p <- memmap(file, mode = "r+")
  expect_identical(argsort(memmap(file), out = p)[], c(2, 3, 1))
})

test_that("bad arguments are errors that name them", {
  arg <- function(...) expect_error(argsort(...), class = "sharedmem_argument_error")$arg
  expect_identical(arg(list(1, 1:2)), "data")
  expect_identical(arg(sum), "data")
  expect_identical(arg(NULL), "data")
  expect_identical(arg(1, decreasing = NA), "decreasing")
  expect_identical(arg(1, na_last = "yes"), "na_last")
  expect_identical(arg(1, np = 0), "np")
  expect_identical(arg(1, np = c(1, 2)), "np")
})

test_that("argsort() leaves its input as it was", {
  x <- runif(1e5)
  before <- x + 0
  argsort(x)
  expect_identical(x, before)
})

test_that("strings that are prefixes of one another do not exhaust the stack", {
  s <- strrep("a", sample(0:2500))
  expect_identical(argsort(s), order(s, method = "radix"))
})

test_that("an interrupt ends argsort(), and the next one works", {
  skip_on_cran()
  r <- run_script(quote({
    x <- runif(3e7)
    options(error = quote(cat("not for interrupts that are caught")))
    system(sprintf("(sleep 0.5; kill -INT %d) &", Sys.getpid()))
    ended <- tryCatch({ repeat argsort(x, np = 2); FALSE }, interrupt = function(e) TRUE)
    threads <- length(list.files("/proc/self/task"))
    answer(list(ended = ended, threads = threads, works = identical(argsort(c(2, 1)), 2:1)))
  }), timeout = 60)
  expect_true(r$value$ended)
  expect_true(r$value$works)
  expect_identical(c(r$stdout, r$stderr), character())
  if (dir.exists("/proc/self/task")) expect_lte(r$value$threads, 2)
})

test_that("several keys sort as in order(), the first one deciding", {
  set.seed(31)
  a <- sample(c(1:3, NA), 500, TRUE)
  b <- sample(c("x", "y", "z", NA), 500, TRUE)
  d <- round(rnorm(500), 1)
  for (decreasing in c(FALSE, TRUE)) for (na_last in c(TRUE, FALSE, NA)) {
    want <- order(a, b, d, decreasing = decreasing, na.last = na_last, method = "radix")
    expect_identical(argsort(list(a, copy(b), copy(d)), decreasing = decreasing, na_last = na_last), want)
    expect_identical(argsort(data.frame(a, b, d), decreasing = decreasing, na_last = na_last), want)
  }
  out <- empty(500, "i4")
  argsort(list(copy(a), b), out = out)
  expect_identical(out[], order(a, b, method = "radix"))
  for (bad in list(list(), list(1, 1:2), list(1, list())))
    expect_error(argsort(bad), class = "sharedmem_argument_error")
})

test_that("complex places go into an `out` of their length only", {
  z <- copy(c(2 + 0i, 1 + 0i))
  expect_error(argsort(z, out = empty(5, "i4")), class = "sharedmem_argument_error")
  out <- empty(2, "i4")
  argsort(z, out = out)
  expect_identical(out[], 2:1)
})
