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
    f <- function(i, n, np, collect, each, item2, sequence2, pool, state, out, map, rank, ...) list(i, n, np, collect, each, pool, state, out, map, rank)
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
    e <- raised(pool$map(function(i) i, 1:100, reduce = function(x) stop(structure(class = c("mine", "error", "condition"), list(message = "r", call = NULL)))))
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

test_that("300 workers are no trouble", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 300)
  r <- pool$map(function(i) i, 1:600)
  expect_identical(unlist(r), 1:600)
  expect_map_clean(before)
})

test_that("more workers than there are descriptors is one classed error that names them, and nothing stays", {
  code <- tempfile(fileext = ".R")
  out <- tempfile()
  lib <- dirname(getNamespaceInfo("sharedmem", "path"))
  writeLines(c(sprintf(".libPaths(c('%s', .libPaths())); library(sharedmem)", lib),
               "fds <- length(list.files('/proc/self/fd'))",
               "e <- tryCatch(MapReduce(np = 600)$map(function(i) i, 1:600), error = identity)",
               "kids <- system(paste('ps -o comm= --ppid', Sys.getpid()), intern = TRUE)",
               sprintf("saveRDS(list(e, length(list.files('/proc/self/fd')) - fds, MapReduce(np = 2)$map(identity, 1:2), kids), '%s')", out)), code)
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

# ---- results ----

test_that("results of every kind arrive as they were", {
  pool <- MapReduce(np = 2)
  env <- new.env()
  env$self <- env
  make <- list(function() NULL, function() simpleError("an object"), function() function(x) x + 1,
               function() factor(c("a", "b")), function() data.frame(x = 1:3, y = letters[1:3]),
               function() as.character(1:1e6), function() raw(0), function() quote(a + b), function() as.name("zz"),
               function() c(NA, NaN, -0, 5e-324), function() c(NA_character_, "", "\u00e9"), function() list(),
               function() globalenv(), function() asNamespace("stats"), function() sum, function() 1:10,
               function() structure(1, class = "odd", attr = list(2)), function() try(stop("x"), silent = TRUE),
               function() expression(a, b), function() as.POSIXlt(0, origin = "1970-01-01", tz = "UTC"))
  r <- pool$map(function(f) f(), make)
  expect_identical(lapply(r[-3], function(v) v), lapply(make[-3], function(f) f()))
  expect_identical(r[[3]](1), 2)
  back <- pool$map(function(i) { env$i <- i; env }, 1:2)
  expect_identical(lapply(back, function(e) e$i), list(1L, 2L))
  expect_identical(back[[1]]$self, back[[1]])
})

test_that("results of sizes around every limit of the channel arrive whole", {
  pool <- MapReduce(np = 2)
  n <- unique(as.integer(c(0, outer(c(-1, 0, 1), 2^(6:20), "+"))))
  n <- c(n, as.integer(131072 - (0:140)), as.integer(262144 - 64 + 0:80))
  value <- function(k) as.raw((seq_len(k) * 31L + k) %% 256L)
  r <- pool$map(value, n)
  expect_true(identical(r, lapply(n, value)))
  r <- pool$map(function(k) strrep("x", k), n)
  expect_identical(vapply(r, nchar, 0L), n)
})

test_that("100000 tiny results and many large ones arrive, in bounded time and memory", {
  pool <- MapReduce(np = 2)
  expect_identical(unlist(pool$map(function(i) i, 1:1e5)), 1:100000)
  sizes <- 0
  pool$map(function(i) numeric(2^19) + i, 1:60, reduce = function(x) { sizes <<- sizes + length(x); stopifnot(x[1] == x[length(x)]); NULL })
  expect_identical(sizes, 60 * 2^19)
})

test_that("results past 2 GiB arrive", {
  skip_if(!nzchar(Sys.getenv("SHAREDMEM_TEST_LARGE")), "SHAREDMEM_TEST_LARGE is not set")
  pool <- MapReduce(np = 1)
  r <- pool$map(function(i) { x <- raw(2^31 + 11); x[c(1, 2^31 + 11)] <- as.raw(c(7, 9)); x }, 1)[[1]]
  expect_identical(length(r), 2^31 + 11)
  expect_identical(r[c(1, 2, 2^31 + 11)], as.raw(c(7, 0, 9)))
  rm(r)
  r <- pool$map(function(i) { x <- numeric(3 * 2^27); x[3 * 2^27] <- 5; x }, 1)[[1]]
  expect_identical(c(length(r), r[3 * 2^27]), c(3 * 2^27, 5))
})

# ---- errors and deaths ----

test_that("the first error stops the map and says what, where and who", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 2)
  fail <- function(x) stop(structure(class = c("mine", "error", "condition"), list(message = "went wrong", call = sys.call(), extra = 1:3)))
  e <- raised(pool$map(function(i) if (i == 7) fail(i) else { Sys.sleep(0.001); i }, 1:10000))
  expect_identical(class(e), c("WorkerException", "SlaveException", "sharedmem_error", "error", "condition"))
  expect_s3_class(e$reason, "mine")
  expect_identical(e$reason$extra, 1:3)
  expect_identical(conditionMessage(e$reason), "went wrong")
  expect_equal(e$item, 7)
  expect_true(e$rank %in% 0:1)
  expect_type(e$pid, "integer")
  expect_false(e$pid == Sys.getpid())
  expect_true(any(grepl("fail(i)", e$traceback, fixed = TRUE)))
  expect_map_clean(before)
})

