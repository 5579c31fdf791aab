# In one session with others that fork, wait for children, or run threads. Each in a script of its own with a time limit:
# what goes wrong here hangs.

helpers <- function() list(child_pids = child_pids, process_table = process_table, wait_until = wait_until)

test_that("mclapply, mcparallel and mccollect between and during maps leave no zombie of ours or theirs", {
  r <- run_script({
    library(parallel)
    pool <- MapReduce(np = 2)
    p <- mcparallel({ Sys.sleep(0.3); "theirs" })
    bg <- background(function() { Sys.sleep(0.2); "ours" })
    a <- unlist(pool$map(function(i) i, 1:4))
    b <- unlist(mclapply(1:4, function(i) i * 2, mc.cores = 2))
    inside <- pool$map(function(i) unlist(mclapply(1:3, function(j) i * j, mc.cores = 2)), 1:2)
    around <- mclapply(1:2, function(i) unlist(MapReduce(np = 2)$map(function(j) i * j, 1:3)), mc.cores = 2)
    got <- mccollect(p)[[1]]
    for (k in 1:10) { mclapply(1:2, identity, mc.cores = 2); pool$map(identity, 1:2) }
    killed <- tryCatch(pool$map(function(i) tools::pskill(Sys.getpid(), 9), 1:2), error = function(e) class(e)[1])
    theirs <- suppressWarnings(mclapply(1:2, function(i) if (i == 1) tools::pskill(Sys.getpid(), 9) else i, mc.cores = 2))
    pv <- pvec(1:10, sqrt, mc.cores = 2)
    bg <- bg$wait()
    # pvec() and mclapply() return while children of theirs are still ending
    wait_until(length(child_pids()) == 0L, 10)
    answer(list(a, b, inside, around, got, bg, killed, theirs[[2]], pv, child_pids()))
  }, vars = c(helpers(), wait_until = wait_until))
  expect_script_ok(r)
  v <- r$value
  expect_identical(v[[1]], 1:4)
  expect_equal(v[[2]], 2 * 1:4)
  expect_equal(v[[3]], list(1:3, 2 * 1:3))
  expect_equal(v[[4]], list(1:3, 2 * 1:3))
  expect_identical(v[[5]], "theirs")
  expect_identical(v[[6]], "ours")
  expect_identical(v[[7]], "WorkerException")
  expect_identical(v[[8]], 2L)
  expect_identical(v[[9]], sqrt(1:10))
  expect_identical(v[[10]], integer())
})

