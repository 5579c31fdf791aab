# What workers print. Maps of two workers; what comes is captured in this process, or read from a script's stdout.

test_that("what workers print reaches the master in whole lines", {
  pool <- MapReduce(np = 4)
  out <- capture.output(r <- pool$map(function(i) {
    for (k in 1:50) { cat("item", i, ""); cat("part two of line", k, "\n") }
    i
  }, 1:12))
  expect_identical(unlist(r), 1:12)
  expect_length(out, 600)
  expect_setequal(out, sprintf("item %d part two of line %d ", rep(1:12, each = 50), rep(1:50, 12)))
  for (i in 1:12) expect_identical(grep(sprintf("^item %d ", i), out, value = TRUE), sprintf("item %d part two of line %d ", i, 1:50))
})

test_that("print, cat, writeLines and compiled code are relayed alike", {
  pool <- MapReduce(np = 2)
  out <- capture.output(pool$map(function(i) {
    print(c(a = 1.5))
    writeLines("by writeLines", stdout())
    system("echo by a child")
    invisible()
  }, 1))
  for (line in c("  a ", "1.5 ", "by writeLines", "by a child")) expect_true(line %in% out)
})

test_that("a last line without an end is given, and one", {
  begun <- full(2, 0, "i4")
  out <- capture.output(r <- MapReduce(np = 2)$map(function(i) { # each by a worker of its own
    begun[i] <- 1L
    wait_until(all(begun[] == 1L), 20)
    cat("no end", i)
  }, 1:2))
  expect_setequal(out, c("no end 1", "no end 2"))
})

test_that("discard drops it, and np = 0 prints as any code", {
  expect_identical(capture.output(r <- MapReduce(np = 2, output = "discard")$map(function(i) { cat("x\n"); write("y", stderr()); i }, 1:3)),
                   character())
  expect_identical(unlist(r), 1:3)
  expect_identical(capture.output(MapReduce(np = 0)$map(function(i) { cat("x\n"); NULL }, 1:3) -> r), rep("x", 3))
})

test_that("discard drops what items print in the session, too, not what reduce prints", {
  shout <- function(i) { cat("item", i, "\n"); if (i > 3) stop("bad") else i }
  tell <- function(v) { cat("reduce", v, "\n"); v }
  for (backend in list(ProcessBackend, ThreadBackend)) {
    pool <- MapReduce(backend = backend, np = 0, output = "discard")
    expect_identical(capture.output(r <- pool$map(shout, 1:3, reduce = tell)), sprintf("reduce %d ", 1:3))
    expect_identical(unlist(r), 1:3)
    sinks <- sink.number()
    expect_error(pool$map(shout, 4), "bad", class = "WorkerException")
    expect_identical(sink.number(), sinks)
  }
  set_debug(TRUE)
  on.exit(set_debug(FALSE))
  expect_identical(capture.output(pool$map(shout, 1) -> r), "item 1 ")
})

test_that("inherit leaves workers the process's own stdout and stderr", {
  r <- run_script({
    # Each line is one write(): the workers share the two files, and R writes each argument of cat() by itself.
    invisible(MapReduce(np = 2, output = "inherit")$map(function(i) {
      cat(paste0("out ", i, "\n"))
      cat(paste0("err ", i, "\n"), file = stderr())
    }, 1:4))
    caught <- capture.output(MapReduce(np = 2, output = "inherit")$map(function(i) { cat("past the sink\n"); NULL }, 1) -> x)
    answer(caught)
  })
  expect_script_ok(r)
  expect_true(all(sprintf("out %d", 1:4) %in% r$stdout))
  expect_true(all(sprintf("err %d", 1:4) %in% r$stderr))
  expect_identical(r$value, character())
  expect_true("past the sink" %in% r$stdout)
})

test_that("relay keeps stdout and stderr apart", {
  r <- run_script({
    invisible(MapReduce(np = 2)$map(function(i) { cat("to out\n"); cat("to err\n", file = stderr()); system("echo child err >&2") }, 1))
  })
  expect_script_ok(r)
  expect_identical(grep("^to ", r$stdout, value = TRUE), "to out")
  expect_identical(grep("^(to|child) ", r$stderr, value = TRUE), c("to err", "child err"))
})

test_that("sinks of the master catch it, to a connection, a file or nested, and message sinks its stderr", {
  file <- tempfile()
  sink(file)
  x <- MapReduce(np = 2)$map(function(i) { cat("line", i, "\n"); NULL }, 1:20)
  sink()
  expect_setequal(readLines(file), sprintf("line %d ", 1:20))
  con <- file(file, "w")
  sink(con)
  inner <- capture.output(x <- MapReduce(np = 2)$map(function(i) { cat("inner\n"); NULL }, 1:4))
  x <- MapReduce(np = 2)$map(function(i) { cat("outer\n"); NULL }, 1:4)
  sink()
  close(con)
  expect_identical(inner, rep("inner", 4))
  expect_identical(readLines(file), rep("outer", 4))
  con <- file(file, "w")
  sink(con, type = "message")
  x <- tryCatch(MapReduce(np = 2)$map(function(i) { cat("to err\n", file = stderr()); NULL }, 1:3), finally = sink(type = "message"))
  close(con)
  expect_identical(readLines(file), rep("to err", 3))
  unlink(file)
})

