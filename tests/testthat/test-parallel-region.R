# What a region raises, as a condition.
raised <- function(expr) tryCatch({ expr; NULL }, error = identity)

schedules <- c("static", "dynamic", "guided")

# In scripts, which get it among their `vars`: a member ends itself.
die <- function() { tools::pskill(Sys.getpid(), tools::SIGKILL); Sys.sleep(60) }
environment(die) <- globalenv()

test_that("the braces run in every process, with ranks from 0, and give the value of rank 0", {
  p <- Parallel(Reduction(c, ranks = NULL), Reduction("&", good = TRUE), num_threads = 3)
  value <- with(p, {
    p$var$ranks <- p$rank
    p$var$good <- p$num_threads == 3L && identical(p$master, p$rank == 0L)
    p$rank + 10L
  })
  expect_identical(value, 10L)
  expect_identical(p$var$ranks, 0:2)
  expect_true(p$var$good)
})

test_that("the braces see and change the function they stand in, as rank 0", {
  f <- function(k) {
    p <- Parallel(num_threads = 2)
    y <- 0
    with(p, {
      y <- k + p$rank
      z <- "new"
    })
    list(y, z)
  }
  expect_identical(f(5), list(5, "new"))
})

test_that("return() in the braces leaves the region", {
  p <- Parallel(Reduction("+", n = 0), num_threads = 2)
  value <- with(p, {
    p$var$n <- 1
    if (p$master) return("early")
    p$var$n <- 2
  })
  expect_identical(value, "early")
  expect_identical(p$var$n, 3)
})

test_that("every item runs once under each schedule, with chunks, ordered or not", {
  for (schedule in schedules) for (ordered in c(FALSE, TRUE)) for (chunk in list(NULL, 1, 3, 1000)) {
    p <- Parallel(Shared(hits = integer(50)), Reduction("+", s = c(0, 0)), num_threads = 2)
    with(p, p$forloop(1:50, schedule = schedule, chunk = chunk, ordered = ordered, body = function(i, o) {
      p$var$hits[i] <- p$var$hits[i] + 1L
      p$var$s <- p$var$s + c(i, 10 * i)
    }))
    expect_identical(p$var$hits[], rep(1L, 50))
    expect_identical(p$var$s, c(1275, 12750))
  }
})

test_that("a static loop gives each process one block, or chunks in turn", {
  p <- Parallel(Shared(whole = integer(10), turn = integer(10)), num_threads = 2)
  with(p, {
    p$forloop(1:10, function(i) p$var$whole[i] <- p$rank)
    p$forloop(1:10, function(i) p$var$turn[i] <- p$rank, chunk = 2)
  })
  expect_identical(p$var$whole[], rep(0:1, each = 5))
  expect_identical(p$var$turn[], c(0L, 0L, 1L, 1L, 0L, 0L, 1L, 1L, 0L, 0L))
})

test_that("ordered sections run in the order of the range under each schedule", {
  for (schedule in schedules) {
    p <- Parallel(Shared(n = 0L, order = integer(40)), num_threads = 2)
    with(p, p$forloop(1:40, schedule = schedule, ordered = TRUE, body = function(i, ordered) {
      if (i %% 4 != 0) ordered({
        p$var$n <- p$var$n + 1L
        p$var$order[p$var$n] <- i
      })
    }))
    expect_identical(p$var$order[1:30], setdiff(1:40, seq(4, 40, 4)))
  }
})

test_that("the ordered section works with with() and gives its value", {
  p <- Parallel(Reduction("+", n = 0), num_threads = 2)
  with(p, p$forloop(1:4, ordered = TRUE, body = function(i, ordered) {
    p$var$n <- p$var$n + with(ordered, i * 2)
  }))
  expect_identical(p$var$n, 20)
})

