square <- function(i) i^2
raised <- function(expr) tryCatch({ expr; NULL }, error = function(e) e)

# ---- sequences and arguments ----

test_that("results come in the order of the sequence, with its names", {
  local_np()
  pool <- MapReduce(np = 2)
  expect_identical(pool$map(square, 1:20), lapply(1:20, square))
  x <- c(b = 2, a = 1)
  expect_identical(pool$map(square, x), lapply(x, square))
  expect_identical(pool$map(identity, list(a = 1, 2)), list(a = 1, 2))
  uneven <- pool$map(function(i) { if (i %% 5 == 0) Sys.sleep(0.02); i }, 1:30)
  expect_identical(unlist(uneven), 1:30)
})

test_that("anything with length and [[ is a sequence", {
  pool <- MapReduce(np = 2)
  for (x in list(1:3, c(1.5, NA, Inf), c(TRUE, NA), c("a", NA, "\u00e9"), as.raw(1:3), 1:3 + 2i, list(NULL, 1, "a"),
                 data.frame(a = 1:2, b = c("x", "y")), as.Date("2020-01-01") + 0:2, factor(c("u", "v", "u")),
                 as.POSIXct(1:2, origin = "1970-01-01", tz = "UTC"), pairlist(a = 1, b = 2), expression(a + b, c),
                 numeric_version(c("1.2", "1.10")), matrix(1:4, 2)))
    expect_identical(pool$map(function(i) list(i), x), lapply(seq_along(x), function(k) list(x[[k]])) |>
                       stats::setNames(names(x)))
  expect_identical(pool$map(identity, list()), list())
  expect_identical(pool$map(identity, NULL), list())
  expect_identical(pool$map(identity, character()), list())
  expect_identical(pool$map(identity, "one"), list("one"))
  expect_identical(pool$map(identity, quote(f(x))), list(quote(f), quote(x)))
})

test_that("a sequence may be an object of S3 or S4 with methods of its own, an environment too", {
  registerS3method("length", "sm_test_env", function(x) get("n", x), envir = asNamespace("base"))
  registerS3method("[[", "sm_test_env", function(x, i) i * get("k", x), envir = asNamespace("base"))
  e <- structure(list2env(list(n = 2L, k = 10)), class = "sm_test_env")
  pool <- MapReduce(np = 2)
  expect_identical(pool$map(function(i) i, e), list(10, 20))
  where <- globalenv()
  setClass("SmTestSeq", representation(n = "numeric"), where = where)
  setMethod("length", "SmTestSeq", function(x) as.integer(x@n), where = where)
  setMethod("[[", "SmTestSeq", function(x, i, ...) -i, where = where)
  on.exit(removeClass("SmTestSeq", where = where))
  expect_identical(unlist(pool$map(function(i) i, new("SmTestSeq", n = 5))), -(1:5))
})

test_that("a million items all come back", {
  pool <- MapReduce(np = 2)
  r <- pool$map(function(i) i, seq_len(1e6))
  expect_identical(unlist(r), seq_len(1e6))
})

test_that("further arguments reach func, whatever their names", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    f <- function(i, n, np, collect, each, item2, sequence2, pool, state, out, map, rank, ...)
      list(i, n, np, collect, each, pool, state, out, map, rank)
    r <- pool$map(f, 1:3, n = 1, np = 2, collect = 3, each = 4, pool = 5, state = 6, out = 7, map = 8, rank = 9)
    expect_identical(r, lapply(1:3, function(i) list(i, 1, 2, 3, 4, 5, 6, 7, 8, 9)))
    expect_identical(pool$map(function(i, item) c(i, item), 1:2, item = 9L), list(c(1L, 9L), c(2L, 9L)))
    expect_identical(pool$map(function(i, ...) list(...), 1, NULL, FALSE, 0, 7, b = quote(x)), list(list(7, b = quote(x))))
  }
})

test_that("an error in a further argument is the caller's", {
  expect_error(MapReduce(np = 2)$map(function(i, x) i, 1:2, x = stop("mine")), "^mine$")
})

test_that("star spreads each item over func's arguments", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    expect_identical(pool$map(function(a, b, k) a - b + k, list(tuple(5, 1), list(b = 5, a = 1)), star = TRUE, k = 10),
                     list(14, 6))
    expect_identical(pool$map(function(a, b) list(a, b), list(list(quote(x), NULL)), star = TRUE), list(list(quote(x), NULL)))
  }
})

