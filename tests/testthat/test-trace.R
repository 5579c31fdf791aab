test_that("a traced map gives every item once, inside the map's time and without overlap in a worker", {
  local_np()
  pool <- MapReduce(np = 2, trace = TRUE)
  expect_s3_class(pool$trace, "sharedmem_no_trace")
  r <- pool$map(function(i) sum(seq_len(1000 * i)), 1:40)
  trace <- pool$trace
  expect_s3_class(trace, "sharedmem_trace")
  e <- as.data.frame(trace)
  expect_named(e, c("rank", "kind", "item", "start", "end"))
  items <- e[e$kind == "item", ]
  expect_setequal(items$item, 1:40)
  expect_identical(nrow(items), 40L)
  expect_true(all(e$start >= 0 & e$end >= e$start & e$end <= trace$elapsed))
  for (rank in unique(items$rank)) {
    mine <- items[items$rank == rank, ]
    expect_true(all(mine$start[-1L] >= mine$end[-nrow(mine)]))
  }
  expect_true(all(c("startup", "serialize") %in% e$kind))
  expect_identical(length(r), 40L)
})

test_that("waits for the lock lie inside the item that waits, and nobody holds it while another does", {
  local_np()
  pool <- MapReduce(np = 2, trace = TRUE)
  pool$map(function(i) { x <- sqrt(seq_len(1e4)); pool$critical(sum(sqrt(seq_len(2e5)))) }, 1:20)
  e <- as.data.frame(pool$trace)
  items <- e[e$kind == "item", ]
  for (kind in c("wait_critical", "hold_critical")) {
    w <- e[e$kind == kind, ]
    expect_setequal(w$item, 1:20)
    at <- items[match(w$item, items$item), ]
    expect_true(all(w$rank == at$rank & w$start >= at$start & w$end <= at$end))
  }
  held <- e[e$kind == "hold_critical", ]
  held <- held[order(held$start), ]
  expect_true(all(held$start[-1L] >= held$end[-nrow(held)]))
})

test_that("ordered sections are held in the order of the items", {
  local_np()
  pool <- MapReduce(np = 2, trace = TRUE)
  pool$map(function(i) pool$ordered(sum(sqrt(seq_len(1e4)))), 1:20)
  e <- as.data.frame(pool$trace)
  held <- e[e$kind == "hold_ordered", ]
  expect_identical(held$item[order(held$start)], 1:20)
  expect_setequal(e$item[e$kind == "wait_ordered"], 1:20)
})

test_that("a pool without trace = TRUE has none, and gives the same results", {
  local_np()
  plain <- MapReduce(np = 2)
  traced <- MapReduce(np = 2, trace = TRUE)
  set.seed(3)
  a <- plain$map(function(i) runif(2), c(x = 1, y = 2, z = 3))
  set.seed(3)
  b <- traced$map(function(i) runif(2), c(x = 1, y = 2, z = 3))
  expect_identical(a, b)
  expect_s3_class(plain$trace, "sharedmem_no_trace")
  expect_identical(as.data.frame(traced$trace)$name[as.data.frame(traced$trace)$kind == "item"] |> sort(), c("x", "y", "z"))
})

test_that("what a killed worker did is in the trace, and the item it was lost in", {
  r <- run_script({
    pool <- MapReduce(np = 2, trace = TRUE)
    gate <- full(1, 0)
    failed <- tryCatch(pool$map(function(i) {
      if (i == 5) tools::pskill(Sys.getpid(), 9)
      i
    }, 1:5), WorkerException = function(e) e)
    again <- MapReduce(np = 2, trace = TRUE, retries = 1)
    values <- again$map(function(i) {
      if (i == 3 && atomic_add(gate, 1, 1) == 1) tools::pskill(Sys.getpid(), 9)
      i
    }, 1:5)
    answer(list(class = class(failed), lost = pool$trace$events, values = values, retried = again$trace$events))
  })
  expect_script_ok(r)
  expect_true("WorkerException" %in% r$value$class)
  lost <- r$value$lost
  expect_identical(lost$item[lost$kind == "lost"], 5L)
  retried <- r$value$retried
  expect_identical(r$value$values, as.list(1:5))
  expect_identical(retried$item[retried$kind == "lost"], 3L)
  expect_true(all(1:5 %in% retried$item[retried$kind == "item"]))
  rank <- retried$rank[retried$kind == "lost"]
  expect_identical(sum(retried$kind == "startup" & retried$rank == rank), 2L)
})