test_that("ranges may be lists, characters, empty, or shared arrays", {
  p <- Parallel(Reduction(c, seen = NULL), num_threads = 2)
  with(p, {
    p$forloop(list("a", 1L), function(x) p$var$seen <- c(p$var$seen, as.character(x)))
    p$forloop(character(), function(x) stop("never"))
    p$forloop(NULL, function(x) stop("never"))
    p$forloop(copy(c(7, 8)), function(x) p$var$seen <- c(p$var$seen, as.character(x)))
  })
  expect_setequal(p$var$seen, c("a", "1", "7", "8"))
})

test_that("many loops and barriers in one region, and regions one after the other", {
  p <- Parallel(Shared(n = 0), num_threads = 2)
  for (again in 1:3) with(p, for (k in 1:40) {
    p$forloop(1:3, function(i) p$critical(p$var$n <- p$var$n + 1), schedule = schedules[k %% 3 + 1], nowait = k %% 2 == 0)
    if (k %% 5 == 0) p$barrier()
  })
  expect_identical(p$var$n, 360)
})

test_that("a barrier holds everybody back until all have arrived", {
  p <- Parallel(Shared(a = integer(2), wrong = 0L), num_threads = 2)
  with(p, for (k in 1:300) {
    p$var$a[p$rank + 1] <- k
    p$barrier()
    if (any(p$var$a[] != k)) p$var$wrong <- 1L
    p$barrier()
  })
  expect_identical(p$var$wrong, 0L)
  expect_identical(p$var$a[], c(300L, 300L))
})

test_that("single() runs once and holds the others until it is done", {
  p <- Parallel(Shared(n = 0, late = 0), Reduction(c, value = NULL), num_threads = 2)
  with(p, for (k in 1:30) {
    v <- p$single({
      p$var$n <- p$var$n + 1
      "mine"
    })
    if (p$var$n < k) p$var$late <- 1
    p$barrier()
    p$var$value <- c(p$var$value, v)
  })
  expect_identical(p$var$n, 30)
  expect_identical(p$var$late, 0)
  expect_identical(p$var$value, rep("mine", 30))
})

test_that("one process at a time is in a critical section", {
  p <- Parallel(Shared(n = 0), num_threads = 2)
  with(p, for (k in 1:500) {
    p$critical(p$var$n <- p$var$n + 1)
    with(p$critical, p$var$n <- p$var$n + 1)
  })
  expect_identical(p$var$n, 2000)
})

test_that("one process is enough for everything", {
  p <- Parallel(Shared(a = integer(3)), Reduction("+", n = 1), num_threads = 1)
  with(p, {
    p$barrier()
    p$single(p$var$n <- p$var$n + 1)
    p$forloop(1:3, ordered = TRUE, schedule = "guided", body = function(i, ordered) ordered(p$var$a[i] <- i))
    p$critical(p$var$n <- p$var$n + 1)
  })
  expect_identical(p$var$a[], 1:3)
  expect_identical(p$var$n, 3)
})

test_that("debug mode runs in the caller and leaves errors as they are", {
  old <- set_debug(TRUE)
  on.exit(set_debug(old))
  p <- Parallel(Reduction("+", n = 0), num_threads = 2)
  with(p, p$var$n <- p$num_threads)
  expect_identical(p$var$n, 1)
  e <- raised(with(p, stop("plain")))
  expect_s3_class(e, "simpleError")
  expect_false(inherits(e, "WorkerException"))
})

test_that("a region inside a region, and a map inside a region, have what processors are left", {
  p <- Parallel(Reduction("+", n = 0), num_threads = 2)
  pool <- MapReduce(np = 2)
  with(p, {
    q <- Parallel(Reduction("+", m = 0), num_threads = 2)
    with(q, q$var$m <- q$var$m + 1)
    p$var$n <- q$var$m + sum(unlist(pool$map(function(i) i, 1:3)))
  })
  expect_identical(p$var$n, 14)
  r <- pool$map(function(i) {
    q <- Parallel(Reduction("+", m = i), num_threads = 2)
    with(q, q$var$m <- q$var$m + 1)
    q$var$m
  }, 1:3)
  expect_identical(unlist(r), c(2, 3, 4))
})