test_that("a cluster of parallel works before, after and inside", {
  r <- run_script({
    cl <- parallel::makeCluster(1)
    a <- parallel::clusterApply(cl, 1:3, function(i) i)
    b <- MapReduce(np = 2)$map(identity, 1:3)
    c <- parallel::clusterApply(cl, 1:3, function(i) i)
    parallel::stopCluster(cl)
    fc <- parallel::makeForkCluster(2)
    d <- parallel::clusterApply(fc, 1:3, function(i) unlist(sharedmem::MapReduce(np = 2)$map(function(j) i + j, 1:2)))
    parallel::stopCluster(fc)
    answer(list(a, b, c, d))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(as.list(1:3), as.list(1:3), as.list(1:3), lapply(1:3, function(i) i + 1:2)))
})

test_that("callr and its processes work before, during and inside", {
  skip_if_not_installed("callr")
  r <- run_script({
    pool <- MapReduce(np = 2)
    a <- callr::r(function() 1)
    rp <- callr::r_bg(function() { Sys.sleep(0.3); "background" })
    b <- pool$map(function(i) i, 1:4)
    alive <- rp$is_alive()
    rp$wait(20000)
    c <- rp$get_result()
    status <- rp$get_exit_status()
    inside <- pool$map(function(i) callr::r(function(x) x + 1, list(i)), 1:2)
    rs <- callr::r_session$new()
    d <- rs$run(function() 5)
    killed <- tryCatch(pool$map(function(i) tools::pskill(Sys.getpid(), 9), 1:2), error = function(e) "ours")
    e <- rs$run(function() 6)
    rs$close()
    gc()
    again <- pool$map(function(i) i, 1:4)
    wait_until(length(child_pids()) == 0L, 5) # finished workers may be dying still
    answer(list(a, b, c, status, inside, d, killed, e, again, length(child_pids())))
  }, vars = helpers(), grace = 5)
  expect_script_ok(r)
  expect_equal(r$value, list(1, as.list(1:4), "background", 0L, list(2, 3), 5, "ours", 6, as.list(1:4), 0L))
})

test_that("system(), pipes and their statuses are as ever around and inside maps", {
  r <- run_script({
    pool <- MapReduce(np = 2)
    system("sleep 0.3", wait = FALSE)
    a <- pool$map(function(i) c(system("exit 4"), as.integer(system("echo 7", intern = TRUE))), 1:4)
    b <- system("exit 5")
    p <- pipe("cat > /dev/null; exit 3", "w")
    pool$map(identity, 1:3)
    p <- close(p)
    q <- pipe("echo through", "r")
    pool$map(identity, 1:3)
    through <- readLines(q)
    close(q)
    text <- system2("sh", c("-c", shQuote("echo out; exit 6")), stdout = TRUE)
    answer(list(a, b, p, through, attr(text, "status"), length(child_pids())))
  }, vars = helpers(), grace = 5)
  expect_script_ok(r)
  expect_identical(r$value[[1]], rep(list(c(4L, 7L)), 4))
  expect_identical(r$value[[2]], 5L)
  expect_true(r$value[[3]] %in% c(3L, 3L * 256L)) # R before 4.4 gives the wait status
  expect_identical(r$value[[4]], "through")
  expect_identical(r$value[[5]], 6L)
})

test_that("data.table's threads before the fork do not hang its calls in workers", {
  skip_if_not_installed("data.table")
  r <- run_script({
    library(data.table)
    setDTthreads(4)
    make <- function(n) { set.seed(1); data.table(g = sample(1000L, n, TRUE), x = runif(n)) }
    d <- make(3e5)
    ref <- d[order(g, x), .(s = sum(x)), by = g]
    got <- MapReduce(np = 2)$map(function(i) { e <- copy(d); setkey(e, g, x); e[, .(s = sum(x)), by = g] }, 1:3)
    f <- tempfile()
    fwrite(d, f)
    rows <- MapReduce(np = 2, retries = 1)$map(function(i) nrow(fread(f)), 1:2)
    answer(list(all(vapply(got, function(x) isTRUE(all.equal(x$s, ref$s)), NA)), unlist(rows), getDTthreads()))
  }, timeout = 60)
  expect_script_ok(r)
  expect_true(r$value[[1]])
  expect_equal(r$value[[2]], c(3e5, 3e5))
})

test_that("a BLAS that ran before the fork works in workers", {
  r <- run_script({
    m <- matrix(as.numeric(1:250000) %% 97, 500)
    ref <- sum(m %*% m)
    got <- MapReduce(np = 2)$map(function(i) sum(m %*% m), 1:4)
    answer(isTRUE(all.equal(unlist(got), rep(ref, 4))))
  })
  expect_script_ok(r)
  expect_true(r$value)
})

test_that("a user's SIGCHLD of parallel stays in place over a map", {
  skip_if(!file.exists("/proc/self/status"), "no /proc")
  r <- run_script({
    # the last 8 digits: signals 1 to 32; the first thread of a process has the C library catch one of its own above
    caught <- function() sub("[0-9a-f]{8}([0-9a-f]{8})$", "\\1", grep("^Sig(Cgt|Ign|Blk)", readLines("/proc/self/status"), value = TRUE))
    invisible(parallel::mclapply(1:2, identity, mc.cores = 2))
    a <- caught()
    MapReduce(np = 2)$map(identity, 1:4)
    tryCatch(MapReduce(np = 2, retries = 1)$map(function(i) stop("x"), 1:4), error = identity)
    answer(identical(a, caught()))
  })
  expect_script_ok(r)
  expect_true(r$value)
})

test_that("workers collect beside nanonext, whose finalizers wait for threads that a fork does not have", {
  skip_if(!nzchar(system.file(package = "nanonext")), "nanonext is not installed") # without loading it here
  r <- run_script({
    peer <- "nanonext"
    socket <- getExportedValue(peer, "socket")
    receive <- getExportedValue(peer, "recv_aio")
    for (k in 1:3) {
      s <- socket("rep", listen = sprintf("inproc://sharedmem%d", k))
      a <- receive(s)
      rm(s, a)
    }
    pool <- MapReduce(np = 2, timeout = 20)
    pool$map(local({ sock <- socket("rep"); function(i) i }), 1:2) # what only an earlier map has used
    a <- pool$map(function(i) { gc(); gc(); i }, 1:4)
    b <- background(function() { gc(); 5L })$wait(20)
    p <- Parallel(Shared(n = integer(2)), num_threads = 2)
    with(p, { gc(); p$var$n[p$rank + 1L] <- 6L })
    answer(c(unlist(a), b, p$var$n[]))
  })
  expect_script_ok(r)
  expect_identical(r$value, c(1:5, 6L, 6L))
})