test_that("reduce gets each result once and its value takes the result's place", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    seen <- integer()
    r <- pool$map(function(i) i, c(a = 1L, b = 2L, c = 3L), reduce = function(x) { seen <<- c(seen, x); x * 10L })
    expect_identical(r, list(a = 10L, b = 20L, c = 30L))
    expect_setequal(seen, 1:3)
    r <- pool$map(function(i) tuple(i, b = i^2), 1:3, reduce = function(b, a) a + b)
    expect_equal(r, list(2, 6, 12))
    expect_identical(pool$map(function(i) list(i, 2), 1, reduce = function(x) length(x)), list(2L))
    expect_identical(pool$map(function(i) tuple(), 1:2, reduce = function() "none"), list("none", "none"))
    expect_identical(pool$map(function(i) i, 1:2, reduce = function(x) NULL), list(NULL, NULL))
    expect_identical(pool$map(function(i) quote(a + b), 1, reduce = function(x) class(x)), list("call"))
    expect_identical(pool$map(function(i) tuple(quote(zzz), quote(f(x))), 1, reduce = function(x, y) list(x, y)),
                     list(list(quote(zzz), quote(f(x)))))
    expect_identical(pool$map(function(i) tuple(1, 2), 1, reduce = function(...) length(match.call())), list(3L))
  }
})

test_that("an error in reduce is raised as it is and stops the workers", {
  before <- snapshot_resources()
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    e <- raised(pool$map(function(i) i, 1:100,
                         reduce = function(x) stop(structure(class = c("mine", "error", "condition"), list(message = "r", call = NULL)))))
    expect_identical(class(e), c("mine", "error", "condition"))
  }
  expect_map_clean(before)
})

test_that("a pool can be used again after an error", {
  pool <- MapReduce(np = 2)
  expect_error(pool$map(function(i) stop("x"), 1:3), class = "WorkerException")
  expect_identical(pool$map(square, 1:3), list(1, 4, 9))
  expect_null(pool$local$item)
  expect_error(pool$critical(1), class = "sharedmem_lock_error")
})

test_that("fewer items than minlength, np = 0, debug mode and threads run in the master", {
  me <- Sys.getpid()
  pid <- function(i) Sys.getpid()
  expect_identical(MapReduce(np = 2)$map(pid, 1:3, minlength = 4), list(me, me, me))
  expect_false(me %in% unlist(MapReduce(np = 2)$map(pid, 1:3, minlength = 3)))
  expect_identical(MapReduce(np = 0)$map(pid, 1), list(me))
  expect_identical(MapReduceByThread(np = 2)$map(pid, 1:2), list(me, me))
  count <- 0
  MapReduceByThread(np = 2)$map(function(i) count <<- count + i, 1:4)
  expect_identical(count, 10)
})

test_that("local belongs to the worker and knows its rank", {
  pool <- MapReduce(np = 2)
  r <- pool$map(function(i) {
    pool$local$mine <- c(pool$local$mine, i)
    Sys.sleep(0.001)
    list(rank = pool$local$rank, same = identical(pool$local, pool$tls), items = pool$local$mine)
  }, 1:40)
  expect_true(all(vapply(r, `[[`, NA, "same")))
  ranks <- vapply(r, `[[`, 0L, "rank")
  expect_in <- function(a, b) expect_true(all(a %in% b))
  expect_in(ranks, 0:1)
  for (k in unique(ranks)) expect_identical(r[[max(which(ranks == k))]]$items, which(ranks == k))
  expect_null(pool$local$mine)
  byt <- MapReduceByThread(np = 3)
  expect_identical(unlist(byt$map(function(i) byt$local$rank, 1:6)), rep(0:2, 2))
})

test_that("a few items that wait for each other run at the same time", {
  r <- run_script({
    pool <- MapReduce(np = 4)
    there <- empty(4, "i4")
    meet <- function(i) {
      there[i] <- 1L
      wait_until(sum(there[]) == 4L, 10)
    }
    answer(lapply(1:5, function(k) {
      there[] <- 0L
      unlist(pool$map(meet, 1:4))
    }))
  }, vars = list(wait_until = wait_until))
  expect_script_ok(r)
  expect_identical(r$value, rep(list(rep(TRUE, 4L)), 5L))
})