test_that("an error in any process is a WorkerException that says where and what", {
  p <- Parallel(num_threads = 3)
  for (rank in 0:2) {
    e <- raised(with(p, {
      inner <- function() stop(structure(class = c("mine", "error", "condition"), list(message = "bad", call = NULL, data = 1:3)))
      p$barrier()
      if (p$rank == rank) inner()
      p$barrier()
    }))
    expect_s3_class(e, "WorkerException")
    expect_identical(e$rank, rank)
    expect_s3_class(e$reason, "mine")
    expect_identical(e$reason$data, 1:3)
    expect_identical(e$traceback[1], "inner()")
  }
})

test_that("an error inside critical, ordered, single and loop bodies ends the region", {
  p <- Parallel(Shared(n = 0), num_threads = 2)
  bodies <- list(
    quote(p$critical(if (p$rank == 1) stop("here"))),
    quote(p$single(stop("here"))),
    quote(p$forloop(1:8, function(i) if (i == 7) stop("here"))),
    quote(p$forloop(1:8, ordered = TRUE, schedule = "dynamic", body = function(i, ordered) ordered(if (i == 3) stop("here")))),
    quote(p$forloop(1:8, ordered = TRUE, schedule = "static", body = function(i, ordered) ordered(if (i == 8) stop("here")))))
  for (body in bodies) {
    e <- raised(with(p, {
      eval(body)
      p$barrier()
    }))
    expect_s3_class(e, "WorkerException")
    expect_identical(conditionMessage(e$reason), "here")
  }
})

test_that("an error that the braces catch is theirs", {
  p <- Parallel(Reduction("+", n = 0), num_threads = 2)
  with(p, {
    tryCatch(p$critical(stop("mine")), error = function(e) p$var$n <- 1)
    p$critical(p$var$n <- p$var$n + 1)
  })
  expect_identical(p$var$n, 4)
})

test_that("processes that do not meet the same constructs get an error, not a hang", {
  p <- Parallel(num_threads = 2)
  cases <- list(
    quote(if (p$master) p$barrier()),
    quote(if (!p$master) p$barrier()),
    quote(if (p$master) p$forloop(1:4, function(i) i)),
    quote(if (p$master) p$forloop(1:4, function(i) i, nowait = TRUE)),
    quote(if (!p$master) for (k in 1:20) p$forloop(1:4, function(i) i, nowait = TRUE)),
    quote(p$forloop(seq_len(4 + p$rank), function(i) i)),
    quote(p$forloop(1:4, function(i) i, schedule = if (p$master) "static" else "dynamic")),
    quote(if (p$master) p$single(1) else p$barrier()),
    quote(if (p$master) p$single(1) else p$forloop(1, function(i) i, schedule = "dynamic", chunk = 1)),
    quote(p$critical(p$barrier())),
    quote(p$forloop(1:4, function(i) p$barrier())),
    quote(p$single(p$forloop(1:4, function(i) i))))
  for (case in cases) {
    e <- raised(with(p, eval(case)))
    expect_s3_class(e, "WorkerException")
    expect_s3_class(e$reason, "sharedmem_region_error")
  }
})

test_that("entering a section twice, or ordered from inside critical, is a lock error", {
  p <- Parallel(num_threads = 2)
  cases <- list(
    quote(p$critical(p$critical(1))),
    quote(p$forloop(1:4, ordered = TRUE, body = function(i, ordered) { ordered(1); ordered(2) })),
    quote(p$forloop(1:4, ordered = TRUE, body = function(i, ordered) p$critical(ordered(1)))))
  for (case in cases) {
    e <- raised(with(p, eval(case)))
    expect_s3_class(e, "WorkerException")
    expect_s3_class(e$reason, "sharedmem_lock_error")
  }
})