test_that("what other workers were at when a failure ended the map is in the trace", {
  local_np()
  pool <- MapReduce(np = 2, trace = TRUE)
  begun <- full(1, 0)
  expect_error(pool$map(function(i) {
    if (i == 1) { begun[1] <- 1; repeat Sys.sleep(0.01) }
    while (begun[1] == 0) Sys.sleep(0.001)
    stop("no")
  }, 1:2), class = "WorkerException")
  e <- as.data.frame(pool$trace)
  expect_identical(e$item[e$kind == "lost"], 1L)
  expect_identical(e$item[e$kind == "item"], 2L)
})

test_that("an item that fails is in the trace", {
  local_np()
  pool <- MapReduce(np = 2, trace = TRUE, on_error = "collect")
  pool$map(function(i) if (i == 2) stop("no") else i, 1:4)
  e <- as.data.frame(pool$trace)
  expect_setequal(e$item[e$kind == "item"], 1:4)
  expect_error(MapReduce(np = 2, trace = TRUE)$map(function(i) stop("no"), 1), class = "WorkerException")
})

test_that("a full ring keeps exact totals and says what is missing", {
  local_np()
  old <- options(sharedmem.trace_events = 25)
  on.exit(options(old))
  pool <- MapReduce(np = 2, trace = TRUE)
  pool$map(function(i) pool$critical(i), 1:200)
  s <- summary(pool$trace)
  expect_identical(sum(s$workers$items), 200)
  expect_lte(nrow(as.data.frame(pool$trace)), 50L)
  expect_gt(s$dropped, 0)
  total <- sharedmem:::trace_totals(pool$trace)
  expect_identical(unname(colSums(total$n)[c("item", "wait_critical", "hold_critical")]), c(200, 200, 200))
  expect_output(print(pool$trace), "only summed up")
  expect_output(print(s), "only summed up")
})

test_that("maps in the master are traced too", {
  for (pool in list(MapReduce(np = 0, trace = TRUE), MapReduceByThread(2, trace = TRUE))) {
    pool$map(function(i) { pool$critical(i); pool$ordered(i) }, 1:6)
    e <- as.data.frame(pool$trace)
    expect_identical(sort(e$item[e$kind == "item"]), 1:6)
    expect_identical(sum(e$kind == "hold_critical"), 6L)
  }
  expect_identical(sort(unique(e$rank)), 0:1)
})

test_that("a traced map inside a traced map leaves both traces whole", {
  local_np()
  outer <- MapReduce(np = 0, trace = TRUE)
  inner <- MapReduce(np = 0, trace = TRUE)
  outer$map(function(i) length(inner$map(identity, 1:3)), 1:2)
  expect_setequal(outer$trace$events$item[outer$trace$events$kind == "item"], 1:2)
  expect_setequal(inner$trace$events$item[inner$trace$events$kind == "item"], 1:3)
})

test_that("garbage collections of a worker are recorded", {
  local_np()
  pool <- MapReduce(np = 1, trace = TRUE)
  pool$map(function(i) { for (k in 1:5) { x <- lapply(1:1e5, function(j) c(j, j)); gc() }; NULL }, 1:2)
  e <- as.data.frame(pool$trace)
  expect_gte(sum(e$kind == "gc"), 5L)
  expect_gt(summary(pool$trace)$workers$gc, 0)
})

test_that("collections are recorded when R forgets finalizers that finalizers register", {
  local_np()
  pool <- MapReduce(np = 1, trace = TRUE)
  pool$map(function(i) {
    f <- file(tempfile(), "w")
    gc()
    close(f)
    rm(f)
    for (k in 1:4) gc()
  }, 1:2)
  e <- as.data.frame(pool$trace)
  expect_gte(sum(e$kind == "gc"), 8L) # those that take less than the clock tells do not count
})