test_that("once every item has begun no further worker is forked", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 200, trace = TRUE)
  ranks <- unlist(pool$map(function(i) pool$local$rank, 1:200))
  expect_map_clean(before)
  workers <- summary(pool$trace)$workers
  expect_lt(nrow(workers), 200L)
  expect_true(all(ranks %in% workers$rank))
  expect_identical(sum(workers$items), 200)
  expect_output(print(pool$trace), sprintf("on %d worker", nrow(workers)))
})

test_that("300 workers are no trouble", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 300)
  r <- pool$map(function(i) i, 1:600)
  expect_identical(unlist(r), 1:600)
  expect_map_clean(before)
})

test_that("more workers than there are descriptors is one classed error that names them, and nothing stays", {
  skip_under_sanitizer()
  code <- tempfile(fileext = ".R")
  out <- tempfile()
  lib <- dirname(getNamespaceInfo("sharedmem", "path"))
  writeLines(c(sprintf(".libPaths(c('%s', .libPaths())); library(sharedmem)", lib),
               "there <- empty(1, 'i4')", # none goes on before all have come, and there is no room for all
               "meet <- function(i) { atomic_add(there, 1, 1L); while (there[1] < 600L) Sys.sleep(0.5) }",
               "fds <- length(list.files('/proc/self/fd'))",
               "e <- tryCatch(MapReduce(np = 600)$map(meet, 1:600), error = identity)",
               "kids <- system(paste('ps -o comm= --ppid', Sys.getpid()), intern = TRUE)",
               "left <- length(list.files('/proc/self/fd')) - fds",
               sprintf("saveRDS(list(e, left, MapReduce(np = 2)$map(identity, 1:2), kids), '%s')", out)),
             code)
  system(sprintf("ulimit -n 512; timeout 60 %s --vanilla %s >/dev/null 2>&1", shQuote(file.path(R.home("bin"), "Rscript")), shQuote(code)))
  r <- readRDS(out)
  expect_s3_class(r[[1]], "sharedmem_fork_error")
  expect_match(conditionMessage(r[[1]]), "ulimit")
  expect_identical(r[[2]], 0L)
  expect_identical(r[[3]], list(1L, 2L))
  expect_false(any(grepl("^R", r[[4]])))
})

# ---- nesting ----

test_that("maps nest, of another pool and of the same, in critical too", {
  pool <- MapReduce(np = 2)
  inner <- MapReduce(np = 2)
  expect_identical(pool$map(function(i) sum(unlist(inner$map(function(j) i * j, 1:3))), 1:3), list(6L, 12L, 18L))
  r <- pool$map(function(i) {
    s <- sum(unlist(pool$map(function(j) pool$critical(i * j), 1:3)))
    c(s, pool$critical(i))
  }, 1:3)
  expect_identical(r, list(c(6L, 1L), c(12L, 2L), c(18L, 3L)))
  here <- MapReduce(np = 0)
  r <- pool$map(function(i) {
    a <- pool$critical(unlist(here$map(function(j) here$critical(j), 1:2)))
    c(a, pool$critical(3L))
  }, 1:4)
  expect_identical(r, rep(list(1:3), 4))
  expect_identical(here$map(function(i) sum(unlist(here$map(function(j) here$ordered(j), 1:2))), 1:2), list(3L, 3L))
})

test_that("an error in a nested map arrives wrapped as often as it was nested", {
  pool <- MapReduce(np = 2)
  e <- raised(pool$map(function(i) pool$map(function(j) stop("deep"), 1:2), 1:2))
  expect_s3_class(e, "WorkerException")
  expect_s3_class(e$reason, "WorkerException")
  expect_identical(conditionMessage(e$reason$reason), "deep")
})

# ---- what stays, what is refused ----

test_that("after 200 maps, some failed, there is no child, descriptor, mapping or file more than before", {
  pool <- MapReduce(np = 2)
  pool$map(identity, 1:2)
  before <- snapshot_resources()
  for (k in 1:200) {
    if (k %% 20 == 0) expect_error(pool$map(function(i) stop("x"), 1:3), class = "WorkerException")
    else pool$map(function(i) { tempfile(); if (k %% 7 == 0) numeric(1e5) else i }, 1:3)
  }
  expect_map_clean(before)
})

