# Results on their way to the master: small ones in the stream, large vectors beside it.

same_as_lapply <- function(f, x = 1:2, np = 2) {
  got <- MapReduce(np = np, seed = FALSE)$map(f, x)
  expect_identical(got, lapply(x, f))
  invisible(got)
}

# The storage of x, and so many elements that it is just below, at and above where a vector leaves the stream.
around <- function(make, size) for (n in c(65536, 262144, 2^20) %/% size + rep(-1:1, each = 2)) same_as_lapply(function(i) list(make(n), i))

test_that("vectors of every type are what lapply() gives, around the sizes at which they leave the stream", {
  around(function(n) seq_len(n) + 0.5, 8)
  around(function(n) seq_len(n) * 2L, 4)
  around(function(n) rep_len(c(TRUE, NA, FALSE), n), 4)
  around(function(n) complex(real = seq_len(n), imaginary = NA), 16)
  around(function(n) rep_len(as.raw(0:255), n), 1)
  around(function(n) paste0("s", seq_len(n)), 8)
  around(function(n) rep_len(c("a", NA, ""), n), 8)
})

test_that("a large result alone, without a list around it, is what lapply() gives", {
  same_as_lapply(function(i) as.double(seq_len(3e6)) * i)
  same_as_lapply(function(i) rev(seq_len(3e6)) * i)
  same_as_lapply(function(i) as.character(seq_len(3e5) * i))
})

test_that("the bits of NA, NaN and their payloads arrive", {
  bits <- rep_len(as.raw(c(1:6, 0xf4, 0x7f, 0xa2, 7, 0, 0, 0, 0, 0xf0, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0xff)), 8 * 60000)
  special <- readBin(bits, "double", 60000, endian = "little")
  got <- MapReduce(np = 2)$map(function(i) special, 1:2)
  expect_identical(writeBin(got[[2L]], raw(), endian = "little"), writeBin(special, raw(), endian = "little"))
})

test_that("many scalars arrive as they were, whatever stands among them", {
  n <- 3000
  each <- function(f) same_as_lapply(f, seq_len(n))
  each(function(i) i)
  each(function(i) i + 0.5)
  each(function(i) i %% 3 == 0)
  each(function(i) c(1L, NA)[1 + i %% 2])
  each(function(i) c(TRUE, NA)[1 + i %% 2])
  each(function(i) c(-0, NaN, NA, Inf)[1 + i %% 4])
  each(function(i) if (i %% 100 == 0) as.double(i) else i)
  each(function(i) if (i %% 500 == 0) c(i, i) else i)
  each(function(i) if (i %% 500 == 0) NULL else i)
  each(function(i) if (i == 77) integer() else i)
  each(function(i) c(a = i))
  each(function(i) if (i == 77) c(a = i) else i)
  each(function(i) if (i == 77) structure(i, note = "x") else i)
  each(function(i) factor("a", c("b", "a")))
  each(function(i) as.Date("2026-01-01") + i)
  each(function(i) if (i %% 2) matrix(i) else i)
  each(function(i) as.character(i))
  signs <- vapply(MapReduce(np = 2)$map(function(i) 0 * (-1)^i, seq_len(n)), function(v) 1 / v, 0)
  expect_identical(signs, rep_len(c(-Inf, Inf), n))
  got <- MapReduce(np = 2)$map(function(i) i, seq_len(n))
  got[[2L]][1L] <- 0L
  expect_identical(got[[3L]], 3L)
})

test_that("attributes, classes and names come with their vectors", {
  n <- 70000
  same_as_lapply(function(i) setNames(seq_len(n) + 0, paste0("n", seq_len(n))))
  same_as_lapply(function(i) setNames(as.list(seq_len(n)), paste0("n", seq_len(n)))[c(1:5, seq_len(n))])
  same_as_lapply(function(i) matrix(seq_len(n) + 0, ncol = 2, dimnames = list(NULL, c("a", "b"))))
  same_as_lapply(function(i) array(seq_len(n), n, list(paste0("d", seq_len(n)))))
  same_as_lapply(function(i) factor(rep_len(c("x", "y", NA), n)))
  same_as_lapply(function(i) as.Date("2026-01-01") + seq_len(n))
  same_as_lapply(function(i) as.POSIXct(seq_len(n) + 0.25, origin = "1970-01-01", tz = "UTC"))
  same_as_lapply(function(i) as.difftime(seq_len(n) + 0, units = "mins"))
  same_as_lapply(function(i) ts(seq_len(n) + 0, start = 1990, frequency = 12))
  same_as_lapply(function(i) structure(seq_len(n) + 0, class = "integer64"))
  same_as_lapply(function(i) structure(seq_len(n) + 0, comment = "kept", odd = list(1, seq_len(n) + 0)))
  s4 <- same_as_lapply(function(i) asS4(structure(seq_len(n) + 0, class = "thing")))
  expect_true(isS4(s4[[1L]]))
  expect_false(isS4(same_as_lapply(function(i) seq_len(n) + 0)[[1L]]))
})

