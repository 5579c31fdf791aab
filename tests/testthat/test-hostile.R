# Memory that others write, cut off or map a second time while it is used. What may crash runs in a process of its own.

# Seconds that each race lasts.
race_seconds <- as.numeric(Sys.getenv("SHAREDMEM_RACE_SECONDS", "1"))

test_that("arrays are sorted, searched and summed while another process writes them, and stay in bounds", {
  result <- run_script(vars = list(seconds = race_seconds), timeout = 120 + 10 * race_seconds, code = {
    n <- 4e5
    x <- empty(n)
    s <- empty(n / 4, "S8")
    bg <- background(function() {
      a <- runif(n) * 1e3
      b <- seq_len(n) * 1e12
      few <- as.double(sample(50, n, TRUE))
      words <- sprintf("%06d", sample(n / 4))
      repeat {
        for (v in list(a, b, -b, few, c(NA, a[-1]))) x[] <- v
        s[] <- words
        s[] <- rev(words)
      }
    })
    is_permutation <- function(o, n) length(o) == n && !anyDuplicated(o) && min(o) == 1 && max(o) == n
    end <- proc.time()[["elapsed"]] + seconds
    ok <- logical()
    repeat {
      ok <- c(ok, is_permutation(argsort(x, np = 1), n), is_permutation(argsort(x, decreasing = TRUE, np = 2), n),
              is_permutation(argsort(s, np = 1), n / 4), all(argsort(x, na_last = NA) <= n),
              all(searchsorted(x, c(1, 5, NA)) %in% seq_len(n + 1)))
      sum(x)
      range(x)
      prod(x)
      if (proc.time()[["elapsed"]] > end) break
    }
    bg$cancel()
    answer(ok)
  })
  expect_script_ok(result)
  expect_true(all(result$value))
})

test_that("subscripts and values in memory that others write never reach past an array", {
  result <- run_script(vars = list(seconds = race_seconds), timeout = 120 + 10 * race_seconds, code = {
    n <- 1e5
    idx <- empty(n, "i4")
    dbl <- empty(n)
    flag <- empty(n, "b1")
    cells <- empty(c(n / 2, 2), "i4")
    bg <- background(function() {
      a <- sample(1000L, n, TRUE)
      b <- rep(2000000000L, n)
      repeat {
        for (v in list(a, b, -a, 0L * a)) {
          idx[] <- v
          dbl[] <- v * 1e6
          cells[] <- v
        }
        flag[] <- TRUE
        flag[] <- rep(c(NA, FALSE, FALSE), length.out = n)
      }
    })
    x <- empty(1000)
    m <- empty(c(1000, 1000), "u1")
    y <- empty(n, "i4")
    views <- list(shared_view(idx), shared_view(dbl), shared_view(flag), shared_view(cells))
    end <- proc.time()[["elapsed"]] + seconds
    repeat {
      for (v in views) {
        try(x[v], silent = TRUE)
        try(x[v] <- 1, silent = TRUE)
        try(x[-v], silent = TRUE)
        try(m[v], silent = TRUE)
        try(m[v, 1:2], silent = TRUE)
        try(m[1, v] <- 1L, silent = TRUE)
        try(y[v] <- 1L, silent = TRUE)
        try(y[] <- v, silent = TRUE)
        try(m[seq_along(v)] <- v, silent = TRUE)
        try(atomic_add(y, v, 1L), silent = TRUE)
      }
      try(x[idx], silent = TRUE)
      try(m[cells], silent = TRUE)
      if (proc.time()[["elapsed"]] > end) break
    }
    bg$cancel()
    answer(TRUE)
  })
  expect_script_ok(result)
})

test_that("values that overlap their target, by whatever mapping, are those that stood there before", {
  x <- copy(c(1, 2, 3))
  x[3:1] <- shared_view(x)
  expect_identical(x[], c(3, 2, 1))
  x[2:3] <- shared_view(x, 1, 2)
  expect_identical(x[], c(3, 3, 2))
  b <- copy(as.double(1:5000))
  b[5000:1] <- shared_view(b)
  expect_identical(b[], as.double(5000:1))
  b[2:5000] <- shared_view(b, 1, 4999)
  expect_identical(b[], as.double(c(5000, 5000:2)))
  z <- copy(c(1, 2, 3))
  expect_identical(atomic_add(z, 3:1, shared_view(z)), c(4, 4, 4))
  atomic_add(z, 3:1, z)
  expect_identical(z[], c(8, 8, 8))
  m <- empty(c(3, 2))
  m[] <- 1:6
  m[3:1, ] <- m
  expect_identical(m[], matrix(as.double(c(3:1, 6:4)), 3))
  w <- shared_view(m)
  m[, 2:1] <- w
  expect_identical(m[], matrix(as.double(c(6:4, 3:1)), 3))
})

