test_that("critical evaluates where it stands and gives the value, in both forms", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    r <- pool$map(function(i) {
      a <- pool$critical({ x <- i + 1; x * 2 })
      b <- with(pool$critical, { y <- i; y })
      c(a, b, x, y)
    }, 1:3)
    expect_equal(r, lapply(1:3, function(i) c(2 * (i + 1), i, i + 1, i)))
    r <- pool$map(function(i) { pool$critical(return("early")); "late" }, 1:3)
    expect_identical(r, rep(list("early"), 3))
    r <- pool$map(function(i) { k <- 0; for (j in 1:5) pool$critical({ if (j == 3) break; k <- k + 1 }); k + pool$critical(10) }, 1:3)
    expect_identical(r, rep(list(12), 3))
  }
})

test_that("100000 increments under critical from each of 2 workers are all counted", {
  pool <- MapReduce(np = 2)
  count <- full(1, 0, "i4")
  pool$map(function(i) for (k in 1:100000) pool$critical(count[1] <- count[1] + 1L), 1:2)
  expect_identical(count[1], 200000L)
})

test_that("there is never more than one in critical", {
  pool <- MapReduce(np = 4)
  inside <- full(2, 0, "i4")
  pool$map(function(i) pool$critical({
    n <- atomic_add(inside, 1, 1)
    if (n > 1) inside[2] <- n
    Sys.sleep(0.002)
    atomic_add(inside, 1, -1)
  }), 1:60)
  expect_identical(inside[], c(0L, 0L))
})

test_that("the lock is released when the expression fails, jumps, or its holder dies", {
  pool <- MapReduce(np = 2)
  r <- pool$map(function(i) { try(pool$critical(stop("x")), silent = TRUE);
                              tryCatch(pool$critical(warning("w")), warning = function(w) NULL); pool$critical(i) }, 1:20)
  expect_identical(unlist(r), 1:20)
  before <- snapshot_resources()
  e <- tryCatch(pool$map(function(i) pool$critical({ if (i == 3) tools::pskill(Sys.getpid(), 9); Sys.sleep(0.01); i }), 1:100),
                error = identity)
  expect_s3_class(e, "WorkerException")
  expect_equal(e$item, 3)
  expect_map_clean(before)
  retry <- MapReduce(np = 2, on_error = "collect")
  r <- retry$map(function(i) retry$critical({ if (i == 3) tools::pskill(Sys.getpid(), 9); Sys.sleep(0.002); i }), 1:40)
  expect_s3_class(r[[3]], "WorkerException")
  expect_identical(unlist(r[-3]), (1:40)[-3])
})

test_that("entering critical twice in one worker is an error, and the lock still works", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    r <- pool$map(function(i) {
      e <- tryCatch(pool$critical(pool$critical(1)), error = function(e) class(e)[1])
      c(e, pool$critical("again"))
    }, 1:4)
    expect_identical(r, rep(list(c("sharedmem_lock_error", "again")), 4))
  }
})

test_that("two pools' critical sections do not know each other", {
  a <- MapReduce(np = 2)
  b <- MapReduce(np = 0)
  r <- a$map(function(i) a$critical(b$map(function(j) b$critical(j + i), 1)[[1]]), 1:6)
  expect_equal(unlist(r), 2:7)
})

test_that("sections outside of a map are errors", {
  pool <- MapReduce(np = 2)
  expect_error(pool$critical(1), class = "sharedmem_lock_error")
  expect_error(pool$ordered(1), class = "sharedmem_lock_error")
  expect_error(with(pool$critical, 1), class = "sharedmem_lock_error")
  expect_error(pool$map(function(i) i, 1:2, reduce = function(x) pool$critical(x)), class = "sharedmem_lock_error")
  keep <- NULL
  here <- MapReduce(np = 0)
  here$map(function(i) keep <<- here$critical, 1)
  expect_error(keep(1), class = "sharedmem_lock_error")
  other <- MapReduce(np = 2)
  expect_identical(pool$map(function(i) tryCatch(other$critical(1), sharedmem_lock_error = function(e) "outside"), 1:2),
                   list("outside", "outside"))
})

test_that("ordered sections run in the order of the sequence", {
  for (np in c(0, 2, 5)) {
    pool <- MapReduce(np = np)
    log <- full(200, 0, "i4")
    at <- full(1, 0, "i4")
    r <- pool$map(function(i) {
      if (i %% 9 == 0) Sys.sleep(0.005)
      pool$ordered({ at[1] <- at[1] + 1L; log[at[1]] <- i })
      i
    }, 1:200)
    expect_identical(log[], 1:200)
    expect_identical(unlist(r), 1:200)
  }
})