test_that("an error stops the others between items", {
  pool <- MapReduce(np = 2)
  started <- full(1, 0, "i4")
  expect_error(pool$map(function(i) { atomic_add(started, 1, 1); if (i == 1) stop("x"); Sys.sleep(0.01) }, 1:10000), class = "WorkerException")
  expect_lt(started[1], 5000)
})

test_that("what an item's function has on.exit() runs, when it fails too", {
  ran <- full(2, 0)
  pool <- MapReduce(np = 1)
  expect_error(pool$map(function(i) { on.exit(ran[1] <- 1); tryCatch(stop("x"), finally = ran[2] <- 1) }, 1), class = "WorkerException")
  expect_identical(ran[], c(1, 1))
})

test_that("errors that func catches itself are its own", {
  pool <- MapReduce(np = 2)
  r <- pool$map(function(i) tryCatch(stop("x"), error = function(e) "caught", finally = NULL), 1:3)
  expect_identical(r, rep(list("caught"), 3))
  r <- pool$map(function(i) class(try(log("a"), silent = TRUE)), 1)
  expect_identical(r, list("try-error"))
})

test_that("a worker that dies is named, with what killed it and the item it was at", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 2)
  for (sig in c(9L, 11L, 15L, 6L)) {
    e <- raised(pool$map(function(i) { if (i == 3) tools::pskill(Sys.getpid(), sig); Sys.sleep(0.01); i }, 1:6))
    expect_s3_class(e, "WorkerException")
    expect_equal(e$item, 3)
    expect_match(conditionMessage(e), sprintf("signal %d", sig))
    expect_match(conditionMessage(e), sprintf("pid %d", e$pid))
    expect_identical(grepl("out of memory", conditionMessage(e)), sig == 9L)
  }
  expect_map_clean(before)
})

test_that("q() in a worker is its death, never the master's, and removes nothing of the master's", {
  keep <- tempfile()
  file.create(keep)
  before <- snapshot_resources()
  pool <- MapReduce(np = 2)
  for (quitter in list(function() q("no"), function() quit("no", 3), function() q("no", runLast = FALSE))) {
    e <- raised(pool$map(function(i) if (i == 2) quitter() else i, 1:4))
    expect_s3_class(e, "WorkerException")
    expect_equal(e$item, 2)
  }
  expect_true(file.exists(keep))
  expect_map_clean(before)
})

test_that("a finalizer of the master that runs at exit does not run when a worker quits", {
  r <- run_script({
    f <- tempfile()
    file.create(f)
    reg.finalizer(globalenv(), function(e) unlink(f), onexit = TRUE)
    e <- tryCatch(MapReduce(np = 1)$map(function(i) q("no"), 1), error = function(e) class(e)[1])
    answer(list(e, file.exists(f), dir.exists(tempdir())))
  })
  expect_script_ok(r)
  expect_identical(r$value, list("WorkerException", TRUE, TRUE))
})

