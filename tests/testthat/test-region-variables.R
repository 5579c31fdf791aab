test_that("a shared variable is written by every process", {
  p <- Parallel(Shared(a = numeric(6), flag = FALSE, n = 0L, z = 1i), num_threads = 2)
  with(p, {
    p$forloop(1:6, function(i) p$var$a[i] <- i * 10)
    p$critical({
      p$var$n <- p$var$n + 1L
      p$var$z <- p$var$z + 1
    })
    if (p$rank == 1) p$var$flag <- TRUE
  })
  expect_identical(p$var$a[], 1:6 * 10)
  expect_identical(p$var$n, 2L)
  expect_identical(p$var$z, 2 + 1i)
  expect_true(p$var$flag)
})

test_that("an element assignment writes that element and no others", {
  p <- Parallel(Shared(a = matrix(0, 2, 500)), num_threads = 2)
  with(p, for (j in 1:500) p$var$a[p$rank + 1, j] <- p$rank + 1)
  expect_identical(p$var$a[], matrix(c(1, 2), 2, 500))
})

test_that("single values read as plain R values, longer ones as the shared array", {
  x <- full(3, 7)
  p <- Parallel(Shared(a = 1.5, v = 1:3, m = matrix(1), x = x, day = as.Date("2020-02-29"), s = "abc"))
  expect_identical(p$var$a, 1.5)
  expect_true(is_shared(p$var$v))
  expect_identical(p$var$v[], 1:3)
  expect_identical(dim(p$var$m), c(1L, 1L))
  expect_identical(p$var$x, x)
  expect_identical(p$var$day, as.Date("2020-02-29"))
  expect_identical(p$var$s, "abc")
})

test_that("a data frame is shared by its columns", {
  p <- Parallel(Shared(d = data.frame(i = 1:4, sq = 0)), num_threads = 2)
  with(p, p$forloop(1:4, function(i) p$var$d$sq[i] <- i^2))
  expect_identical(p$var$d$sq[], c(1, 4, 9, 16))
})

test_that("assigning a shared variable keeps its length and type", {
  p <- Parallel(Shared(a = c(1, 2), i = 1:2))
  p$var$a <- c(3, 4)
  expect_identical(p$var$a[], c(3, 4))
  e <- expect_error(p$var$a <- 1:3, class = "sharedmem_argument_error")
  expect_identical(e$arg, "a")
  expect_error(p$var$i <- c(1.5, 2), class = "sharedmem_value_error")
  expect_identical(p$var$i[], 1:2)
})

test_that("unknown variables and other assignments to a region are errors", {
  p <- Parallel(Shared(a = 1))
  expect_error(p$var$b, class = "sharedmem_argument_error")
  expect_error(p$var$b <- 1, class = "sharedmem_argument_error")
  expect_error(p$rank <- 1L, class = "sharedmem_region_error")
  expect_identical(names(p$var), "a")
})

test_that("private variables start at the given value in every process and end with the region", {
  p <- Parallel(Private(k = 5, l = list(1)), Shared(seen = numeric(2)), num_threads = 2)
  with(p, {
    p$var$k <- p$var$k + p$rank
    p$barrier()
    p$var$seen[p$rank + 1] <- p$var$k
  })
  expect_identical(p$var$seen[], c(5, 6))
  expect_identical(p$var$k, 5)
  expect_identical(p$var$l, list(1))
})

test_that("a reduction takes OpenMP's && and ||, by name and as functions", {
  p <- Parallel(Reduction("&&", every = TRUE, each = c(TRUE, FALSE)), Reduction(`||`, some = FALSE), num_threads = 2)
  with(p, {
    p$var$every <- p$var$every && p$rank == 0
    p$var$some <- p$var$some || p$rank == 1
  })
  expect_identical(list(p$var$every, p$var$each, p$var$some), list(FALSE, c(TRUE, FALSE), TRUE))
})

test_that("reductions start at the identity and count the given value once", {
  p <- Parallel(Reduction("+", s = 100, v = c(a = 1L, b = 2L)), Reduction(`*`, f = 2), Reduction("min", lo = c(5, 0)),
                Reduction(max, hi = 3L), Reduction("&", every = c(TRUE, FALSE)), Reduction("|", any = FALSE), num_threads = 2)
  with(p, {
    start <- list(p$var$s, p$var$v, p$var$f, p$var$lo, p$var$hi, p$var$every, p$var$any)
    identities <- list(0, c(a = 0L, b = 0L), 1, c(Inf, Inf), -.Machine$integer.max, c(TRUE, TRUE), FALSE)
    if (!identical(start, identities)) stop("not the identities")
    p$var$s <- p$var$s + p$rank + 1
    p$var$v <- p$var$v + c(1L, 10L)
    p$var$f <- p$var$f * 3
    p$var$lo <- c(p$rank, p$rank + 1)
    p$var$hi <- p$rank
    p$var$every <- c(TRUE, TRUE)
    p$var$any <- p$rank == 1
  })
  expect_identical(p$var$s, 103)
  expect_identical(p$var$v, c(a = 3L, b = 22L))
  expect_identical(p$var$f, 18)
  expect_identical(p$var$lo, c(0, 0))
  expect_identical(p$var$hi, 3L)
  expect_identical(p$var$every, c(TRUE, FALSE))
  expect_true(p$var$any)
})

test_that("a region that runs again combines with what it left", {
  p <- Parallel(Reduction("+", n = 1), num_threads = 2)
  for (k in 1:3) with(p, p$var$n <- p$var$n + 1)
  expect_identical(p$var$n, 7)
})