test_that("bad arguments are refused by name", {
  bad <- function(expr, arg) {
    e <- raised(expr)
    expect_s3_class(e, c("sharedmem_argument_error", "sharedmem_error", "error", "condition"), exact = TRUE)
    expect_identical(e$arg, arg)
    expect_match(conditionMessage(e), arg, fixed = TRUE)
    for (field in c("got", "expected")) expect_true(is.character(e[[field]]) && nchar(e[[field]]) > 0)
  }
  for (np in list(-1, 1.5, NA, "2", c(1, 2), Inf, NaN, list(1), 1e9)) bad(MapReduce(np = np), "np")
  bad(MapReduce(backend = "process"), "backend")
  bad(MapReduce(np = 2, nonsense = 1), "nonsense")
  bad(MapReduce(ProcessBackend, 2, 3), "...")
  pool <- MapReduce(np = 2)
  for (f in list(NULL, 1, "sum", quote(f), list())) bad(pool$map(f, 1:2), "func")
  for (s in list(sum, quote(x), globalenv())) bad(pool$map(identity, s), "sequence")
  for (n in list(-1, NA_integer_, 1.5, "2")) {
    registerS3method("length", "sm_test_liar", function(x) n, envir = asNamespace("base"))
    bad(pool$map(identity, structure(list(), class = "sm_test_liar")), "sequence")
  }
  for (r in list(1, "sum", TRUE)) bad(pool$map(identity, 1:2, reduce = r), "reduce")
  for (s in list(NA, 1, "TRUE", c(TRUE, FALSE), NULL)) bad(pool$map(identity, 1:2, star = s), "star")
  for (m in list(NA, "a", c(1, 2), NULL)) bad(pool$map(identity, 1:2, minlength = m), "minlength")
})

test_that("a pool prints what it is and has no room for foreign fields", {
  expect_output(print(MapReduce(np = 3)), "process.*np = 3")
  expect_output(print(MapReduceByThread(np = 3)), "thread")
  expect_output(print(ProcessBackend), "Process")
  pool <- MapReduce(np = 2)
  expect_error(pool$other <- 1)
  expect_identical(pool$np, 2L)
  expect_identical(pool$backend, ProcessBackend)
})

test_that("workers under R CMD check are two at most", {
  r <- run_script({
    pool <- MapReduce(np = 8)
    answer(length(unique(unlist(pool$map(function(i) { Sys.sleep(0.005); Sys.getpid() }, 1:64)))))
  }, env = c("_R_CHECK_LIMIT_CORES_" = "TRUE"))
  expect_script_ok(r)
  expect_lte(r$value, 2L)
})

test_that("a session without stdin maps as any other", {
  out <- tempfile()
  lib <- dirname(getNamespaceInfo("sharedmem", "path"))
  code <- sprintf(".libPaths(c('%s', .libPaths())); library(sharedmem); saveRDS(MapReduce(np = 2)$map(function(i) i, 1:3), '%s')", lib, out)
  system(sprintf("timeout 60 %s --vanilla -e %s <&- >/dev/null 2>&1", shQuote(file.path(R.home("bin"), "Rscript")), shQuote(code)))
  expect_identical(readRDS(out), list(1L, 2L, 3L))
})

test_that("a pool lets go of a map's function and items", {
  gone <- character()
  watched <- function(name) {
    e <- new.env()
    reg.finalizer(e, function(e) gone <<- c(gone, name))
    e
  }
  pool <- MapReduce(np = 2)
  mapped <- function(fail) {
    f <- local({ reach <- watched("function"); function(i) { if (fail && i$n == 2) stop("bad"); reach } })
    items <- lapply(1:2, function(n) list(n = n, watched("items")))
    tryCatch(pool$map(f, items), WorkerException = function(e) NULL)
    NULL
  }
  for (fail in c(FALSE, TRUE)) {
    gone <- character()
    mapped(fail)
    gc()
    gc()
    expect_setequal(gone, c("function", "items"))
  }
})

test_that("functions whose arguments R does not tell are mapped without a warning", {
  expect_silent(r <- MapReduce(np = 2)$map(`[`, list(1:3, 4:6), i = 2))
  expect_identical(r, list(2L, 5L))
  expect_silent(r <- mclapply(list(1:3, 4:6), `[`, 2, mc.cores = 2))
  expect_identical(r, list(2L, 5L))
  expect_silent(r <- MapReduce(np = 2)$map(`(`, 1:2))
  expect_identical(r, list(1L, 2L))
})