test_that("lists of lists and data frames of all types are what lapply() gives", {
  n <- 30000
  frame <- function(i) data.frame(
    d = seq_len(n) + 0.5, i = rev(seq_len(n)), l = rep_len(c(TRUE, NA), n), s = paste0("v", seq_len(n) %% 100),
    f = factor(rep_len(letters, n)), t = as.Date("2020-02-29") + seq_len(n), stringsAsFactors = FALSE)
  same_as_lapply(frame)
  same_as_lapply(function(i) list(a = frame(i), b = list(list(frame(i), "x", NULL), f = sum), c = 1:3))
  same_as_lapply(function(i) frame(i)[order(frame(i)$i), ])
  same_as_lapply(function(i) lapply(1:300, function(k) seq_len(9000) + k))
  nested <- function(i) Reduce(function(inner, k) list(inner), 1:300, seq_len(70000) + 0.5)
  same_as_lapply(nested)
})

test_that("nothing large is taken out of an environment or a closure, and both arrive", {
  f <- function(i) {
    x <- seq_len(1e5) + 0
    function() sum(x) + i
  }
  got <- MapReduce(np = 2)$map(f, 1:2)
  expect_identical(got[[2L]](), sum(seq_len(1e5)) + 2)
})

test_that("strings keep their encodings", {
  n <- 40000
  latin1 <- "\xe9t\xe9"
  Encoding(latin1) <- "latin1"
  bytes <- "\xff\xfe"
  Encoding(bytes) <- "bytes"
  pool <- c("plain", "", NA, "\u00e9t\u00e9", "\u65e5\u672c", latin1, bytes, "NA")
  few <- rep_len(pool, n)
  many <- paste0(c("a", "\u00e9", "\u65e5"), seq_len(n))
  many[c(3, 99)] <- c(NA, "")
  for (s in list(few, many, c(few, many))) {
    got <- MapReduce(np = 2)$map(function(i) s, 1:2)[[2L]]
    expect_identical(got[c(3L, length(got))], s[c(3L, length(s))])
    expect_identical(Encoding(got), Encoding(s))
    expect_identical(got, s)
  }
})

test_that("strings that are made when asked for behave as strings do", {
  s <- paste0("k", 1:40000)
  get <- function() MapReduce(np = 2)$map(function(i) s, 1:2)[[1L]]
  expect_identical(unserialize(serialize(get(), NULL)), s)
  x <- get()
  expect_identical(x[[7L]], "k7")
  y <- x
  x[7L] <- ""
  x[8L] <- NA
  expect_identical(x[6:9], c("k6", "", NA, "k9"))
  expect_identical(y, s)
  expect_identical(get()[39999:40000], s[39999:40000])
  expect_identical(match("k40000", get()), 40000L)
  expect_identical(unique(c(get(), get())), s)
  expect_identical(sort(get()), sort(s))
  expect_identical(nchar(get()), nchar(s))
  x <- get()
  names(x) <- x
  expect_identical(x, setNames(s, s))
  shown <- function(v) capture.output(invisible(.Internal(inspect(v))))[1L]
  made <- get()
  expect_match(shown(made), "strings of a worker (made when asked for)", fixed = TRUE)
  made[2L] <- "second" # all are made
  expect_match(shown(made), "strings of a worker (made)", fixed = TRUE)
  also <- made
  also[1:2] <- "other"
  expect_identical(made, replace(s, 2L, "second"))
  expect_identical(also, replace(s, 1:2, "other"))
  partly <- get()
  expect_identical(partly[100L], "k100")
  gc()
  expect_identical(MapReduce(np = 2)$map(function(i) partly, 1:2)[[2L]], s)
  expect_identical(partly, s)
})

test_that("what a vector says of itself in a few bytes is not spelled out", {
  got <- same_as_lapply(function(i) list(1:1e7, seq_len(1e6), as.character(1:50000)))
  expect_lt(length(serialize(got[[1L]][[1L]], NULL)), 1000)
})