test_that("exit(3) in compiled code is a death with status 3, and the master's script runs on once", {
  skip_if(!nzchar(Sys.which("make")), "no compiler")
  dir <- tempfile("c")
  dir.create(dir)
  writeLines(c("#include <stdlib.h>", "void leave(int *n) { exit(*n); }", "void fault(int *n) { *(volatile int *)8 = *n; }",
               "void spin(int *n) { volatile long k = 0; for (;;) k += *n; }"), file.path(dir, "leave.c"))
  out <- suppressWarnings(system(sprintf("cd %s && R CMD SHLIB leave.c >/dev/null 2>&1", shQuote(dir))))
  skip_if(out != 0, "no compiler")
  lib <- file.path(dir, paste0("leave", .Platform$dynlib.ext))
  r <- run_script(c(
    "invisible(dyn.load(lib))", "cat('once\\n')",
    "a <- tryCatch(MapReduce(np = 1)$map(function(i) .C('leave', 3L), 1:2), error = function(e) e)",
    "cat('twice\\n')",
    "b <- tryCatch(MapReduce(np = 2)$map(function(i) .C('fault', 3L), 1:2), error = function(e) e)",
    "cat('thrice\\n')",
    "answer(list(a, b))"), vars = list(lib = lib))
  expect_script_ok(r)
  expect_identical(r$stdout, c("once", "twice", "thrice"))
  expect_match(conditionMessage(r$value[[1]]), "exit status 3")
  expect_match(conditionMessage(r$value[[2]]), "signal 11")
})

test_that("a result that cannot be serialized is that item's error", {
  pool <- MapReduce(np = 2)
  deep <- function(n) { x <- NULL; for (i in seq_len(n)) x <- list(x); x }
  before <- snapshot_resources()
  e <- raised(pool$map(function(i) if (i == 2) deep(1e6) else i, 1:4))
  expect_s3_class(e, "error")
  expect_map_clean(before)
  expect_identical(pool$map(function(i) 1, 1), list(1))
})

test_that("an error while an error is handled, and endless recursion, are errors of the item", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 2)
  forever <- function(n) forever(n + 1)
  e <- raised(pool$map(function(i) forever(1), 1:2))
  expect_s3_class(e, "WorkerException")
  e <- expect_silent(raised(pool$map(function(i) { on.exit(stop("second")); stop("first") }, 1:2)))
  expect_s3_class(e, "WorkerException")
  e <- raised(pool$map(function(i) withCallingHandlers(stop("first"), error = function(e) stop("second")), 1))
  expect_s3_class(e, "WorkerException")
  e <- raised(pool$map(function(i) invokeRestart("abort"), 1))
  expect_s3_class(e, "WorkerException")
  expect_map_clean(before)
})

test_that("a condition that cannot be serialized keeps its message and a LostExceptionType warning is given", {
  pool <- MapReduce(np = 1)
  deep <- NULL
  for (i in 1:1e6) deep <- list(deep)
  w <- NULL
  e <- withCallingHandlers(
    raised(pool$map(function(i) stop(structure(class = c("mine", "error", "condition"), list(message = "its message", call = NULL, deep = deep))), 1)),
    warning = function(c) { w <<- c; invokeRestart("muffleWarning") })
  expect_s3_class(e, "WorkerException")
  expect_s3_class(w, "LostExceptionType")
  expect_identical(class(e$reason)[1], "simpleError")
  expect_identical(conditionMessage(e$reason), "its message")
})

test_that("StopProcessGroup ends the map early and quietly", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    r <- expect_silent(pool$map(function(i) { if (i == 5) stop(StopProcessGroup()); i }, 1:100000))
    expect_true(attr(r, "stopped"))
    expect_length(r, 100000)
    expect_null(r[[5]])
    expect_identical(r[[1]], 1L)
    there <- which(!vapply(r, is.null, NA))
    expect_identical(unlist(r), there)
    if (np == 0) expect_identical(there, 1:4)
  }
  expect_null(attr(MapReduce(np = 2)$map(identity, 1:3), "stopped"))
})

# ---- warnings and messages ----

test_that("warnings and messages of workers reach the master, class kept, in the order of the items", {
  pool <- MapReduce(np = 2)
  seen <- list()
  r <- withCallingHandlers(
    pool$map(function(i) {
      message("m", i)
      warning(structure(class = c("mine", "warning", "condition"), list(message = paste0("w", i), call = NULL)))
      message("after ", i)
      i
    }, 1:4),
    warning = function(w) { seen[[length(seen) + 1]] <<- w; invokeRestart("muffleWarning") },
    message = function(m) { seen[[length(seen) + 1]] <<- m; invokeRestart("muffleMessage") })
  expect_identical(r, list(1L, 2L, 3L, 4L))
  text <- trimws(vapply(seen, conditionMessage, ""))
  expect_identical(text, as.vector(rbind(paste0("m", 1:4), paste0("w", 1:4), paste("after", 1:4))))
  expect_s3_class(seen[[2]], "mine")
})

