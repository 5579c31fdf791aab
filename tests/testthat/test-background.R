test_that("background gives the value of its function, again and again", {
  before <- snapshot_resources()
  bg <- background(function(a, b = 2) list(a, b, Sys.getpid()), 1, b = 5)
  r <- bg$wait()
  expect_identical(r[1:2], list(1, 5))
  expect_identical(r[[3]], bg$pid)
  expect_false(bg$pid == Sys.getpid())
  expect_identical(bg$wait(), r)
  expect_identical(bg$wait(0), r)
  expect_false(bg$is_alive())
  expect_null(background(function() NULL)$wait())
  expect_map_clean(before)
})

test_that("any name is good for an argument", {
  bg <- background(function(item, sequence, collect, map, rank, ...) list(item, sequence, collect, map, rank, ...),
                   item = 1, sequence = 2, collect = 3, map = 4, rank = 5, 6)
  expect_identical(bg$wait(), list(1, 2, 3, 4, 5, 6))
})

test_that("many run at once and can be waited for in any order", {
  before <- snapshot_resources()
  bgs <- lapply(1:30, function(i) background(function() { Sys.sleep(0.05); i^2 }))
  expect_length(unique(vapply(bgs, function(b) b$pid, 0L)), 30)
  for (i in c(30:16, 1:15)) expect_identical(bgs[[i]]$wait(), i^2)
  expect_map_clean(before)
})

test_that("results of any size arrive, also when nobody waits for long", {
  bg <- background(function() numeric(1e7) + 1)
  small <- background(function() 1:10)
  expect_true(wait_until(!small$is_alive()))
  expect_identical(small$wait(), 1:10)
  r <- bg$wait()
  expect_identical(c(length(r), sum(r)), c(1e7, 1e7))
})

test_that("wait with a timeout raises and leaves the process running", {
  go <- tempfile()
  bg <- background(function() { while (!file.exists(go)) Sys.sleep(0.01); "went" })
  for (timeout in c(0, 0.05, -1)) {
    e <- tryCatch(bg$wait(timeout), error = identity)
    expect_s3_class(e, c("sharedmem_timeout_error", "sharedmem_error"))
    expect_identical(e$timeout, timeout)
    expect_identical(e$pid, bg$pid)
  }
  expect_true(bg$is_alive())
  file.create(go)
  expect_identical(bg$wait(60), "went")
})

test_that("a value that has come is not lost to a timeout that falls before the end of the process", {
  lost <- 0
  for (k in 1:150) {
    bg <- background(function() { x <- 1; for (i in 1:200) x <- x + 1; x })
    v <- NULL
    while (is.null(v)) v <- tryCatch(list(bg$wait(1e-4)), sharedmem_timeout_error = function(e) NULL)
    if (!identical(v, list(201))) lost <- lost + 1
  }
  expect_identical(lost, 0)
})

test_that("Ctrl-C while a large value is read leaves it to be read again", {
  r <- run_script({
    bg <- background(function() list(as.numeric(1:3e7), full(3, 7)))
    while (bg$is_alive()) Sys.sleep(0.02)
    system(sprintf("(sleep 0.06; kill -INT %d) &", Sys.getpid()))
    first <- tryCatch({ v <- bg$wait(); Sys.sleep(1); "whole" }, interrupt = function(i) "interrupted")
    v <- bg$wait()
    fds <- length(list.files("/proc/self/fd"))
    answer(list(first, length(v[[1]]), sum(v[[1]]), sum(v[[2]])))
  })
  expect_script_ok(r)
  expect_identical(r$value, list("interrupted", 30000000L, sum(as.numeric(1:3e7)), 21))
})

test_that("bad arguments are refused by name", {
  for (f in list(NULL, "sum", 1)) expect_identical(tryCatch(background(f), sharedmem_argument_error = function(e) e$arg), "func")
  bg <- background(function() 1)
  for (t in list(NA, "1", c(1, 2), NULL)) expect_identical(tryCatch(bg$wait(t), sharedmem_argument_error = function(e) e$arg), "timeout")
  expect_identical(bg$wait(), 1)
  expect_error(background(function(x) x, stop("mine")), "^mine$")
})