test_that("an item that does not enter ordered, or fails before it, passes its turn on", {
  pool <- MapReduce(np = 3)
  at <- full(1, 0, "i4")
  log <- full(100, 0, "i4")
  enters <- function(i) i %% 3 != 0 && i != 100
  r <- pool$map(function(i) { if (enters(i)) with(pool$ordered, { at[1] <- at[1] + 1L; log[at[1]] <- i }); i }, 1:100)
  expect_identical(log[seq_len(at[1])], Filter(enters, 1:100))
  collect <- MapReduce(np = 3, on_error = "collect")
  at[1] <- 0L
  r <- collect$map(function(i) {
    if (i %% 10 == 5) stop("before")
    if (i %% 10 == 7) tools::pskill(Sys.getpid(), 9)
    collect$ordered({ at[1] <- at[1] + 1L; log[at[1]] <- i })
    if (i %% 10 == 9) stop("after")
    i
  }, 1:40)
  expect_identical(log[seq_len(at[1])], Filter(function(i) !i %% 10 %in% c(5, 7), 1:40))
  expect_identical(which(!vapply(r, is.numeric, NA)), Filter(function(i) i %% 10 %in% c(5, 7, 9), 1:40))
})

test_that("ordered gives its value, is left by error and jump, and may hold critical but not the reverse", {
  for (np in c(0, 2)) {
    pool <- MapReduce(np = np)
    r <- pool$map(function(i) pool$ordered({ z <- i * 2; z }), 1:4)
    expect_equal(unlist(r), 2 * 1:4)
    r <- pool$map(function(i) { try(pool$ordered(stop("x")), silent = TRUE); i }, 1:10)
    expect_identical(unlist(r), 1:10)
    r <- pool$map(function(i) { pool$ordered(return(i)); 0 }, 1:10)
    expect_identical(unlist(r), 1:10)
    r <- pool$map(function(i) pool$ordered(pool$critical(i)), 1:10)
    expect_identical(unlist(r), 1:10)
    r <- pool$map(function(i) tryCatch(pool$critical(pool$ordered(i)), sharedmem_lock_error = function(e) "refused"), 1:4)
    expect_identical(r, rep(list("refused"), 4))
    r <- pool$map(function(i) { pool$ordered(1); tryCatch(pool$ordered(2), sharedmem_lock_error = function(e) "twice") }, 1:4)
    expect_identical(r, rep(list("twice"), 4))
    expect_identical(pool$map(function(i) pool$ordered(i), 1), list(1))
    expect_identical(pool$map(function(i) pool$ordered(i), 1), list(1))
  }
})

test_that("a worker killed in ordered leaves nobody waiting", {
  before <- snapshot_resources()
  pool <- MapReduce(np = 3)
  e <- tryCatch(pool$map(function(i) pool$ordered({ if (i == 5) tools::pskill(Sys.getpid(), 9); i }), 1:50), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_equal(e$item, 5)
  expect_map_clean(before)
})

test_that("StopProcessGroup ends a map whose workers wait in ordered and critical", {
  pool <- MapReduce(np = 3)
  r <- pool$map(function(i) { if (i == 1) { Sys.sleep(0.1); stop(StopProcessGroup()) }; pool$ordered(i) }, 1:1000)
  expect_true(attr(r, "stopped"))
  expect_null(r[[1]])
})

test_that("a section prints how it is used", {
  expect_output(print(MapReduce(np = 1)$critical), "section")
  lock <- Lock()
  expect_output(print(lock), "use as")
  expect_output(lock(print(lock)), "held by this process")
})

test_that("a lock that is held by a process that waits for the one that asks is an error that names it", {
  r <- run_script({
    lock <- Lock()
    pool <- MapReduce(np = 2)
    p <- Parallel(num_threads = 2)
    held <- function(code) tryCatch(lock(code), error = function(e) list(class(e$reason)[1L], conditionMessage(e)))
    map <- held(pool$map(function(i) lock(i), 1:2))
    nested <- held(pool$map(function(i) MapReduce(np = 2)$map(function(j) lock(j), 1:2), 1:2))
    region <- held(with(p, if (p$rank == 1) lock(1)))
    bg <- lock({ b <- background(function() lock("waited")); Sys.sleep(0.3); b })$wait()
    answer(list(map, nested, region, bg, Sys.getpid()))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1]][[1]], "sharedmem_lock_error")
  expect_identical(r$value[[3]][[1]], "sharedmem_lock_error")
  for (k in 1:3) expect_match(r$value[[k]][[2]], sprintf("held by process %d", r$value[[5]]))
  expect_identical(r$value[[4]], "waited")
})

test_that("a lock that the session takes in a rank of its own, or in reduce(), is waited for", {
  x <- full(1, 0)
  lock <- Lock()
  p <- Parallel(num_threads = 2)
  with(p, for (i in 1:2000) lock(x[1] <- x[1] + 1))
  MapReduce(np = 2)$map(function(i) lock(x[1] <- x[1] + 1), 1:2000, reduce = function(r) lock(x[1] <- x[1] + 1))
  expect_identical(x[1], 8000)
  expect_error(lock(with(p, if (p$rank == 1) lock(1))), "waits for this process to end")
  inner <- function() lock(MapReduce(np = 2)$map(function(i) lock(1), 1))
  expect_error(MapReduce(np = 2)$map(function(i) i, 1:2, reduce = function(r) inner()), "waits for this process to end")
})

test_that("a lock read from a file prints that it is a copy, and is an error when it is used", {
  file <- tempfile()
  on.exit(unlink(file))
  saveRDS(list(Lock(), 1), file)
  l <- readRDS(file)
  expect_output(print(l), "a saved copy.*\\[1\\] 1")
  expect_error(with(l[[1]], 1), class = "sharedmem_lock_error")
})
