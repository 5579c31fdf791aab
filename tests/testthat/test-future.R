# Each test in a session of its own: plans, handlers and the registry of futures are the session's.
future_here <- nzchar(system.file(package = "future"))
current_future <- future_here && packageVersion("future") >= "1.40.0"
skip_unless_current <- function() skip_if(!current_future, "package future is older than 1.40.0 or missing")

test_that("an old future is told so, and loads beside this package", {
  skip_if(!future_here || current_future, "no old future is installed")
  out <- run_script({
    library(future)
    e <- tryCatch(plan(sharedmem::sharedmem, workers = 2), error = identity)
    plan(sequential)
    answer(list(class(e), value(future(7))))
  })
  expect_true("sharedmem_package_error" %in% out$value[[1]])
  expect_identical(out$value[[2]], 7)
})

test_that("the plan's function is not for calling", {
  skip_unless_current()
  expect_error(sharedmem(), class = "sharedmem_misuse_error")
})

test_that("futures run in forked workers, and their values, output and conditions arrive", {
  skip_unless_current()
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    x <- 41
    shared <- full(2, 0)
    f <- future({
      shared[2] <- 5
      cat("printed\n")
      message("a message")
      warning("a warning")
      x + 1
    })
    heard <- character()
    got <- utils::capture.output(v <- withCallingHandlers(value(f), message = function(m) {
      heard <<- c(heard, conditionMessage(m))
      invokeRestart("muffleMessage")
    }, warning = function(w) {
      heard <<- c(heard, conditionMessage(w))
      invokeRestart("muffleWarning")
    }))
    e <- tryCatch(value(future(stop(structure(class = c("mine", "error", "condition"), list(message = "m", call = NULL))))), error = class)
    answer(list(v = v, got = got, heard = heard, shared = shared[2], e = e, own = value(future(Sys.getpid())) == Sys.getpid(),
                workers = nbrOfWorkers(), free = nbrOfFreeWorkers(), multicore = inherits(plan(), "multicore")))
  })
  expect_equal(out$value, list(v = 42, got = "printed", heard = c("a message\n", "a warning"), shared = 5,
                               e = c("mine", "error", "condition"),
                               own = FALSE, workers = 2, free = 2, multicore = TRUE))
})

test_that("launching moves no random numbers, and seeded futures are reproducible", {
  skip_unless_current()
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    f <- future(1)
    none <- exists(".Random.seed", globalenv())
    set.seed(3)
    before <- .Random.seed
    invisible(value(future(2)))
    same <- identical(before, .Random.seed)
    draw <- function() {
      set.seed(3)
      value(future(rnorm(2), seed = TRUE))
    }
    unseeded <- suppressWarnings(unlist(value(lapply(1:4, function(i) future(runif(1))))))
    answer(list(none, same, identical(draw(), draw()), anyDuplicated(unseeded)))
  })
  expect_identical(out$value, list(FALSE, TRUE, TRUE, 0L))
})

test_that("a killed future names its signal and its process, and the plan goes on", {
  skip_unless_current()
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    f <- future(tools::pskill(Sys.getpid(), 9), label = "mine")
    e <- tryCatch(value(f), error = identity)
    quits <- tryCatch(value(future(quit(status = 3))), error = identity)
    answer(list(class(e), conditionMessage(e), resolved(f), conditionMessage(quits), value(future("fine")), nbrOfFreeWorkers()))
  })
  expect_true("FutureInterruptError" %in% out$value[[1]])
  expect_match(out$value[[2]], "mine.*SIGKILL")
  expect_true(out$value[[3]])
  expect_match(out$value[[4]], "quit|q\\(\\)|status")
  expect_identical(out$value[[5]], "fine")
  expect_equal(out$value[[6]], 2)
})

test_that("a worker is free for the next future once its future has ended, whether or not its value was asked for", {
  skip_unless_current()
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    fs <- lapply(1:7, function(i) future(i^2))
    values <- unlist(value(fs))
    open <- full(1, 0)
    late <- lapply(1:2, function(i) future({
      while (open[1] == 0) Sys.sleep(0.01)
      i
    }))
    busy <- nbrOfFreeWorkers()
    states <- resolved(late)
    open[1] <- 1
    while (!all(resolved(late))) Sys.sleep(0.01)
    free <- nbrOfFreeWorkers() # though nobody has asked for values
    lazy <- future(1, lazy = TRUE)
    while (!resolved(lazy)) Sys.sleep(0.01)
    answer(list(values, busy, states, free, unlist(value(late)), value(lazy), nbrOfFreeWorkers()))
  })
  expect_equal(out$value, list((1:7)^2, 0, c(FALSE, FALSE), 2, 1:2, 1, 2))
})

