raised <- function(expr) tryCatch({ expr; NULL }, error = function(e) e)

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
  expect_error(pool$map(function(i) { atomic_add(started, 1, 1); if (i == 1) stop("x"); Sys.sleep(0.01) }, 1:10000),
               class = "WorkerException")
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

test_that("q() in a worker, a region or the background neither calls .Last() nor saves a workspace", {
  r <- run_script({
    dir <- tempfile()
    dir.create(dir)
    setwd(dir)
    called <- full(1, 0, "i4")
    .Last <- function() called[1] <- called[1] + 1L
    quitters <- list(function() q("yes"), function() quit("yes", 3), function() base::q("yes", runLast = TRUE),
                     function() do.call("q", list("yes")))
    ended <- unlist(lapply(quitters, function(leave) {
      p <- Parallel(num_threads = 2)
      c(tryCatch(MapReduce(np = 2)$map(function(i) leave(), 1:2), error = function(e) class(e)[1]),
        tryCatch(background(leave)$wait(), error = function(e) class(e)[1]),
        tryCatch(with(p, if (p$rank == 1) leave()), error = function(e) class(e)[1]))
    }))
    answer(list(ended, called[1], list.files(dir, all.files = TRUE, no.. = TRUE)))
    rm(.Last)
    setwd(dirname(dir))
    unlink(dir, recursive = TRUE)
  })
  expect_script_ok(r)
  expect_identical(r$value, list(rep("WorkerException", 12), 0L, character()))
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
    raised(pool$map(function(i) stop(structure(class = c("mine", "error", "condition"),
                                               list(message = "its message", call = NULL, deep = deep))), 1)),
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

test_that("the calls end where the user's do: no handler, no frame of ours that raises", {
  pool <- MapReduce(np = 2)
  last_call <- function(f) {
    calls <- tryCatch(pool$map(f, 1), error = identity)$traceback
    calls[length(calls)]
  }
  raise <- function(e) stop(e)
  expect_identical(last_call(function(i) raise("text")), "raise(\"text\")")
  expect_identical(last_call(function(i) raise(errorCondition("a condition", class = "mine"))),
                   "raise(errorCondition(\"a condition\", class = \"mine\"))")
  expect_identical(last_call(function(i) stopifnot(i == 2)), "stopifnot(i == 2)")
  expect_identical(last_call(function(i) empty(-1)), "empty(-1)")
  expect_identical(last_call(function(i) { x <- empty(3); x[4] }), "`[.shared_array`(x, 4)")
  expect_identical(last_call(function(i) do.call(function(z) stop("deep"), list(1))), "(function (z) ")
})

test_that("an error whose calls cannot be written out, since a file behind one is gone, arrives without them", {
  path <- tempfile()
  on.exit(unlink(path))
  writeBin(numeric(1e5), path)
  v <- shared_view(memmap(path, "f8"))
  close(file(path, "wb"))
  f <- function(x) stop("bad", call. = FALSE)
  for (np in c(0, 2)) {
    e <- raised(MapReduce(np = np)$map(function(i) do.call("f", list(v)), 1:2))
    expect_s3_class(e, "WorkerException")
    expect_identical(conditionMessage(e$reason), "bad")
    expect_identical(e$traceback, character())
  }
})

test_that("a result too deep to send, and a signal, are told with their item", {
  deep <- function(n) { l <- list(); for (k in seq_len(n)) l <- list(l); l }
  for (pool in list(MapReduce(np = 2), MapReduce(np = 2, on_error = "collect"))) {
    e <- tryCatch(pool$map(function(i) if (i == 2) deep(1e6) else i, 1:3), error = identity)
    if (!inherits(e, "error")) {
      expect_identical(e[-2], list(1L, 3L))
      e <- e[[2]]
    }
    expect_s3_class(e, "WorkerException")
    expect_equal(e$item, 2)
    expect_match(conditionMessage(e), "cannot be sent.*(C stack|nested)")
  }
  e <- tryCatch(MapReduce(np = 2)$map(function(i) { tools::pskill(Sys.getpid(), 24); Sys.sleep(5) }, 1:2), error = identity)
  expect_match(conditionMessage(e), "SIGXCPU.*item [12]")
})
