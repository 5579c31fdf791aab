# Ctrl-C at random moments of maps, wherever the master is. In a script: a signal that came late would end the tests.

test_that("20 maps interrupted at random moments leave no process, descriptor, mapping, file or name, and the next map works", {
  r <- run_script({
    kinds <- list(
      waiting = function() plain$map(function(i) Sys.sleep(30), 1:2),
      critical = function() plain$map(function(i) plain$critical(Sys.sleep(30)), 1:2),
      ordered = function() plain$map(function(i) if (i == 1) Sys.sleep(30) else plain$ordered(i), 1:2),
      reducing = function() plain$map(function(i) i, 1:10, reduce = function(i) { k <- 0; repeat k <- k + 1 }),
      reading = function() repeat plain$map(function(i) as.list(seq_len(3e5)), 1:2),
      spilled = function() repeat plain$map(function(i) numeric(2e6), 1:4),
      between = function() repeat plain$map(identity, 1:100),
      printing = function() repeat capture.output(plain$map(function(i) for (k in 1:200) cat("line", k, "\n"), 1:4)),
      respawning = function() repeat retry$map(function(i) if (runif(1) < 0.2) tools::pskill(Sys.getpid(), 9), 1:20),
      nested = function() plain$map(function(i) plain$map(function(j) Sys.sleep(30), 1:2), 1:2))
    plain <- MapReduce(np = 2)
    retry <- MapReduce(np = 2, retries = 1000)
    plain$map(identity, 1:2)
    master <- Sys.getpid()
    set.seed(as.integer(Sys.time()))
    sent <- full(1, 0)
    ready <- full(1, 0)
    before <- snapshot_resources()
    caught <- character()
    took <- numeric()
    stray <- 0
    delays <- runif(20, 0, 0.15)
    for (k in 1:20) {
      kind <- names(kinds)[(k - 1) %% length(kinds) + 1]
      ready[1] <- 0
      hunter <- background(function() {
        while (ready[1] == 0) Sys.sleep(0.001)
        Sys.sleep(delays[k])
        sent[1] <- as.numeric(Sys.time())
        tools::pskill(master, 2)
      })
      tryCatch({ ready[1] <- 1; kinds[[kind]](); Sys.sleep(30) }, interrupt = function(e) {
        caught <<- c(caught, kind)
        took <<- c(took, as.numeric(Sys.time()) - sent[1])
      })
      hunter$wait()
      # workers that have said their last word may be dying still
      if (!wait_until(length(child_pids()) == 0L, 5)) stray <- stray + 1
    }
    works <- identical(plain$map(function(i) plain$ordered(plain$critical(i)), 1:50), as.list(1:50))
    rm(hunter)
    cat(sprintf("interrupts: median %.0f ms, longest %.0f ms\n", 1e3 * median(took), 1e3 * max(took)))
    answer(list(caught = length(caught), stray = stray, works = works, left = left_since(before)))
  }, timeout = 120, vars = list(child_pids = child_pids, snapshot_resources = snapshot_resources, left_since = left_since,
                                process_table = process_table, open_fds = open_fds, shared_mappings = shared_mappings,
                                wait_until = wait_until))
  expect_script_ok(r)
  expect_identical(r$value$caught, 20L)
  expect_identical(r$value$stray, 0)
  expect_true(r$value$works)
  expect_identical(lengths(r$value$left), structure(integer(), names = character()))
})

test_that("Ctrl-C while a pool waits for background work leaves the work running", {
  r <- run_script({
    master <- Sys.getpid()
    bg <- background(function() { Sys.sleep(1); "done" })
    hunter <- background(function() { Sys.sleep(0.2); tools::pskill(master, 2) })
    first <- tryCatch(bg$wait(), interrupt = function(e) "interrupted")
    answer(list(first, bg$is_alive(), bg$wait()))
  })
  expect_script_ok(r)
  expect_identical(r$value, list("interrupted", TRUE, "done"))
})

test_that("a time limit is an error in kernels too, and Ctrl-C stays an interrupt", {
  r <- run_script({
    x <- copy(runif(5e6))
    limit <- tryCatch({ setTimeLimit(elapsed = 0.1, transient = TRUE); repeat argsort(x, np = 1) }, error = conditionMessage)
    setTimeLimit()
    system(sprintf("(sleep 0.3; kill -INT %d) &", Sys.getpid()))
    how <- tryCatch(repeat argsort(x, np = 1), interrupt = function(i) "interrupted", error = function(e) conditionMessage(e))
    map <- tryCatch({ setTimeLimit(elapsed = 0.5, transient = TRUE); MapReduce(np = 2)$map(function(i) Sys.sleep(30), 1:2) },
                    error = conditionMessage)
    answer(list(limit, how, map))
  })
  expect_script_ok(r)
  expect_match(r$value[[1]], "reached elapsed time limit")
  expect_identical(r$value[[2]], "interrupted")
  expect_match(r$value[[3]], "reached elapsed time limit")
})