test_that("errors and deaths raise a WorkerException, each time", {
  before <- snapshot_resources()
  bg <- background(function() stop(structure(class = c("mine", "error", "condition"), list(message = "m", call = NULL))))
  for (k in 1:2) {
    e <- tryCatch(bg$wait(), error = identity)
    expect_s3_class(e, "WorkerException")
    expect_s3_class(e$reason, "mine")
  }
  bg <- background(function() tools::pskill(Sys.getpid(), 9))
  e <- tryCatch(bg$wait(), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_match(conditionMessage(e), "SIGKILL")
  e <- tryCatch(background(function() q("no"))$wait(), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_true(dir.exists(tempdir()))
  expect_map_clean(before)
})

test_that("cancel ends the process, and wait says so", {
  before <- snapshot_resources()
  bg <- background(function() repeat Sys.sleep(1))
  expect_true(bg$is_alive())
  bg$cancel()
  expect_false(bg$is_alive())
  expect_false(bg$pid %in% live_pids())
  for (k in 1:2) expect_error(bg$wait(), class = "WorkerException")
  bg$cancel()
  done <- background(function() 5)
  done$wait()
  done$cancel()
  expect_identical(done$wait(), 5)
  expect_map_clean(before)
})

test_that("those never waited for are reaped by the next call, map or background, and run on until they end", {
  before <- snapshot_resources()
  file <- tempfile()
  on.exit(unlink(file))
  background(function() file.create(file))
  for (k in 1:5) background(function() k)
  gc()
  expect_true(wait_until(file.exists(file)))
  unlink(file)
  Sys.sleep(0.2)
  MapReduce(np = 2)$map(identity, 1:2)
  # the map's own worker is there for some ms after it, under a sanitizer for longer
  expect_true(wait_until({
    MapReduce(np = 1)$map(identity, 1)
    wait_until(length(child_pids()) == length(before$children), 1)
  }))
  gc()
  expect_map_clean(before)
})

test_that("background inside a map and a map inside background work", {
  pool <- MapReduce(np = 2)
  expect_equal(pool$map(function(i) background(function() i * 2)$wait(), 1:3), list(2, 4, 6))
  expect_identical(background(function() pool$map(function(i) i, 1:3))$wait(), list(1L, 2L, 3L))
  bg <- background(function() 7)
  r <- pool$map(function(i) tryCatch({ bg$cancel(); bg$wait() }, error = function(e) "not mine"), 1)
  expect_identical(r, list("not mine"))
  expect_identical(bg$wait(), 7)
})

test_that("warnings and messages of a background process are given when it is waited for", {
  bg <- background(function() { message("m"); warning("w"); 1 })
  expect_message(expect_warning(v <- bg$wait(), "w"), "m")
  expect_identical(v, 1)
})

test_that("the master's end ends those that still run", {
  r <- run_script({
    bg <- background(function() Sys.sleep(100))
    answer(bg$pid)
  }, grace = 2)
  expect_script_ok(r)
  expect_false(r$value %in% live_pids())
})

test_that("a background object prints its state", {
  bg <- background(function() Sys.sleep(30))
  expect_output(print(bg), "running")
  bg$cancel()
  expect_output(print(bg), "cancelled")
})

test_that("what a background process prints is given when it is waited for, however much", {
  expect_identical(capture.output(x <- background(function() cat("from the background\n"))$wait()), "from the background")
  bg <- background(function() { for (k in 1:30) cat(strrep("y", 1e5), "\n", sep = ""); "done" })
  expect_true(wait_until(!bg$is_alive() || bg$state != "running", 20))
  out <- capture.output(expect_identical(bg$wait(), "done"))
  expect_lte(length(out), 30)
})

test_that("a copy of the object has no say over a process that runs, and says so", {
  bg <- background(function() Sys.sleep(30))
  on.exit(bg$cancel())
  sent <- background(function() background(function() 1))$wait()
  saved <- tempfile()
  saveRDS(bg, saved)
  for (copy in list(sent, readRDS(saved), unserialize(serialize(bg, NULL)))) {
    for (ask in c("wait", "is_alive", "cancel")) expect_error(copy[[ask]](), "another process", class = "sharedmem_misuse_error")
    expect_output(print(copy), "started by another process")
  }
  expect_true(bg$is_alive())
  done <- background(function() 7)
  done$wait()
  saveRDS(done, saved)
  expect_identical(readRDS(saved)$wait(), 7)
})

test_that("StopProcessGroup() in a background process is an error of wait()", {
  bg <- background(function() stop(StopProcessGroup()))
  e <- expect_error(bg$wait(), class = "WorkerException")
  expect_s3_class(e$reason, "StopProcessGroup")
})