test_that("outside of with() its calls are errors, and so is a region inside itself", {
  p <- Parallel(num_threads = 2)
  expect_error(p$barrier(), class = "sharedmem_region_error")
  expect_error(p$critical(1), class = "sharedmem_region_error")
  expect_error(p$forloop(1:2, function(i) i), class = "sharedmem_region_error")
  expect_s3_class(raised(with(p, with(p, 1)))$reason, "sharedmem_region_error")
})

test_that("bad loops are argument errors", {
  p <- Parallel(num_threads = 1)
  cases <- list(quote(p$forloop(1:2, 1)), quote(p$forloop(1:2, identity, schedule = "auto")),
                quote(p$forloop(1:2, identity, chunk = 0)), quote(p$forloop(1:2, identity, ordered = NA)),
                quote(p$single(1, nowait = 2)))
  for (case in cases) expect_s3_class(raised(with(p, eval(case)))$reason, "sharedmem_argument_error")
})

test_that("warnings and messages reach the caller in the order of the ranks", {
  p <- Parallel(num_threads = 3)
  said <- character()
  withCallingHandlers(
    with(p, {
      if (p$rank > 0) warning("w", p$rank)
      if (p$rank > 0) message("m", p$rank)
    }),
    warning = function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") },
    message = function(m) { said <<- c(said, trimws(conditionMessage(m))); invokeRestart("muffleMessage") })
  expect_identical(said, c("w1", "m1", "w2", "m2"))
})

test_that("more messages than a ring holds do not block anybody", {
  r <- run_script({
    p <- Parallel(Shared(n = 0), num_threads = 2)
    said <- 0
    withCallingHandlers(
      with(p, {
        if (p$rank == 1) for (k in 1:900) message(strrep("x", 500))
        p$barrier()
      }), message = function(m) { said <<- said + 1; invokeRestart("muffleMessage") })
    answer(said)
  })
  expect_script_ok(r)
  expect_identical(r$value, 900)
})

test_that("deaths are noticed wherever the others wait, and reported", {
  r <- run_script({
    raised <- function(expr) tryCatch({ expr; NULL }, error = identity)
    p <- Parallel(num_threads = 2)
    out <- list(
      barrier = raised(with(p, { p$barrier(); if (p$rank == 1) die(); p$barrier() })),
      critical = raised(with(p, { if (p$rank == 1) p$critical(die()); for (k in 1:1e6) { p$critical(1); Sys.sleep(0.01) } })),
      ordered = raised(with(p, p$forloop(1:2, chunk = 1, ordered = TRUE, body = function(i, ordered) {
        if (i == 1) { Sys.sleep(0.2); ordered(1) }
        if (i == 2) ordered(die())
      }))),
      turn = raised(with(p, p$forloop(1:3, chunk = 1, ordered = TRUE, body = function(i, ordered) {
        if (i == 2) die()
        ordered(i)
      }))),
      loop = raised(with(p, p$forloop(1:1e6, schedule = "dynamic", body = function(i) if (p$rank == 1) die() else Sys.sleep(0.01)))),
      end = raised(with(p, if (p$rank == 1) die())),
      quit = raised(with(p, { if (p$rank == 1) quit("no", 3); p$barrier() })),
      abort = raised(with(p, { if (p$rank == 1) invokeRestart("abort"); p$barrier() })),
      segv = raised(with(p, { if (p$rank == 1) tools::pskill(Sys.getpid(), 11); p$barrier() })))
    answer(list(class = vapply(out, function(e) class(e)[1], ""), rank = vapply(out, function(e) e$rank, 1L),
                message = vapply(out, conditionMessage, "")))
  }, timeout = 60, vars = list(die = die))
  expect_script_ok(r)
  expect_identical(unname(r$value$class), rep("WorkerException", 9))
  expect_identical(unname(r$value$rank), rep(1L, 9))
  expect_match(r$value$message[1:6], "SIGKILL")
  expect_match(r$value$message[["quit"]], "q()", fixed = TRUE)
  expect_match(r$value$message[["segv"]], "SIGSEGV")
})

