test_that("parallel's functions work on the nodes, which are forks of the session and live on", {
  before <- snapshot_resources()
  secret <- 41
  cl <- make_shared_cluster(2)
  expect_s3_class(cl, c("sharedmem_cluster", "cluster"), exact = TRUE)
  expect_identical(parallel::parSapply(cl, 1:20, get("+"), 3), 1:20 + 3)
  expect_identical(parallel::clusterCall(cl, function(y) y + 1, 2), list(3, 3))
  expect_identical(unlist(parallel::clusterApplyLB(cl, 1:9, function(i) i * 2L)), 1:9 * 2L)
  expect_identical(parallel::clusterMap(cl, function(x, y) seq_len(x) + y, c(a = 1, b = 2, c = 3), c(A = 10, B = 0, C = -10)),
                   Map(function(x, y) seq_len(x) + y, c(a = 1, b = 2, c = 3), c(A = 10, B = 0, C = -10)))
  pids <- unlist(parallel::clusterEvalQ(cl, Sys.getpid()))
  parallel::clusterExport(cl, "secret", environment())
  expect_identical(parallel::clusterEvalQ(cl, secret + 1), list(42, 42))
  expect_identical(unlist(parallel::clusterEvalQ(cl, Sys.getpid())), pids)
  expect_identical(unlist(parallel::clusterApply(cl[2L], 1:2, function(i) Sys.getpid())), rep(pids[2L], 2L))
  parallel::stopCluster(cl)
  expect_error(parallel::clusterCall(cl, Sys.getpid), class = "sharedmem_cluster_error")
  expect_snapshot_output(print(cl))
  rm(cl)
  gc()
  expect_map_clean(before)
})

test_that("parallel's functions give on our nodes what they give on parallel's own forks, errors included", {
  calls <- alist(
    parLapply(cl, c(a = 1, b = 2, c = 3), function(i) i^2), parSapply(cl, letters[1:5], toupper), parSapplyLB(cl, 1:7, function(i) c(i, i)),
    parLapply(cl, 1:10, identity, chunk.size = 3), parLapplyLB(cl, list(), identity), parApply(cl, matrix(1:6, 2), 1, sum),
    parRapply(cl, matrix(1:6, 2), sum), parCapply(cl, matrix(1:6, 2), range), clusterApply(cl, 1:5, function(i, k) i + k, 10),
    clusterApplyLB(cl, 1:5, function(i) if (i == 2) stop("bad ", i) else i), clusterApply(cl, 1:3, function(i) stop("bad ", i)),
    clusterMap(cl, function(a, b) a + b, c(x = 1, y = 2, z = 3), 4:6, .scheduling = "dynamic"), clusterCall(cl, function() stop("bad")),
    { clusterEvalQ(cl, kept <- 5); clusterEvalQ(cl, kept) },
    { x <- 42; clusterExport(cl, "x", environment()); clusterEvalQ(cl, x) },
    clusterExport(cl, "no such name"),
    { clusterSetRNGStream(cl, 123); parSapply(cl, 1:6, function(i) rnorm(1)) }, clusterApply(cl, 1:4, rnorm),
    { try(clusterApply(cl, 1:3, stop), silent = TRUE); clusterEvalQ(cl, 1 + 1) }, parLapply(cl[2], 1:3, identity), clusterEvalQ(cl, NULL),
    clusterEvalQ(cl, simpleError("x")), { setDefaultCluster(cl); on.exit(setDefaultCluster(NULL)); parLapply(NULL, 1:3, identity) })
  theirs <- parallel::makeForkCluster(2)
  ours <- make_shared_cluster(2)
  on.exit({
    parallel::stopCluster(theirs)
    parallel::stopCluster(ours)
  })
  answer <- function(call, cl) {
    env <- list2env(list(cl = cl), parent = asNamespace("parallel"))
    tryCatch(eval(substitute((function() e)(), list(e = call)), env), error = conditionMessage)
  }
  for (call in calls) expect_identical(answer(call, ours), answer(call, theirs), info = deparse(call))
})

test_that("large arguments and results arrive as they were, shared arrays attached", {
  cl <- make_shared_cluster(2)
  on.exit(parallel::stopCluster(cl))
  big <- list(a = as.numeric(1:3e5), b = letters, c = quote(x + y), d = NULL)
  expect_identical(parallel::clusterCall(cl, function(x) x, big), list(big, big))
  x <- empty(1e5)
  parallel::clusterApply(cl, 1:4, function(i, x) { x[i] <- i; NULL }, x)
  expect_identical(x[1:5], c(1, 2, 3, 4, 0))
  y <- parallel::clusterCall(cl[1L], function() copy(1:1e5 + 0))[[1L]]
  expect_identical(y[], 1:1e5 + 0)
  rm(x, y)
  gc()
})