test_that("a sink that a worker opens is its own", {
  file <- tempfile()
  out <- capture.output(r <- MapReduce(np = 2)$map(function(i) capture.output(cat("mine", i, "\n")), 1:6))
  expect_identical(unlist(r), sprintf("mine %d ", 1:6))
  expect_identical(out, character())
  out <- capture.output(MapReduce(np = 1)$map(function(i) { if (i == 1) sink(paste0(file, i)); cat("x\n"); if (i == 2) sink(); NULL },
                                              1:3) -> r)
  expect_identical(out, "x")
  unlink(paste0(file, 1))
})

test_that("a knitr document shows it where the map stands", {
  skip_if_not_installed("knitr")
  file <- tempfile(fileext = ".Rmd")
  writeLines(c("```{r}", "x <- MapReduce(np = 2)$map(function(i) { cat('from', i, '\\n'); message('told ', i); NULL }, 1:3)", "```",
               "after"), file)
  out <- tempfile()
  knitr::knit(file, out, quiet = TRUE, envir = new.env(parent = environment()))
  md <- trimws(readLines(out))
  unlink(c(file, out))
  for (i in 1:3) {
    expect_true(sprintf("## from %d", i) %in% md)
    expect_true(sprintf("## told %d", i) %in% md)
  }
  expect_lt(max(grep("^## ", md)), match("after", md))
})

test_that("bytes that are no text, and lines without end, are no trouble", {
  r <- run_script({
    junk <- as.raw(c(0:255, 0xff, 0xfe, 0xc3, 0x28, 37, 115, 37, 110))
    x <- MapReduce(np = 2)$map(function(i) {
      system(sprintf("head -c 200000 /dev/zero | tr '\\0' 'a'; printf '\\n'"))
      f <- pipe("cat", "wb")
      writeBin(junk, f)
      close(f)
      cat("\nhere %s %n %d\n")
      i
    }, 1:2)
    answer(x)
  })
  expect_script_ok(r)
  expect_identical(r$value, list(1L, 2L))
  expect_identical(sum(r$stdout == "here %s %n %d", na.rm = TRUE), 2L)
})

test_that("10 MB of output arrive whole, in the order of each worker", {
  out <- capture.output(MapReduce(np = 2)$map(function(i) { for (k in 1:2500) cat(i, k, strrep("x", 1000), "\n"); NULL }, 1:4) -> r)
  expect_length(out, 10000)
  expect_true(all(nchar(out) > 1000))
  at <- strsplit(out, " ", fixed = TRUE)
  who <- vapply(at, `[`, "", 1L)
  for (i in 1:4) expect_identical(vapply(at[who == i], `[`, "", 2L), as.character(1:2500))
})

test_that("output of a worker that dies or fails is not lost", {
  speak <- function(i) {
    cat("last words\n")
    if (i == 2) tools::pskill(Sys.getpid(), 9)
    Sys.sleep(0.05)
  }
  out <- capture.output(e <- tryCatch(MapReduce(np = 2)$map(speak, 1:2), error = identity))
  expect_s3_class(e, "WorkerException")
  expect_true("last words" %in% out)
  out <- capture.output(e <- tryCatch(MapReduce(np = 1)$map(function(i) { cat("before the error\n"); stop("x") }, 1), error = identity))
  expect_identical(out, "before the error")
})

test_that("what the master had not yet written appears once", {
  r <- run_script({
    cat("unfinished")
    invisible(MapReduce(np = 3, output = "inherit")$map(function(i) i, 1:3))
    cat("\n")
    con <- pipe("cat", "w")
    cat("through a pipe\n", file = con)
    invisible(MapReduce(np = 3)$map(function(i) i, 1:3))
    close(con)
  })
  expect_script_ok(r)
  expect_identical(sum(grepl("unfinished", r$stdout)), 1L)
  expect_identical(sum(grepl("through a pipe", r$stdout)), 1L)
})

test_that("an error in a handler of what is relayed ends the workers", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 2)
  e <- tryCatch(withCallingHandlers(pool$map(function(i) { message("m"); Sys.sleep(0.01); i }, 1:100),
                                    message = function(m) stop("no messages here")), error = identity)
  expect_identical(conditionMessage(e), "no messages here")
  expect_nothing_left(before)
})

# ---- conditions ----