test_that("a view of a shared array arrives as its values", {
  a <- copy(as.double(1:1e5))
  expect_identical(MapReduce(np = 2)$map(function(i) shared_view(a), 1:2)[[2L]], as.double(1:1e5))
  expect_identical(MapReduce(np = 2)$map(function(i) list(a, shared_view(a)), 1:2)[[1L]][[2L]], as.double(1:1e5))
})

test_that("a shared array made by the worker arrives beside large vectors", {
  f <- function(i) list(copy(rep(i, 10)), seq_len(1e5) + i, copy(rep(-i, 2e5)))
  got <- MapReduce(np = 2)$map(f, c(1, 2, 3))
  expect_identical(got[[3L]][[1L]][], rep(3, 10))
  expect_identical(got[[3L]][[2L]], seq_len(1e5) + 3)
  expect_identical(got[[2L]][[3L]][], rep(-2, 2e5))
})

test_that("the same vector twice in a result is changed in one place only", {
  f <- function(i) {
    x <- seq_len(1e5) + 0
    list(x, x, i, x)
  }
  got <- same_as_lapply(f)[[1L]]
  got[[1L]][1L] <- -1
  expect_identical(got[[2L]], seq_len(1e5) + 0)
  expect_identical(got[[4L]], seq_len(1e5) + 0)
  expect_identical(got[[1L]][1:2], c(-1, 2))
})

test_that("an arrived vector can be changed, and a child's changes stay in the child", {
  got <- MapReduce(np = 2)$map(function(i) list(n = seq_len(1e5) + 0, s = paste0("k", seq_len(1e5))), 1:2)
  x <- got[[1L]]
  x$n[2L] <- 0
  x$s[2L] <- "two"
  expect_identical(got[[1L]]$n[2L], 2)
  expect_identical(got[[1L]]$s[2L], "k2")
  in_child <- parallel::mclapply(1:2, function(i) {
    got[[1L]]$n[] <- i
    got[[1L]]$s[1:3] <- "child"
    c(sum(got[[1L]]$n), sum(got[[1L]]$s == "child"))
  }, mc.cores = 2)
  expect_identical(in_child, list(c(1e5, 3), c(2e5, 3)))
  expect_identical(got[[1L]]$n, seq_len(1e5) + 0)
  expect_identical(got[[1L]]$s[1:3], c("k1", "k2", "k3"))
})

test_that("arrived vectors are ordinary: each type is read, changed, copied, serialized and put together as R's own", {
  n <- 3e5
  made <- list(d = seq_len(n) + 0.5, i = n:1, l = rep_len(c(TRUE, NA), n), c = complex(real = seq_len(n), imaginary = 1),
               r = rep_len(as.raw(0:255), 2e6))
  came <- MapReduce(np = 1)$map(function(i) lapply(made, rev), 1)[[1L]]
  for (k in names(made)) {
    x <- came[[k]]
    expect_identical(x[5:7], rev(made[[k]])[5:7])
    expect_identical(x[[length(x)]], made[[k]][[1L]])
    y <- x
    y[2L] <- x[1L]
    expect_identical(x, rev(made[[k]]))
    expect_identical(y[-2L], x[-2L])
    expect_identical(unserialize(serialize(x, NULL)), x)
    expect_identical(c(x, x)[n + 0:1], c(rev(made[[k]]), rev(made[[k]]))[n + 0:1])
    expect_identical(rev(x), made[[k]])
    expect_identical(anyNA(x), anyNA(made[[k]]))
  }
  slow <- 0
  for (v in came$d) slow <- slow + v
  for (at in seq_along(came$d)) slow <- slow - came$d[at]
  expect_identical(slow, 0)
  expect_identical(sort(came$d), made$d)
  frame <- as.data.frame(came[c("d", "i", "l")])
  expect_identical(frame[3, "i"], came$i[3L])
  z <- -came$d
  expect_identical(came$d, rev(made$d))
  expect_identical(z, -rev(made$d))
})

test_that("what was dropped makes room for the next results, and a child gives back its own part only", {
  r <- run_script({
    pool <- MapReduce(np = 2)
    resident <- function() as.numeric(strsplit(readLines("/proc/self/statm"), " ")[[1L]][2L]) * 4096
    big <- function(i) rep(i + 0.5, 4e6)
    first <- pool$map(big, 1:4)
    start <- resident()
    ok <- TRUE
    for (k in 1:20) {
      v <- pool$map(big, 1:4)
      ok <- ok && all(vapply(seq_along(v), function(i) all(v[[i]] == i + 0.5), NA))
    }
    # children collect what they have inherited, while it lives on here
    kept <- pool$map(function(i) { v <<- NULL; sum(first[[i]]) + nrow(gc()) }, 1:4)
    answer(list(ok, unlist(kept), sum(v[[4L]]), resident() - start))
  }, timeout = 120)
  expect_script_ok(r)
  expect_true(r$value[[1L]])
  expect_identical(r$value[[2L]], 4e6 * (1:4 + 0.5) + 2)
  expect_identical(r$value[[3L]], 4e6 * 4.5)
  skip_under_sanitizer()
  expect_lt(r$value[[4L]], 1e9) # 20 times 128 MB passed through; half a GiB is kept
})