test_that("a cancelled future's process is gone, and its value is an error", {
  skip_unless_current()
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    f <- future(Sys.sleep(60))
    pid <- f$job$pid
    cancel(f)
    e <- tryCatch(value(f), error = class)
    g <- future(Sys.sleep(60))
    pid <- c(pid, g$job$pid)
    plan(sequential) # ends what runs
    answer(list(e, tools::pskill(pid, 0)))
  })
  expect_true("FutureInterruptError" %in% out$value[[1]])
  expect_identical(out$value[[2]], c(FALSE, FALSE))
  expect_lt(out$elapsed, 50)
})

test_that("immediate conditions arrive while a future runs", {
  skip_unless_current()
  skip_if_not_installed("progressr")
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    open <- full(1, 0)
    told <- 0
    v <- withCallingHandlers(value(future({
      signalCondition(structure(class = c("news", "immediateCondition", "condition"), list(message = "", call = NULL)))
      while (open[1] == 0) Sys.sleep(0.01) # it ends once its news has arrived
      "ended"
    })), news = function(n) {
      told <<- told + 1
      open[1] <- 1
    })
    answer(list(v, told))
  }, timeout = 60)
  expect_equal(out$value, list("ended", 1))
})

test_that("progressr's steps in workers reach the session while a map, future_lapply or future_map runs", {
  skip_unless_current()
  skip_if_not_installed("progressr")
  skip_if_not_installed("future.apply")
  skip_if_not_installed("furrr")
  out <- run_script({
    library(future)
    options(progressr.enable = TRUE)
    plan(sharedmem::sharedmem, workers = 2)
    steps <- function(run) {
      open <- full(1, 0)
      seen <- 0
      listen <- function(p) if (p$type == "update" && p$amount > 0) {
        seen <<- seen + 1
        open[1] <- 1
      }
      withCallingHandlers(progressr::with_progress({
        p <- progressr::progressor(4)
        run(function(i) {
          p()
          while (open[1] == 0) Sys.sleep(0.01) # nothing ends before the first step has arrived
          i
        })
      }, handlers = progressr::handler_void()), progression = listen)
      seen
    }
    answer(list(steps(function(f) MapReduce(np = 2)$map(f, 1:4)),
                steps(function(f) future.apply::future_lapply(1:4, f)),
                steps(function(f) furrr::future_map(1:4, f))))
  }, timeout = 60)
  expect_equal(out$value, list(4, 4, 4))
})

test_that("future_lapply and future_map with a killed worker raise an error that names the signal", {
  skip_unless_current()
  skip_if_not_installed("future.apply")
  skip_if_not_installed("furrr")
  out <- run_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    f <- function(i) if (i == 3) tools::pskill(Sys.getpid(), 9) else i
    text <- function(expr) tryCatch(expr, error = conditionMessage)
    answer(list(text(future.apply::future_lapply(1:4, f)), text(furrr::future_map(1:4, f)),
                unlist(future.apply::future_lapply(1:4, function(i) i * 2)), unlist(furrr::future_map(1:4, function(i) i * 2))))
  })
  expect_match(out$value[[1]], "SIGKILL")
  expect_match(out$value[[2]], "SIGKILL")
  expect_equal(out$value[3:4], list(c(2, 4, 6, 8), c(2, 4, 6, 8)))
})

test_that("futures end with the session", {
  skip_unless_current()
  script <- start_script({
    library(future)
    plan(sharedmem::sharedmem, workers = 2)
    f <- future(Sys.sleep(300))
    stopifnot(f$job$is_alive())
    tools::pskill(Sys.getpid(), 9)
  })
  out <- finish_script(script)
  expect_length(out$left, 0)
  expect_lt(out$elapsed, 60)
})

test_that("in debug mode futures run in the session", {
  skip_unless_current()
  out <- run_script({
    library(future)
    set_debug(TRUE)
    plan(sharedmem::sharedmem, workers = 2)
    answer(value(future(Sys.getpid())) == Sys.getpid())
  })
  expect_true(out$value)
})

test_that("bad numbers of workers are errors when the plan is made", {
  skip_unless_current()
  out <- run_script({
    library(future)
    answer(lapply(list(0, -1, "two", 1.5), function(n) tryCatch(nbrOfWorkers(tweak(sharedmem::sharedmem, workers = n)), error = class)))
  })
  for (classes in out$value) expect_true("sharedmem_argument_error" %in% classes)
})