test_that("conditions that are only signalled stay in the worker", {
  pool <- MapReduce(np = 1)
  seen <- 0
  withCallingHandlers(
    pool$map(function(i) { signalCondition(structure(class = c("custom", "condition"), list(message = "c", call = NULL))); i }, 1:2),
    custom = function(c) seen <<- seen + 1)
  expect_identical(seen, 0)
  r <- pool$map(function(i) withCallingHandlers({ warning("x"); "on" }, warning = function(w) invokeRestart("muffleWarning")), 1)
  expect_identical(r, list("on"))
  expect_silent(pool$map(function(i) suppressWarnings({ warning("x"); suppressMessages(message("y")); 1 }), 1))
})

test_that("with options(warn = 2) a warning is an error where it happens", {
  old <- options(warn = 2)
  on.exit(options(old))
  pool <- MapReduce(np = 2)
  expect_identical(pool$map(function(i) tryCatch({ warning("x"); "on" }, error = function(e) "error"), 1:2), list("error", "error"))
  expect_error(pool$map(function(i) warning("x"), 1:2), class = "WorkerException")
})

# ---- interrupts and the master's death ----

interrupted <- function(code, when) {
  started <- tempfile("started")
  p <- start_script(c(
    "kids <- function() { p <- suppressWarnings(system(paste('ps -o pid=,stat=,comm= --ppid', Sys.getpid()), intern = TRUE)); sum(!grepl('ps$|sh$', p)) }",
    "fds <- length(list.files('/proc/self/fd'))",
    "pool <- MapReduce(np = 2)",
    sprintf("r <- tryCatch({%s; 'done'}, interrupt = function(i) 'interrupted')", code),
    "answer(list(r, kids = kids(), fds = length(list.files('/proc/self/fd')) - fds, again = pool$map(identity, 1:2)))"),
    timeout = 60, vars = list(started = started))
  wait_until(file.exists(started) || script_ended(p), 30)
  Sys.sleep(when)
  tools::pskill(p$pid, tools::SIGINT)
  finish_script(p, grace = 2)
}

test_that("Ctrl-C while waiting, in reduce and while a large result is read ends all workers and nothing stays", {
  for (code in c(
    "pool$map(function(i) { file.create(started); Sys.sleep(60) }, 1:4)",
    "pool$map(function(i) i, 1:4, reduce = function(x) { file.create(started); Sys.sleep(60) })",
    "pool$map(function(i) repeat file.create(started), 1:4)",
    "pool$map(function(i) pool$critical({ file.create(started); Sys.sleep(60) }), 1:4)",
    "pool$map(function(i) { file.create(started); numeric(1e7) }, 1:1000, reduce = function(x) NULL)")) {
    r <- interrupted(code, 0.2)
    expect_script_ok(r)
    expect_identical(r$value[[1]], "interrupted", info = code)
    expect_identical(r$value$kids, 0L)
    expect_identical(r$value$fds, 0L)
    expect_identical(r$value$again, list(1L, 2L))
    expect_lt(r$elapsed, 40)
  }
})

test_that("Ctrl-C that nobody catches ends an Rscript with its workers", {
  started <- tempfile("started")
  p <- start_script("MapReduce(np = 2)$map(function(i) { file.create(started); Sys.sleep(100) }, 1:4)", vars = list(started = started))
  expect_true(wait_until(file.exists(started), 30))
  tools::pskill(p$pid, tools::SIGINT)
  r <- finish_script(p, grace = 2)
  expect_false(r$timed_out)
  expect_identical(r$left, integer())
  expect_identical(r$files, character())
})

test_that("the master's death by SIGKILL ends every worker within a second, whatever it does", {
  for (code in c("Sys.sleep(100)", "pool$critical(Sys.sleep(100))", "{ x <- runif(1e7); repeat sort(x) }", "repeat NULL",
                 "pool$map(function(j) Sys.sleep(100), 1:2)", "pool$ordered(Sys.sleep(100))")) {
    started <- tempfile("started")
    p <- start_script(c("pool <- MapReduce(np = 2)",
                        sprintf("pool$map(function(i) { file.create(started); %s }, 1:4)", code)), vars = list(started = started))
    expect_true(wait_until(file.exists(started), 30))
    expect_gte(length(group_members(p$pgid)), 2L)
    tools::pskill(p$pid, tools::SIGKILL)
    r <- finish_script(p, grace = 1)
    expect_identical(r$signal, 9L)
    expect_identical(r$left, integer(), info = code)
  }
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
