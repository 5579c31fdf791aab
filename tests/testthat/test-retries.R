die <- function() tools::pskill(Sys.getpid(), tools::SIGKILL)

# TRUE for the first process that asks about a number, in whatever process.
new_once <- function(n) {
  asked <- full(n, 0, "i4")
  function(i) atomic_add(asked, i, 1) == 1
}

test_that("a successor sees what the first workers saw, not what the master has changed since", {
  pool <- MapReduce(np = 2, retries = 2)
  once <- new_once(12)
  state <- "before"
  seen <- 0
  Sys.setenv(SM_TEST_RETRY = "before")
  on.exit(Sys.unsetenv("SM_TEST_RETRY"))
  r <- pool$map(function(i) {
    if (i %in% c(5, 9) && once(i)) die()
    Sys.sleep(0.002)
    c(state, Sys.getenv("SM_TEST_RETRY"))
  }, 1:12, reduce = function(x) { state <<- "after"; seen <<- seen + 1; Sys.setenv(SM_TEST_RETRY = "after"); x })
  expect_identical(unique(unlist(r)), "before")
  expect_identical(state, "after")
  expect_identical(seen, 12)
})

test_that("reduce gets each result once, with retries too", {
  pool <- MapReduce(np = 3, retries = 3)
  once <- new_once(60)
  got <- integer()
  pool$map(function(i) { if (i %% 7 == 0 && once(i)) die(); i }, 1:60, reduce = function(i) { got <<- c(got, i); NULL })
  expect_identical(sort(got), 1:60)
})

test_that("results that had been delivered are not run again", {
  runs <- full(10, 0, "i4")
  seen <- full(1, 0, "i4")
  pool <- MapReduce(np = 1, retries = 1)
  once <- new_once(10)
  r <- pool$map(function(i) {
    atomic_add(runs, i, 1)
    if (i == 6) {
      wait_until(seen[1] >= 5, 10) # the master has the five before
      if (once(6)) die()
    }
    Sys.sleep(0.001) # past the interval at which results are published
    i
  }, 1:10, reduce = function(i) { seen[1] <- seen[1] + 1L; i })
  expect_identical(unlist(r), 1:10)
  expect_identical(runs[], ifelse(1:10 == 6, 2L, 1L))
})