test_that("conditions come in the order of the items, with class, call and fields", {
  pool <- MapReduce(np = 3)
  got <- list()
  withCallingHandlers(
    pool$map(function(i) {
      Sys.sleep(if (i %% 2) 0.01 else 0)
      warning(structure(class = c("own", "warning", "condition"), list(message = "w", call = quote(f(x)), item = i)))
      i
    }, 1:30),
    own = function(w) { got[[length(got) + 1]] <<- w; invokeRestart("muffleWarning") })
  expect_identical(vapply(got, function(w) w$item, 0L), 1:30)
  expect_identical(conditionCall(got[[1]]), quote(f(x)))
})

count_told <- function(code) {
  told <- list(warning = character(), message = character())
  withCallingHandlers(code,
    warning = function(w) { told$warning <<- c(told$warning, conditionMessage(w)); invokeRestart("muffleWarning") },
    message = function(m) { told$message <<- c(told$message, conditionMessage(m)); invokeRestart("muffleMessage") })
  told
}

test_that("of thousands of warnings 50 are told, and the count of the rest", {
  told <- count_told(MapReduce(np = 2)$map(function(i) { for (k in 1:500) warning("w", i); i }, 1:10))
  expect_length(told$warning, 51)
  expect_identical(told$warning[51], "and 4950 more warnings from workers")
  told <- count_told(MapReduce(np = 2)$map(function(i) { for (k in 1:1000) message("m"); i }, 1:5))
  expect_length(told$message, 1001)
  expect_match(told$message[1001], "^and 4000 more messages from workers")
  told <- count_told(MapReduce(np = 2)$map(function(i) warning("w"), 1:50))
  expect_length(told$warning, 50)
})

test_that("rlang conditions arrive with their class, data and parents", {
  skip_if_not_installed("rlang")
  pool <- MapReduce(np = 2)
  inner <- function() rlang::abort("inner cause", class = "inner_class", data_of_it = 5)
  outer <- function(i) tryCatch(inner(), error = function(e) rlang::abort("outer trouble", class = "outer_class", parent = e))
  e <- tryCatch(pool$map(outer, 1:2), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_s3_class(e$reason, c("outer_class", "rlang_error", "error", "condition"), exact = TRUE)
  expect_s3_class(e$reason$parent, "inner_class")
  expect_identical(e$reason$parent$data_of_it, 5)
  expect_match(paste(capture.output(print(e)), collapse = "\n"), "outer trouble")
  w <- tryCatch(pool$map(function(i) { rlang::warn("careful", class = "own_warning"); i }, 1), own_warning = identity)
  expect_s3_class(w, "own_warning")
})

test_that("a condition with a reference to an environment and a connection of its own is told nevertheless", {
  pool <- MapReduce(np = 1)
  warn <- function(i) {
    warning(structure(class = c("own", "warning", "condition"), list(message = "with env", call = NULL, env = environment())))
    i
  }
  w <- tryCatch(pool$map(warn, 1), warning = identity)
  expect_s3_class(w, "own")
  expect_true(is.environment(w$env))
})

test_that("printed exceptions name the reason, the item, the rank and the calls", {
  deep <- function(x) stop("bottom")
  e <- tryCatch(MapReduce(np = 1)$map(function(i) deep(i), 1:2), error = identity)
  out <- paste(capture.output(print(e)), collapse = "\n")
  for (what in c("bottom", "item 1", "worker 0", "deep(i)")) expect_true(grepl(what, out, fixed = TRUE))
  expect_false(grepl("withCallingHandlers|worker_items|ffi_", out))
})

test_that("lines longer than any buffer stay whole, of successors too", {
  out <- capture.output(invisible(MapReduce(np = 2)$map(function(i) for (k in 1:20) cat(strrep(letters[i], 1e5), "\n", sep = ""), 1:4)))
  expect_identical(nchar(out), rep(100000L, 80))
  once <- full(4, 0, "i4")
  out <- capture.output(invisible(MapReduce(np = 2, retries = 1)$map(function(i) {
    for (k in 1:5) cat(strrep(letters[i], 1e5), "\n", sep = "")
    if (atomic_add(once, i, 1) == 1) tools::pskill(Sys.getpid(), 9)
  }, 1:4)))
  expect_identical(nchar(out), rep(100000L, 40))
  expect_true(all(grepl("^(a*|b*|c*|d*)$", out)))
})

test_that("what the ranks print reaches the session, also more than a pipe holds while it computes", {
  p <- Parallel(Shared(done = FALSE), num_threads = 2)
  out <- capture.output(invisible(with(p, {
    cat("rank", p$rank, "\n")
    if (p$rank == 1) { for (k in 1:3) cat(strrep("x", 1e5), "\n", sep = ""); p$var$done <- TRUE }
    else while (!p$var$done) Sys.sleep(0.01)
  })))
  expect_setequal(out[nchar(out) < 100], c("rank 0 ", "rank 1 "))
  expect_identical(nchar(out[nchar(out) >= 100]), rep(100000L, 3))
})