test_that("busy, waiting, overhead and idle of a worker add up to the map's time", {
  for (trace in synthetic_examples(4)) {
    w <- summary(trace)$workers
    sums <- rowSums(w[c("busy", "critical", "ordered", "ring", "overhead", "idle")])
    expect_equal(sums, rep(trace$elapsed, 4))
    expect_identical(sum(w$items), as.numeric(trace$nitems))
  }
})

test_that("the summary names what limits a map", {
  limits <- vapply(synthetic_examples(16), function(t) summary(t)$limit, "")
  expect_identical(limits, c(balanced = "nothing", unbalanced = "tail", lock = "critical", ordered = "ordered", tail = "tail"))
  one <- function(kind, busy = 0.2, ...) {
    start <- c(0, 0.01, 0.01 + busy)
    end <- c(0.01, 0.01 + busy, 1)
    sharedmem:::new_trace(raw_trace(c(0, 0, 0), c("startup", "item", kind), c(NA, 1, NA), start, end, 1, 1, ...), 1)
  }
  expect_identical(summary(one("serialize"))$limit, "serialization")
  expect_identical(summary(one("dispatch"))$limit, "dispatch")
  gc <- sharedmem:::new_trace(raw_trace(c(0, 0), c("item", "gc"), c(1, 1), c(0, 0.2), c(1, 0.9), 1, 1), 1)
  expect_identical(summary(gc)$limit, "collection")
  expect_identical(summary(one("item", 0.5, cpu = 0.3, starved = 0.6))$limit, "processor")
  expect_match(summary(synthetic_examples(4)$lock)$reason, "critical\\(\\)")
})

test_that("load balance is the largest busy time over the mean", {
  t <- sharedmem:::new_trace(raw_trace(c(0, 1), c("item", "item"), 1:2, c(0, 0), c(3, 1), 2, 3), 2)
  s <- summary(t)
  expect_equal(s$balance, 1.5)
  expect_equal(s$busy, 4 / 6)
  expect_equal(s$workers$idle, c(0, 2))
  expect_equal(s$workers$tail, c(0, 2))
})

test_that("traces and their summaries print", {
  t <- synthetic_examples(2)$lock
  expect_output(print(t), "24 items on 2 workers")
  expect_output(print(summary(t)), "for lock")
  expect_output(print(summary(synthetic_examples(64)$tail)), "5 most and the 5 least busy of 64")
  expect_snapshot(print(summary(t)))
})

test_that("a trace without any event can be looked at", {
  empty <- sharedmem:::new_trace(raw_trace(integer(), character(), numeric(), numeric(), numeric(), 2, 0.1), 0)
  expect_identical(nrow(as.data.frame(empty)), 0L)
  expect_output(print(summary(empty)), "0 items on 2 workers")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_invisible(plot(empty))
  file <- tempfile(fileext = ".json")
  on.exit(unlink(file), add = TRUE)
  write_trace(empty, file)
  expect_true(file.exists(file))
})

test_that("trace takes TRUE or FALSE only", {
  expect_error(MapReduce(trace = "yes"), class = "sharedmem_argument_error")
  expect_error(MapReduce(trace = NA), class = "sharedmem_argument_error")
})

test_that("traced maps leave nothing behind", {
  r <- run_script({
    pool <- MapReduce(np = 2, trace = TRUE)
    pool$map(identity, 1:4)
    maps <- function() { gc(); length(readLines("/proc/self/maps")) }
    before <- if (file.exists("/proc/self/maps")) maps() else 0
    for (k in 1:20) { pool$map(identity, 1:4); try(pool$map(function(i) stop("x"), 1:4), silent = TRUE) }
    answer(if (file.exists("/proc/self/maps")) maps() - before else 0)
  })
  expect_script_ok(r)
  expect_lt(r$value, 20)
})

test_that("a summary counts the items that were lost with their workers", {
  pool <- MapReduce(np = 2, trace = TRUE, on_error = "collect")
  pool$map(function(i) if (i %% 3 == 0) tools::pskill(Sys.getpid(), tools::SIGKILL) else i, 1:6)
  s <- summary(pool)
  expect_equal(s$lost, 2)
  expect_gt(sum(s$workers$lost), 0)
  expect_identical(sum(s$workers$items), 4)
  expect_output(print(s), "2 runs of items did not finish")
})