test_that("attempts are counted for each item, and the map fails where they are used up", {
  runs <- full(6, 0, "i4")
  pool <- MapReduce(np = 2, retries = 2)
  r <- pool$map(function(i) { if (atomic_add(runs, i, 1) <= 2) die(); i }, 1:6)
  expect_identical(unlist(r), 1:6)
  expect_true(all(runs[] >= 3L))
  runs[] <- 0L
  before <- snapshot_resources()
  e <- tryCatch(pool$map(function(i) { if (i == 4) { atomic_add(runs, i, 1); die() }; i }, 1:6), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_equal(e$item, 4)
  expect_identical(runs[4], 3L)
  expect_nothing_left(before)
})

test_that("retries used up in collect put the exception in the item's place, and all others are right", {
  runs <- full(30, 0, "i4")
  pool <- MapReduce(np = 3, retries = 1, on_error = "collect")
  r <- pool$map(function(i) {
    atomic_add(runs, i, 1)
    if (i %in% c(3, 17)) die()
    if (i == 20) stop("bad input")
    i
  }, 1:30)
  bad <- c(3, 17, 20)
  expect_identical(unlist(r[-bad]), setdiff(1:30, bad))
  for (i in bad) {
    expect_s3_class(r[[i]], "WorkerException")
    expect_equal(r[[i]]$item, i)
  }
  expect_identical(runs[c(3, 17)], c(2L, 2L))
  expect_identical(conditionMessage(r[[20]]$reason), "bad input")
})

test_that("an error is not retried", {
  runs <- full(4, 0, "i4")
  pool <- MapReduce(np = 2, retries = 5)
  e <- tryCatch(pool$map(function(i) { atomic_add(runs, i, 1); if (i == 2) stop("bad") else i }, 1:4), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_identical(runs[2], 1L)
})

test_that("q() and exit of the process are deaths and are retried", {
  pool <- MapReduce(np = 2, retries = 1)
  once <- new_once(8)
  r <- pool$map(function(i) { if (i == 3 && once(3)) q("no"); if (i == 6 && once(6)) quit("no", 3); i }, 1:8)
  expect_identical(unlist(r), 1:8)
  pool <- MapReduce(np = 2, on_error = "collect")
  r <- pool$map(function(i) { if (i == 3) q("no"); i }, 1:8)
  expect_s3_class(r[[3]], "WorkerException")
  expect_identical(unlist(r[-3]), c(1:2, 4:8))
})

test_that("crashes are retried: SIGSEGV, SIGABRT, SIGTERM", {
  pool <- MapReduce(np = 2, retries = 1)
  once <- new_once(12)
  signals <- c(11L, 6L, 15L)
  r <- pool$map(function(i) { if (i <= 3 && once(i)) { tools::pskill(Sys.getpid(), signals[i]); Sys.sleep(5) }; i }, 1:12)
  expect_identical(unlist(r), 1:12)
})

test_that("deaths outside of any item do not use up an item's attempts, and end the map when there is no end to them", {
  pool <- MapReduce(np = 1, retries = 0, on_error = "collect")
  before <- snapshot_resources()
  sharedmem:::kill_at("before_items")
  r <- tryCatch(pool$map(identity, 1:5), finally = sharedmem:::kill_at("none"))
  expect_identical(r, as.list(1:5))
  # every worker dies before it has an item: reading the sequence kills it
  e <- run_script({
    setClass("deadly", representation(n = "numeric"))
    setMethod("length", "deadly", function(x) 4L)
    trap <- new("deadly", n = 1)
    pool <- MapReduce(np = 2, retries = 2)
    master <- Sys.getpid()
    setMethod("[[", "deadly", function(x, i, ...) { if (Sys.getpid() != master) tools::pskill(Sys.getpid(), 9); i })
    answer(class(tryCatch(pool$map(identity, trap), error = identity)))
  })
  expect_script_ok(e)
  expect_true("WorkerException" %in% e$value)
  expect_map_clean(before)
})

test_that("an item past its time is killed, and fails, is collected, or is run again", {
  MapReduce(np = 2)$map(identity, 1:2)
  before <- snapshot_resources()
  e <- tryCatch(MapReduce(np = 2, timeout = 0.3)$map(function(i) if (i == 2) Sys.sleep(60) else i, 1:4), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_s3_class(e$reason, "sharedmem_timeout_error")
  expect_equal(e$item, 2)
  r <- MapReduce(np = 2, timeout = 0.3, on_error = "collect")$map(function(i) if (i == 2) Sys.sleep(60) else i, 1:6)
  expect_s3_class(r[[2]]$reason, "sharedmem_timeout_error")
  expect_identical(unlist(r[-2]), c(1L, 3:6))
  once <- new_once(6)
  r <- MapReduce(np = 2, timeout = 0.5, retries = 1)$map(function(i) { if (i %in% c(2, 5) && once(i)) Sys.sleep(60); i }, 1:6)
  expect_identical(unlist(r), 1:6)
  # also one that a successor works on, and in an endless loop
  r <- MapReduce(np = 1, timeout = 0.3, retries = 1, on_error = "collect")$map(function(i) if (i == 2) repeat NULL else i, 1:3)
  expect_s3_class(r[[2]]$reason, "sharedmem_timeout_error")
  expect_identical(unlist(r[-2]), c(1L, 3L))
  rm(once)
  expect_nothing_left(before)
})

test_that("the time is that of an item, not of a map or a batch", {
  r <- MapReduce(np = 2, timeout = 1)$map(function(i) { Sys.sleep(0.1); i }, 1:30)
  expect_identical(unlist(r), 1:30)
})

test_that("an item killed after its ordered section enters it again, alone", {
  pool <- MapReduce(np = 3, retries = 1)
  once <- new_once(40)
  holder <- full(2, 0, "i4")
  entered <- full(40, 0, "i4")
  r <- pool$map(function(i) {
    pool$ordered({
      me <- Sys.getpid()
      holder[1] <- me
      atomic_add(entered, i, 1)
      Sys.sleep(if (i == 4) 0.05 else 0.002)
      if (holder[1] != me) holder[2] <- 1L
    })
    if (i == 4 && once(4)) die()
    i
  }, 1:40)
  expect_identical(unlist(r), 1:40)
  expect_identical(holder[2], 0L)
  expect_identical(entered[4], 2L)
})

test_that("StopProcessGroup ends a map with retries quietly, also from a successor", {
  pool <- MapReduce(np = 2, retries = 2)
  once <- new_once(1000)
  r <- pool$map(function(i) { if (i == 10) { if (once(10)) die(); stop(StopProcessGroup()) }; Sys.sleep(0.001); i }, 1:1000)
  expect_true(attr(r, "stopped"))
  expect_null(r[[10]])
  expect_identical(unlist(r[1:9]), 1:9)
})

test_that("trace, output and conditions of successors arrive as those of first workers", {
  pool <- MapReduce(np = 2, retries = 1, trace = TRUE)
  once <- new_once(10)
  said <- character()
  out <- capture.output(r <- withCallingHandlers(
    pool$map(function(i) { if (i == 4 && once(4)) die(); cat("line", i, "\n"); message("item ", i); i }, 1:10),
    message = function(m) { said <<- c(said, conditionMessage(m)); invokeRestart("muffleMessage") }))
  expect_identical(unlist(r), 1:10)
  expect_true(all(paste("line", 1:10, "") %in% out))
  expect_true(all(sprintf("item %d\n", 1:10) %in% said))
  expect_output(print(pool$trace))
})

test_that("the death of the process that starts fresh workers ends no map, and the next death of a worker ends it with both told", {
  skip_if_not(file.exists("/proc/self/task"))
  r <- run_script({
    master <- Sys.getpid()
    oldest_child <- function() scan(sprintf("/proc/%d/task/%d/children", master, master), quiet = TRUE)[1L]
    die <- function(pid = Sys.getpid()) tools::pskill(pid, tools::SIGKILL)
    told <- function(np, on_error, first, second) {
      once <- full(2, 0, "i4")
      job <- function(i) {
        if (i == 3 && atomic_add(once, 1, 1) == 1) first()
        if (i == 10 && atomic_add(once, 2, 1) == 1) second()
        Sys.sleep(0.002)
        i
      }
      e <- tryCatch(MapReduce(np = np, retries = 3, on_error = on_error)$map(job, 1:30), error = identity)
      if (inherits(e, "error")) list(class(e), conditionMessage(e), e$item, e$pid, sharedmem:::describe_status(9L)) else e
    }
    template <- function() die(oldest_child())
    nothing <- function() NULL
    answer(list(
      alone = told(2, "stop", template, nothing),
      then = lapply(c("stop", "collect"), function(how) told(1, how, template, die)),
      # the fresh worker is a child of the one that starts them, and ends with it
      after = lapply(c("stop", "collect"), function(how) told(1, how, die, function() { template(); Sys.sleep(20) }))))
  }, timeout = 60)
  expect_script_ok(r)
  expect_identical(r$value$alone, as.list(1:30))
  for (e in c(r$value$then, r$value$after)) {
    expect_true("WorkerException" %in% e[[1L]])
    expect_match(e[[2L]], "no fresh worker could be started", fixed = TRUE)
    expect_gt(e[[4L]], 0)
  }
  for (e in r$value$then) {
    expect_match(e[[2L]], e[[5L]], fixed = TRUE)
    expect_identical(e[[3L]], 10)
  }
})

test_that("maps without deaths leave nothing of the template", {
  pool <- MapReduce(np = 2, retries = 3)
  pool$map(identity, 1:3)
  before <- snapshot_resources()
  for (k in 1:20) pool$map(identity, 1:3)
  expect_nothing_left(before)
})

test_that("a finished item never runs again: its result is published before its worker begins the next", {
  for (mode in list(list(retries = 2), list(on_error = "collect"), list(retries = 1, on_error = "collect"))) {
    n <- 4000
    runs <- full(n, 0, "i4")
    once <- new_once(n)
    r <- do.call(MapReduce, c(list(np = 2), mode))$map(function(i) {
      atomic_add(runs, i, 1)
      if (i %% 1500 == 0 && once(i)) die()
      list(i, "a value with a class" = structure(i, class = "own"))[if (i %% 2) 1 else 1:2]
    }, seq_len(n))
    died <- (seq_len(n) %% 1500 == 0)
    failed <- vapply(r, inherits, NA, "WorkerException")
    expect_identical(which(failed), if (is.null(mode$retries)) which(died) else integer())
    expect_identical(runs[][!died], rep(1L, sum(!died)))
    expect_true(all(runs[][died] == if (is.null(mode$retries)) 1L else 2L))
  }
})

test_that("values of every type arrive as they are where results are published one by one", {
  values <- list(NULL, TRUE, NA, 1L, NA_integer_, pi, NaN, NA_real_, -0, 1i, "a", NA_character_, "", "\u00e9", raw(), as.raw(1:3),
                 integer(),
                 1:10, c(a = 1), c("x", NA, "\u20ac"), factor("a"), as.Date("2020-01-01"), list(1, "b"), quote(f(x)), strrep("z", 5000),
                 numeric(500), structure(1, own = "attribute"), matrix(1:4, 2), mean, tuple(1, 2), `Encoding<-`("\xe9", "latin1"))
  r <- MapReduce(np = 2, on_error = "collect")$map(function(i) values[[i]], seq_along(values))
  for (i in seq_along(values)) expect_identical(r[[i]], values[[i]])
  expect_identical(Encoding(r[[length(values)]]), "latin1")
})

test_that("a kill of ours meets the item that it was meant for, and no other", {
  pool <- MapReduce(np = 2, timeout = 0.05, on_error = "collect")
  runs <- full(60, 0, "i4")
  r <- pool$map(function(i) { atomic_add(runs, i, 1); Sys.sleep(if (i %% 2) 0.0485 + 0.0003 * (i * 7) %% 10 else 0.001) }, 1:60)
  failed <- which(vapply(r, inherits, NA, "WorkerException"))
  for (i in failed) expect_s3_class(r[[i]]$reason, "sharedmem_timeout_error")
  expect_identical(runs[], rep(1L, 60))
  said <- vapply(1:15, function(k) tryCatch({
    MapReduce(np = 2, timeout = 0.05)$map(function(i) Sys.sleep(0.0488 + 0.0002 * ((k * 7 + i) %% 10)), 1:6)
    "ok"
  }, error = function(e) class(e$reason)[1L]), "")
  expect_true(all(said %in% c("ok", "sharedmem_timeout_error")))
})

test_that("waiting for critical, ordered or a Lock is not charged to an item's time", {
  pool <- MapReduce(np = 3, timeout = 0.6, on_error = "collect")
  lock <- Lock()
  failed <- function(r) which(vapply(r, inherits, NA, "WorkerException"))
  expect_identical(failed(pool$map(function(i) pool$critical({ Sys.sleep(0.25); i }), 1:6)), integer())
  expect_identical(failed(pool$map(function(i) lock({ Sys.sleep(0.25); i }), 1:6)), integer())
  expect_identical(failed(pool$map(function(i) { if (i == 5) Sys.sleep(20); pool$ordered(i) }, 1:9)), 5L)
})

test_that("what a worker has started ends with it", {
  skip_if_not(file.exists("/proc/self/task"))
  marks <- function(seconds) sum(grepl(sprintf("sleep %s", seconds), system("ps -eo args", intern = TRUE), fixed = TRUE))
  gone <- function(seconds) wait_until(marks(seconds) == 0L, 5)
  seconds <- sprintf("%d.%d", 300:304, Sys.getpid())
  # where it is killed: the whole tree
  try(MapReduce(np = 2, timeout = 0.4)$map(function(i) if (i == 1) system(paste("sleep", seconds[1])) else 1, 1:2), silent = TRUE)
  expect_true(gone(seconds[1]))
  try(MapReduce(np = 2)$map(function(i) {
    if (i == 1) { wait_until(marks(seconds[2]) >= 2L, 20); stop("x") }
    parallel::mclapply(1:2, function(j) system(paste("setsid sleep", seconds[2])), mc.cores = 2)
  }, 1:2), silent = TRUE)
  expect_true(gone(seconds[2]))
  # after another death: its process group
  r <- MapReduce(np = 2, on_error = "collect")$map(function(i) if (i == 1) { system(paste("sleep", seconds[3], "&")); die() }, 1:2)
  expect_s3_class(r[[1]], "WorkerException")
  expect_true(gone(seconds[3]))
  # so too where the session is killed
  p <- start_script({
    MapReduce(np = 2)$map(function(i) if (i == 1) system(paste("sleep", seconds)) else parallel::mclapply(1:2, function(j)
      system(paste("sleep", seconds)), mc.cores = 2), 1:2)
  }, vars = list(seconds = seconds[5]))
  expect_true(wait_until(marks(seconds[5]) >= 3L, 20))
  tools::pskill(p$pid, tools::SIGKILL)
  expect_true(gone(seconds[5]))
  finish_script(p)
  # a worker that has done its work leaves what it has started alone
  MapReduce(np = 2)$map(function(i) if (i == 1) system(paste("sleep", seconds[4], "&")), 1:2)
  expect_identical(marks(seconds[4]), 1L)
  system(sprintf("pkill -f 'sleep %s'", seconds[4]))
})

test_that("a jump to top level is that item's failure, and the others go on where failures are collected", {
  r <- MapReduce(np = 2, on_error = "collect")$map(function(i) if (i %in% 3:14) invokeRestart("abort") else i, 1:20)
  expect_identical(which(vapply(r, inherits, NA, "WorkerException")), 3:14)
  expect_identical(unlist(r[-(3:14)]), c(1:2, 15:20))
})