test_that("a result for which the master has no time comes by way of a file", {
  f <- function(i) list(seq_len(1e6) * i, paste0("s", seq_len(1e5)), i)
  bg <- background(f, 3)
  expect_true(wait_until(!bg$is_alive(), 30))   # it does not wait for its reader
  expect_identical(bg$wait(), f(3))
  before <- snapshot_resources()
  slow <- MapReduce(np = 2)$map(f, 1:4, reduce = function(x) {
    Sys.sleep(0.2)
    x
  })
  expect_identical(slow, lapply(1:4, f))
  rm(slow)
  expect_nothing_left(before)
})

test_that("a successor of a dead worker sends large results too", {
  flag <- full(1, 0)
  f <- function(i) {
    if (i == 2 && flag[1] == 0) {
      flag[1] <- 1
      tools::pskill(Sys.getpid(), tools::SIGKILL)
    }
    list(seq_len(1e5) * i, paste0("s", seq_len(1e5)))
  }
  got <- MapReduce(np = 1, retries = 1)$map(f, 1:4)
  expect_identical(flag[1], 1)
  expect_identical(got, lapply(1:4, f))
})

test_that("a parallel region brings large values", {
  p <- Parallel(Shared(out = 0), Reduction("+", v = numeric(1e5)), num_threads = 2)
  with(p, { p$var$v <- p$var$v + seq_len(1e5) })
  expect_identical(p$var$v, 2 * seq_len(1e5))
})

test_that("an item that fails among large results takes none of them with it", {
  pool <- MapReduce(np = 2, on_error = "collect")
  pool$map(identity, 1:6) # its control memory is kept for the next map
  before <- snapshot_resources()
  got <- pool$map(function(i) if (i == 3) stop("no") else seq_len(2e5) * i, 1:6)
  expect_s3_class(got[[3L]], "WorkerException")
  expect_identical(got[-3L], lapply(c(1:2, 4:6), function(i) seq_len(2e5) * i))
  rm(got)
  expect_nothing_left(before)
})

test_that("many large results leave no descriptor, mapping of a file or process", {
  before <- snapshot_resources()
  got <- MapReduce(np = 2)$map(function(i) list(numeric(5e4) + i, paste0("x", 1:10000)), 1:200)
  expect_identical(vapply(got, function(v) v[[1L]][5e4], 0), as.numeric(1:200))
  expect_nothing_left(before, c("children", "fds", "files", "shm"))
  expect_false(any(grepl("memfd:", shared_mappings())))
})

test_that("a stream that names a vector which is not there is refused", {
  replace <- function(raw, from, to) {
    text <- function(s) c(writeBin(nchar(s), raw(), endian = "big"), charToRaw(s))
    at <- grepRaw(text(from), raw, fixed = TRUE)
    c(raw[seq_len(at - 1L)], text(to), raw[seq.int(at + length(text(from)), length(raw))])
  }
  stream <- replace(replace(serialize(1:10, NULL), "compact_intseq", "moved_integer"), "base", "sharedmem")
  expect_error(unserialize(stream), class = "sharedmem_channel_error")
})

test_that("a vector of more than 2^31 bytes arrives", {
  skip_if(!nzchar(Sys.getenv("SHAREDMEM_TEST_LARGE")), "SHAREDMEM_TEST_LARGE is not set")
  got <- MapReduce(np = 1)$map(function(i) {
    x <- raw(2^31 + 17)
    x[2^31 + 16] <- as.raw(7)
    x
  }, 1)[[1L]]
  expect_identical(length(got), 2^31 + 17)
  expect_identical(got[2^31 + 15:17], as.raw(c(0, 7, 0)))
})

test_that("a result's first assignment does not copy it", {
  skip_if_not(capabilities("profmem"))
  for (np in c(0, 2)) for (n in c(1e5, 3e5)) {
    r <- MapReduce(np = np)$map(function(i) numeric(n) + i, 1:2)
    copies <- capture.output({
      tracemem(r[[1L]])
      r[[1L]][1L] <- 5
      untracemem(r[[1L]])
    })
    expect_identical(copies, character())
  }
})