test_that("arrays keep their shape, and a function of two values may have an identity", {
  p <- Parallel(Reduction("+", m = matrix(0, 2, 3, dimnames = list(c("a", "b"), NULL))), Reduction("min", lo = matrix(9, 1, 2)),
                Reduction(c, ranks = NULL), Reduction(function(a, b) paste0(a, b), word = ">", identity = "-"), num_threads = 2)
  with(p, {
    p$var$m[2, ] <- p$var$m[2, ] + 1
    p$var$lo <- p$var$lo - 1
    if (is.null(p$var$ranks) && p$rank == 1) p$var$ranks <- p$rank
    p$var$word <- paste0(p$var$word, p$rank)
  })
  expect_identical(p$var$m, matrix(c(0, 2), 2, 3, dimnames = list(c("a", "b"), NULL)))
  expect_identical(p$var$lo, matrix(9, 1, 2))
  expect_identical(p$var$ranks, 1L)
  expect_identical(p$var$word, ">-0-1")
})

test_that("a sum of doubles is the same to the last bit every time", {
  x <- sin(1:1e4)
  sums <- vapply(1:5, function(k) {
    p <- Parallel(Reduction("+", s = 0), num_threads = 2)
    with(p, p$forloop(x, function(v) p$var$s <- p$var$s + v))
    p$var$s
  }, 0)
  expect_identical(length(unique(sums)), 1L)
  expect_equal(sums[1], sum(x))
})

test_that("a reduction of many megabytes arrives", {
  p <- Parallel(Reduction("+", x = numeric(1e6)), num_threads = 2)
  with(p, p$var$x <- p$var$x + p$rank + 1)
  expect_identical(unique(p$var$x), 3)
})

test_that("a region that fails leaves private variables and reductions as they were", {
  p <- Parallel(Private(k = 1), Reduction("+", s = 10), num_threads = 2)
  expect_error(with(p, {
    p$var$k <- 2
    p$var$s <- 5
    p$barrier()
    stop("no")
  }), class = "WorkerException")
  expect_identical(p$var$k, 1)
  expect_identical(p$var$s, 10)
})

test_that("bad clauses are argument errors", {
  expect_error(Shared(1), class = "sharedmem_argument_error")
  expect_error(Shared(f = sum), class = "sharedmem_argument_error")
  expect_error(Reduction("-", a = 1), class = "sharedmem_argument_error")
  expect_error(Reduction("+", a = 1, identity = 0), class = "sharedmem_argument_error")
  expect_error(Parallel(Reduction("+", a = "x")), class = "sharedmem_argument_error")
  expect_error(Parallel(Reduction("min", a = 1i)), class = "sharedmem_argument_error")
  expect_error(Parallel(Shared(a = 1), Private(a = 2)), class = "sharedmem_argument_error")
  expect_error(Parallel(Shared(a = 1, a = 2)), class = "sharedmem_argument_error")
  expect_error(Parallel(1), class = "sharedmem_argument_error")
  expect_error(Parallel(num_threads = 0), class = "sharedmem_argument_error")
})

test_that("clauses and variables print what they are", {
  expect_output(print(Reduction("+", a = 1, b = 2)), "<reduction(+): a, b>", fixed = TRUE)
  p <- Parallel(Shared(a = 1), Reduction(c, l = NULL), num_threads = 2)
  expect_output(print(p$var), "shared: a\nreduction(function): l", fixed = TRUE)
  p$var[["a"]] <- 3
  expect_identical(p$var[["a"]], 3)
  expect_output(print(p), "<Parallel region: 2 processes>", fixed = TRUE)
})

test_that("clauses take `op` by its name, and what is none is told how to be one", {
  p <- Parallel(Reduction(op = "max", top = 0), num_threads = 2)
  with(p, p$var$top <- p$rank)
  expect_identical(p$var$top, 1)
  e <- expect_error(Parallel("b"), class = "sharedmem_argument_error")
  expect_match(conditionMessage(e), "Parallel(Shared(a = 0), Reduction(\"+\", b = 0), num_threads = 2)", fixed = TRUE)
  p <- Parallel(Shared(d = data.frame(a = 1:2)), num_threads = 2)
  expect_error(with(p, p$var$d <- list(1)), "must be a data frame with the elements a")
})

test_that("a shared list or data frame is assigned as a whole or by element, all of it or nothing", {
  p <- Parallel(Shared(a = list(x = 1, y = c(1, 2)), d = data.frame(q = 1:2, r = c(0.5, 1))), num_threads = 2)
  with(p, if (p$rank == 1) {
    p$var$a$x <- 9
    p$var$d$q <- 3:4
  })
  expect_identical(unshare(p$var$a), list(x = 9, y = c(1, 2)))
  expect_identical(unshare(p$var$d), data.frame(q = 3:4, r = c(0.5, 1)))
  with(p, if (p$rank == 1) p$var$a <- list(x = 2, y = c(7, 8)))
  expect_identical(unshare(p$var$a), list(x = 2, y = c(7, 8)))
  expect_error(with(p, p$var$a <- list(x = 100, y = c("a", "b"))), class = "WorkerException")
  expect_error(with(p, p$var$d <- data.frame(q = 5:6)), "with the elements q, r")
  q <- Parallel(Shared(n = list(1, list(deep = 2))), num_threads = 1)
  expect_error(with(q, q$var$n <- list(9, list(deep = "text"))), class = "WorkerException")
  expect_identical(unshare(q$var$n), list(1, list(deep = 2)))
  with(q, q$var$n <- list(9, list(deep = 8)))
  expect_identical(unshare(q$var$n), list(9, list(deep = 8)))
  expect_error(with(p, p$var$a <- list(x = 1, y = 1:3)), "`a$y` must be of length 2", fixed = TRUE)
  expect_identical(unshare(p$var$a), list(x = 2, y = c(7, 8)))
})