test_that("an interrupt of the caller ends all processes and goes on its way", {
  r <- run_script({
    p <- Parallel(Shared(pids = integer(2)), num_threads = 2)
    me <- Sys.getpid()
    how <- tryCatch(with(p, {
      p$var$pids[p$rank + 1] <- Sys.getpid()
      p$barrier()
      if (p$rank == 1) { tools::pskill(me, tools::SIGINT); Sys.sleep(60) }
      p$barrier()
    }), interrupt = function(i) "interrupted")
    again <- with(p, p$num_threads)
    answer(list(how, again, p$var$pids[2]))
  })
  expect_script_ok(r)
  expect_identical(r$value[1:2], list("interrupted", 2L))
})

test_that("the death of the caller ends all processes, and what they have started", {
  said <- tempfile()
  on.exit(unlink(said))
  s <- start_script({
    p <- Parallel(num_threads = 2)
    with(p, {
      if (p$rank == 1) {
        started <- system("sleep 60 >/dev/null & echo $!", intern = TRUE)
        writeLines(c(as.character(Sys.getpid()), started), said)
      }
      Sys.sleep(60)
    })
  }, vars = list(said = said))
  children <- integer()
  expect_true(wait_until(file.exists(said) && length(children <- as.integer(readLines(said))) == 2L, 20))
  tools::pskill(s$pid, tools::SIGKILL)
  expect_true(wait_until(!any(children %in% live_pids()), 5))
  finish_script(s)
})

test_that("nothing stays behind, however a region ends", {
  p <- Parallel(Shared(a = numeric(10)), num_threads = 2)
  with(p, p$barrier())
  before <- snapshot_resources()
  for (k in 1:3) {
    with(p, p$forloop(1:10, function(i) p$var$a[i] <- i))
    raised(with(p, if (p$rank == 1) stop("no")))
    raised(with(p, if (p$rank == 0) stop("no")))
    raised(with(p, { if (p$rank == 1) tools::pskill(Sys.getpid(), 9); p$barrier() }))
    tryCatch(with(p, { if (p$master) stop(structure(class = c("odd", "condition"), list(message = "", call = NULL))); p$barrier() }),
             condition = identity)
  }
  expect_nothing_left(before)
})

test_that("loops, errors and kills do not hang, again and again", {
  r <- run_script({
    raised <- function(expr) tryCatch({ expr; NULL }, error = identity)
    bad <- character()
    p <- Parallel(Shared(n = 0), Reduction("+", a = c(0, 0)), num_threads = 2)
    for (k in 1:8) for (schedule in c("static", "dynamic", "guided")) {
      e <- raised(with(p, p$forloop(1:20, schedule = schedule, ordered = TRUE, body = function(i, ordered) ordered({
        p$var$a <- p$var$a + c(i, 10 * i)
        if (i == 20) stop("ordered")
      }))))
      if (is.null(e) || conditionMessage(e$reason) != "ordered") bad <- c(bad, "ordered")
      e <- raised(with(p, p$forloop(1:20, schedule = schedule, body = function(i) p$critical(if (i == 20) stop("critical")))))
      if (is.null(e) || conditionMessage(e$reason) != "critical") bad <- c(bad, "critical")
      e <- raised(with(p, { p$barrier(); if (p$rank == 1) tools::pskill(Sys.getpid(), 9); p$barrier() }))
      if (is.null(e) || e$rank != 1L) bad <- c(bad, "kill")
    }
    answer(bad)
  }, timeout = 120)
  expect_script_ok(r)
  expect_identical(r$value, character())
})