test_that("two mappings of one file are one memory", {
  file <- tempfile()
  writeBin(1:4 + 0, file)
  p <- memmap(file, mode = "r+")
  q <- memmap(file, mode = "r+")
  p[4:1] <- q
  expect_identical(p[], c(4, 3, 2, 1))
  shifted <- memmap(file, shape = 3, offset = 8)
  p[1:3] <- shifted
  expect_identical(p[], c(3, 2, 1, 1))
  p[2:4] <- shared_view(q, 1, 3)
  expect_identical(p[], c(3, 3, 2, 1))
  unlink(file)
})

test_that("a mapped file that shrinks is an error wherever it is touched", {
  skip_under_sanitizer()
  result <- run_script({
    file <- tempfile()
    gone <- function(expr) tryCatch({ expr; "nothing" }, sharedmem_file_error = function(e) "file", error = conditionMessage)
    x <- memmap(file, "i4", 2e5, "w+")
    s <- memmap(f2 <- tempfile(), "S8", 2e4, "w+")
    v <- shared_view(x)
    close(file(file, "wb"))
    close(file(f2, "wb"))
    y <- empty(2e5, "i4")
    i <- c(5, 1e5)
    answer(c(
      read = gone(x[i]), all = gone(x[]), element = gone(x[[7]]), write = gone(x[i] <- 1L), fill = gone(x[] <- 0L),
      add = gone(atomic_add(x, i, 1L)), add_one = gone(atomic_add(x, 5, 1L)), add_from = gone(atomic_add(y, 1:2e5, x)),
      sorted = gone(argsort(x)), out = gone(argsort(runif(2e5), out = x)), search = gone(searchsorted(x, 1:10)),
      needle = gone(searchsorted(1:10, x)), sum = gone(sum(x)), range = gone(range(x)), prod = gone(prod(x)),
      copied = gone(copy(x)), assigned = gone(y[] <- x), assigned_view = gone(y[] <- v), subscript = gone(y[x]),
      view = gone(v[5]), text = gone(s[3]), texts = gone(argsort(s)), arith = gone(x + 1L), tofile = gone(tofile(x, tempfile()))))
  })
  expect_script_ok(result)
  expect_identical(names(result$value)[result$value != "file"], character())
})

test_that("a file is used where it lies, not copied into the heap", {
  result <- run_script(timeout = 120, code = {
    file <- tempfile()
    x <- memmap(file, "f8", 4e6, "w+")
    odd <- memmap(file, "f8", 4e6 - 1, "r", offset = 4)
    y <- empty(4e6)
    megabytes <- function(expr) {
      invisible(gc(reset = TRUE))
      before <- gc()[2, 6]
      expr
      gc()[2, 6] - before
    }
    answer(c(search = megabytes(searchsorted(x, 5)), sum = megabytes(sum(x)), range = megabytes(range(x)), prod = megabytes(prod(x)),
             mean = megabytes(mean(x)), odd = megabytes(sum(odd)), sorted = megabytes(argsort(x)), copied = megabytes(copy(x)),
             assigned = megabytes(y[] <- x), view = megabytes(y[] <- shared_view(x)), written = megabytes(tofile(x, tempfile()))))
  })
  expect_script_ok(result)
  expect_identical(names(result$value)[result$value > 4], character())
})

test_that("order() and sort() of a view stand a process that writes the memory meanwhile, and follow it from call to call", {
  r <- run_script({
    n <- 1e5
    x <- copy(runif(n))
    writer <- background(function() repeat x[sample.int(n, n / 4)] <- runif(n / 4) * 10^sample(-9:9, 1))
    end <- proc.time()[["elapsed"]] + 3
    whole <- TRUE
    while (proc.time()[["elapsed"]] < end) {
      v <- shared_view(x)
      crossprod(v) # takes a private mapping, which still follows what others write
      whole <- whole && identical(sort.int(order(v)), seq_len(n)) && identical(sort.int(sort.list(v, method = "radix")), seq_len(n))
      sort(v)
    }
    tools::pskill(writer$pid, tools::SIGKILL)
    try(writer$wait(), silent = TRUE)
    v <- shared_view(x)
    first <- identical(order(v), order(x[]))
    x[1:10] <- 1e12
    answer(list(whole, first, identical(order(v), order(x[])), v[1] == 1e12))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, TRUE, TRUE, TRUE))
})