test_that("an error of a node is parallel's error, an unserializable result too, and the node goes on", {
  cl <- make_shared_cluster(2)
  on.exit(parallel::stopCluster(cl))
  expect_error(parallel::clusterApply(cl, 1:2, function(i) stop("bad")), "bad")
  deep <- function(n) { x <- NULL; for (i in seq_len(n)) x <- list(x); x }
  expect_error(parallel::clusterApply(cl, 1:2, function(i) if (i == 2) deep(1e6)), "the result cannot be sent")
  expect_identical(parallel::clusterCall(cl, function() 1), list(1, 1))
})

test_that("a node's death is a WorkerException that names its process and signal, and what is left can be stopped", {
  before <- snapshot_resources()
  cl <- make_shared_cluster(2)
  pids <- unlist(parallel::clusterEvalQ(cl, Sys.getpid()))
  e <- tryCatch(parallel::clusterApply(cl, 1:2, function(i) if (i == 2L) tools::pskill(Sys.getpid(), 9) else i), error = identity)
  expect_s3_class(e, "WorkerException")
  expect_identical(c(e$rank, e$pid), c(1L, pids[2L]))
  expect_match(conditionMessage(e), "SIGKILL")
  expect_error(parallel::clusterCall(cl, Sys.getpid), class = "WorkerException")
  expect_identical(parallel::clusterCall(cl[1L], function() "fresh"), list("fresh")) # not an answer to what was asked before
  expect_error(parallel::clusterCall(cl[1L], q), class = "WorkerException")
  parallel::stopCluster(cl)
  rm(cl, e)
  gc()
  expect_map_clean(before)
})

test_that("clusterSetRNGStream() gives the numbers that it gives on a cluster of parallel's", {
  cl <- make_shared_cluster(2)
  theirs <- parallel::makeForkCluster(2)
  on.exit({ parallel::stopCluster(cl); parallel::stopCluster(theirs) })
  draw <- function(cl) { parallel::clusterSetRNGStream(cl, 123); parallel::parSapply(cl, 1:4, function(i) runif(1)) }
  expect_identical(draw(cl), draw(theirs))
})

test_that("nodes end with a session that is killed, and with a cluster that is garbage", {
  r <- run_script({
    cl <- make_shared_cluster(2)
    pids <- unlist(parallel::clusterEvalQ(cl, Sys.getpid()))
    rm(cl)
    gc()
    answer(pids)
    cl <- make_shared_cluster(2)
    parallel::clusterEvalQ(cl, Sys.getpid())
    tools::pskill(Sys.getpid(), 9)
    Sys.sleep(60)
  }, grace = 5)
  expect_length(r$left, 0L)
  expect_identical(r$signal, 9L)
  expect_length(r$value, 2L)
})

test_that("what nodes print comes to the session, and a cluster is of use to its maker alone", {
  cl <- make_shared_cluster(2)
  on.exit(parallel::stopCluster(cl))
  expect_output(parallel::clusterCall(cl[1L], function() cat("from a node\n")), "from a node")
  r <- MapReduce(np = 2)$map(function(i) tryCatch(parallel::clusterCall(cl, Sys.getpid), error = class), 1:2)
  for (class in r) expect_true("sharedmem_cluster_error" %in% class)
  expect_error(make_shared_cluster(0), class = "sharedmem_argument_error")
  expect_error(make_shared_cluster(2, output = "loud"), class = "sharedmem_argument_error")
})

test_that("nodes in a cluster of another class, as one with nodes of other packages is, are stopped one by one", {
  cl <- make_shared_cluster(2)
  pids <- unlist(parallel::clusterEvalQ(cl, Sys.getpid()))
  parallel::stopCluster(structure(unclass(cl), class = "cluster"))
  expect_true(wait_until(!any(pids %in% live_pids())))
  expect_error(parallel::clusterCall(cl, Sys.getpid), class = "sharedmem_cluster_error")
})

test_that("makeCluster() knows the type where R lets packages add one", {
  skip_if_not(exists("registerClusterType", envir = asNamespace("parallel"), inherits = FALSE), "R before 4.5")
  cl <- parallel::makeCluster(2, type = "SHAREDMEM")
  expect_s3_class(cl, "sharedmem_cluster")
  parallel::stopCluster(cl)
})

test_that("no two nodes of a cluster draw the same, and the session's generator stays where it is", {
  set.seed(31)
  before <- get(".Random.seed", globalenv())
  draws <- lapply(1:2, function(k) {
    cl <- make_shared_cluster(2)
    on.exit(parallel::stopCluster(cl))
    unlist(parallel::clusterEvalQ(cl, stats::runif(2)))
  })
  expect_identical(anyDuplicated(unlist(draws)), 0L)
  expect_identical(get(".Random.seed", globalenv()), before)
})