test_that("a Jacobi iteration with two barriers a sweep is the serial one to the last bit", {
  step <- function(u, cols) 0.25 * (u[1:38, cols] + u[3:40, cols] + u[2:39, cols - 1] + u[2:39, cols + 1])
  u <- matrix(sin(1:1600), 40)
  p <- Parallel(Shared(u = u), num_threads = 2)
  with(p, {
    cols <- if (p$master) 2:20 else 21:39
    for (k in 1:20) {
      new <- step(p$var$u[], cols)
      p$barrier()
      p$var$u[2:39, cols] <- new
      p$barrier()
    }
  })
  for (k in 1:20) u[2:39, 2:39] <- step(u, 2:39)
  expect_identical(p$var$u[], u)
})

test_that("a failure elsewhere reaches the caller while it sleeps, computes, or spins on shared memory", {
  r <- run_script({
    x <- full(1, 0)
    waits <- list(quote(while (!p$var$ready) Sys.sleep(0.01)), quote(while (x[1] == 0) NULL), quote(Sys.sleep(60)), quote(repeat sqrt(2)),
                  quote(tryCatch(repeat NULL, error = function(e) NULL)))
    out <- list()
    for (wait in waits) for (how in c("error", "death")) {
      p <- Parallel(Shared(ready = FALSE), num_threads = 2)
      t <- system.time(e <- tryCatch(with(p, {
        if (p$rank == 1) if (how == "error") stop("no file") else tools::pskill(Sys.getpid(), 9)
        eval(wait)
      }), error = identity))
      out[[length(out) + 1L]] <- list(class(e)[1L], e$rank, if (how == "error") conditionMessage(e$reason), t[["elapsed"]])
    }
    for (i in 1:2e5) NULL # no interrupt is left over
    Sys.sleep(0.2)
    answer(out)
  }, timeout = 90)
  expect_script_ok(r)
  for (o in r$value) {
    expect_identical(o[1:2], list("WorkerException", 1L))
    if (!is.null(o[[3L]])) expect_identical(o[[3L]], "no file")
    expect_lt(o[[4L]], 20)
  }
})

test_that("so it does in a region inside a worker", {
  r <- MapReduce(np = 4)$map(function(i) { # two workers, which may have two processes each
    p <- Parallel(num_threads = 2)
    class(tryCatch(with(p, { if (p$rank == 1) stop("inner"); while (p$num_threads == 2) NULL }), error = identity))[1L]
  }, 1:2)
  expect_identical(r, list("WorkerException", "WorkerException"))
})

test_that("Ctrl-C and time limits stay what they are inside the braces", {
  r <- run_script({
    p <- Parallel(num_threads = 2)
    limit <- tryCatch({
      setTimeLimit(elapsed = 0.5, transient = TRUE)
      with(p, repeat NULL)
    }, error = conditionMessage)
    setTimeLimit()
    system(sprintf("(sleep 0.5; kill -INT %d) &", Sys.getpid()))
    how <- tryCatch(with(p, repeat NULL), interrupt = function(i) "interrupted")
    answer(list(limit, how))
  })
  expect_script_ok(r)
  expect_match(r$value[[1]], "elapsed time limit")
  expect_identical(r$value[[2]], "interrupted")
})

test_that("a member's death is no interrupt of a script, however many expressions R has evaluated before its first region", {
  # R looks for interrupts at each thousandth, so each process tries another place; a part of all places, another each time
  r <- run_script({
    p <- Parallel(num_threads = 2)
    turn <- quote(NULL)
    compiler::enableJIT(0)
    one <- function(k) {
      for (i in seq_len(k)) base::eval(turn)
      tryCatch({ with(p, { if (p$rank == 1) die(); p$barrier() }); "none" }, WorkerException = function(e) "told")
    }
    answer(parallel::mclapply(sample(1000, 250), one, mc.preschedule = FALSE, mc.cores = 2))
  }, timeout = 100, vars = list(die = die))
  expect_script_ok(r)
  expect_identical(r$value, rep(list("told"), 250))
})
