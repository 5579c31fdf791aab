quietly <- function(expr) suppressWarnings(expr, classes = "sharedmem_lost_warning")
warned <- function(expr) tryCatch({ expr; NULL }, warning = identity)

test_that("mclapply() gives what lapply() gives, with names, for vectors, lists and what as.list() makes one", {
  before <- snapshot_resources()
  for (x in list(1:5, c(a = 1, b = 2, c = 3), list(1, "a", NULL), letters[1:3], as.Date("2024-01-01") + 0:2, data.frame(a = 1:2, b = 3:4)))
    expect_identical(sharedmem::mclapply(x, function(v) list(v), mc.cores = 2), lapply(x, function(v) list(v)))
  expect_identical(sharedmem::mclapply(list(), identity), list())
  expect_identical(sharedmem::mclapply(1:3, function(x, y) x + y, y = 10L, mc.cores = 2), list(11L, 12L, 13L))
  expect_identical(sharedmem::mclapply(X = 1:2, FUN = function(x, F) x * F, F = 3, mc.cores = 2), list(3, 6))
  expect_map_clean(before)
})

test_that("an item that fails is a try-error in its own place, with and without prescheduling", {
  for (preschedule in c(TRUE, FALSE)) {
    r <- quietly(sharedmem::mclapply(c(a = 1, b = 2, c = 3, d = 4), function(i) if (i == 2) stop("no good") else i,
                                     mc.cores = 2, mc.preschedule = preschedule))
    expect_identical(vapply(r, inherits, NA, "try-error"), c(a = FALSE, b = TRUE, c = FALSE, d = FALSE))
    expect_identical(conditionMessage(attr(r$b, "condition")), "no good")
    expect_match(r$b, "^Error in FUN\\(X\\[\\[i\\]\\], \\.\\.\\.\\) : no good\n$")
  }
  r <- quietly(sharedmem::mclapply(1:2, function(i, text) stop(text), text = "nor this", mc.cores = 2))
  expect_match(r[[1L]], "^Error in FUN\\(X\\[\\[i\\]\\], \\.\\.\\.\\) : nor this\n$")
  for (cores in 1:2)
    expect_identical(sharedmem::mclapply(list(a = NULL, b = quote(x), c = 1:2), typeof, mc.cores = cores),
                     list(a = "NULL", b = "symbol", c = "integer"))
  w <- warned(sharedmem::mclapply(1:3, function(i) stop("x"), mc.cores = 2))
  expect_s3_class(w, "sharedmem_lost_warning")
  expect_identical(c(w$errors, w$lost), c(3L, 0L))
})

test_that("a worker's death loses its item alone and names the signal; retries run it again", {
  tried <- empty(1, "i4")
  kill_once <- function(i) {
    if (i == 3L && atomic_add(tried, 1, 1L) == 1L) tools::pskill(Sys.getpid(), tools::SIGKILL)
    i
  }
  w <- NULL
  r <- withCallingHandlers(sharedmem::mclapply(1:5, kill_once, mc.cores = 2),
                           warning = function(c) { w <<- c; invokeRestart("muffleWarning") })
  expect_identical(r[-3L], list(1L, 2L, 4L, 5L))
  expect_s3_class(attr(r[[3L]], "condition"), "WorkerException")
  expect_identical(c(w$errors, w$lost), c(0L, 1L))
  tried[1] <- 0L
  expect_identical(sharedmem::mclapply(1:5, kill_once, mc.cores = 2, retries = 1), as.list(1:5))
})

test_that("retries, timeout and progress belong to a function that has an argument of that name", {
  expect_identical(sharedmem::mclapply(1:3, function(i, timeout, retries = 0) i + timeout, timeout = 5L, mc.cores = 2), list(6L, 7L, 8L))
  r <- quietly(sharedmem::mclapply(1:2, function(i) if (i == 2) Sys.sleep(30) else i, timeout = 0.3, mc.cores = 2))
  expect_identical(r[[1L]], 1L)
  expect_s3_class(attr(r[[2L]], "condition")$reason, "sharedmem_timeout_error")
})

test_that("random numbers depend on the seed, not on cores or scheduling; without mc.set.seed items begin with the session's", {
  draws <- function(...) { set.seed(11); r <- sharedmem::mclapply(1:6, function(i) rnorm(2), ...); list(r, runif(1)) }
  expect_identical(draws(mc.cores = 1), draws(mc.cores = 2))
  expect_identical(draws(mc.cores = 2), draws(mc.cores = 3, mc.preschedule = FALSE))
  set.seed(5)
  r <- sharedmem::mclapply(rep(4, 5), rnorm, mc.preschedule = FALSE, mc.set.seed = FALSE, mc.cores = 2)
  set.seed(5)
  expect_identical(r, rep(list(rnorm(4)), 5))
})

test_that("one core runs in the session, where an error is raised as it is", {
  expect_identical(sharedmem::mclapply(1:2, function(i) Sys.getpid(), mc.cores = 1), list(Sys.getpid(), Sys.getpid()))
  e <- tryCatch(sharedmem::mclapply(1:2,
                                    function(i) stop(structure(class = c("mine", "error", "condition"), list(message = "m", call = NULL))),
                                    mc.cores = 1), error = identity)
  expect_s3_class(e, "mine")
})

test_that("mc.allow.recursive = FALSE and a call inside a worker stay in that worker or few", {
  r <- sharedmem::mclapply(1:2, function(i) {
    c(Sys.getpid(), unlist(sharedmem::mclapply(1:2, function(j) Sys.getpid(), mc.cores = 2, mc.allow.recursive = FALSE)))
  }, mc.cores = 2)
  for (pids in r) expect_length(unique(pids), 1L)
  expect_identical(unlist(sharedmem::mclapply(1:2, function(i) sum(unlist(sharedmem::mclapply(1:3, identity, mc.cores = 2))),
                                              mc.cores = 2)),
                   c(6L, 6L))
})

test_that("affinity.list says where an item runs", {
  skip_if(is.null(parallel::mcaffinity()), "no affinity here")
  cpu <- parallel::mcaffinity()[1L]
  expect_identical(sharedmem::mclapply(1:2, function(i) parallel::mcaffinity(), affinity.list = list(cpu, cpu), mc.cores = 2),
                   list(cpu, cpu))
  expect_error(sharedmem::mclapply(1:2, identity, affinity.list = list(1)), class = "sharedmem_argument_error")
})

test_that("bad arguments are argument errors", {
  for (cores in list(0, -1, NA, "a", NULL, c(1, 2)))
    expect_error(sharedmem::mclapply(1:2, identity, mc.cores = cores), class = "sharedmem_argument_error")
  expect_error(sharedmem::pvec(quote(a), sqrt), class = "sharedmem_argument_error")
  expect_error(sharedmem::mcmapply(rep, 1:2, integer()), class = "sharedmem_argument_error")
})

test_that("random calls give what parallel's functions give, errors and what a function sees of its call included", {
  seed <- as.integer(Sys.time()) %% 100000L
  set.seed(seed)
  pick <- function(x) x[[sample.int(length(x), 1L)]]
  vectors <- list(1:7, c(a = 1, b = 2, c = 3), letters[1:4], list(1, "a", NULL, quote(x + y)), list(p = sum, q = NA), c(TRUE, NA), 3i + 1:3,
                  as.raw(1:5), factor(c("u", "v", "u")), Sys.Date() + 0:2, data.frame(k = 1:2, l = c("x", "y")), expression(a + b, c), NULL,
                  list(), character(), c(only = 1), quote(f(x, y)), list2env(list(a = 1)))
  functions <- list(identity, list, class, length, "deparse", function(x, ...) nargs(), function(x) sys.call(),
                    function(x) substitute(x), function(x, y) missing(y), function(x, mc) x, function(x) invisible(NULL),
                    function(x) try(stop("mine"), silent = TRUE), function(x) eval(quote(x), parent.frame(0)))
  told <- function(x) if (inherits(x, "try-error")) conditionMessage(attr(x, "condition")) else x # parallel's calls are FUN(X[[nexti]])
  answer <- function(from, name, ...) tryCatch(suppressWarnings({
    r <- getExportedValue(from, name)(...)
    if (is.list(r)) lapply(r, told) else r
  }), error = function(e) "error")
  for (k in 1:60) {
    n <- pick(2:3)
    # parallel fails the share of a core without `mc.preschedule = FALSE`, and evaluates calls that are results with it
    call <- switch(pick(1:4),
      list("mclapply", pick(vectors), pick(functions), mc.cores = n),
      list("mclapply", pick(vectors[1:9]), function(x) if (is.numeric(x)) x else stop("of ", x), mc.cores = n,
           mc.preschedule = FALSE),
      list("pvec", pick(vectors[c(1:5, 7:8, 16)]), pick(list(identity, length, rev, function(v) v[0L])), mc.cores = n),
      list("mcmapply", pick(list(identity, paste, function(...) nargs(), function(...) sys.call()[-1L], function(...) stop("no"))),
           pick(vectors[1:9]), pick(list(1:6, 2, c(k = "l"))), SIMPLIFY = pick(list(TRUE, FALSE, "array")),
           USE.NAMES = pick(c(TRUE, FALSE)), mc.cores = n, mc.preschedule = FALSE))
    results <- lapply(c("parallel", "sharedmem"), function(from) do.call(answer, c(from, call), quote = TRUE))
    expect_identical(results[[2L]], results[[1L]], info = paste(c("seed", seed, "call", k, deparse(call)), collapse = " "))
  }
})

test_that("an argument is evaluated once, before the fork; one that cannot be is an error of the items that ask for it", {
  count <- 0
  expect_identical(sharedmem::mclapply(1:4, function(i, y) i + y, y = { count <- count + 1; 1L }, mc.cores = 2), as.list(2:5))
  expect_identical(count, 1)
  r <- suppressWarnings(sharedmem::mclapply(1:3, function(i, y) if (i == 2) y else i, y = stop("late"), mc.cores = 2))
  expect_identical(r[-2L], list(1L, 3L))
  expect_match(r[[2L]], "late")
})

test_that("mc.silent drops stdout, of programs as well, and nothing else", {
  run <- run_script({
    library(sharedmem, warn.conflicts = FALSE)
    noise <- function(i) {
      print("out")
      system("echo out")
      message("told")
      cat("error\n", file = stderr())
      i
    }
    stopifnot(identical(mclapply(1:2, noise, mc.silent = TRUE, mc.cores = 2), list(1L, 2L)))
    stopifnot(identical(unname(mccollect(mcparallel(noise(1), silent = TRUE))), list(1)))
  })
  expect_script_ok(run)
  expect_false(any(grepl("out", run$stdout)))
  for (text in c("told", "error")) expect_length(grep(text, run$stderr), 3L)
})

test_that("pvec() gives FUN(v) from parts, and warns where lengths do not add up", {
  for (n in c(0, 1, 2, 3, 7, 100)) for (cores in 1:4)
    expect_identical(sharedmem::pvec(seq_len(n), sqrt, mc.cores = cores), sqrt(seq_len(n)))
  expect_warning(sharedmem::pvec(1:10, sum, mc.cores = 2), class = "sharedmem_lost_warning")
})

test_that("pvec() keeps language as it is; mcmapply() simplifies a try-error that is a value, not one that is a failure", {
  expect_identical(sharedmem::pvec(expression(1 + 1, b, c), identity, mc.cores = 2), expression(1 + 1, b, c))
  expect_identical(suppressWarnings(sharedmem::pvec(1:4, function(x) quote(a + b), mc.cores = 2)), list(quote(a + b), quote(a + b)))
  caught <- function(i) try(stop("no"), silent = TRUE)
  expect_identical(sharedmem::mcmapply(caught, 1:2, mc.cores = 2), mapply(caught, 1:2))
  r <- suppressWarnings(sharedmem::mcmapply(function(i) if (i == 2) stop("no"), 1:2, mc.cores = 2))
  expect_identical(list(length(r), r[[1L]]), list(2L, NULL))
  expect_s3_class(r[[2L]], "try-error")
})

test_that("mcmapply() and mcMap() give what mapply() and Map() give", {
  calls <- list(quote(f(rep, 1:4, 4:1)), quote(f(function(x, y) x + y, c(a = 1, b = 2, c = 3), c(A = 10, B = 0, C = -10))),
                quote(f(function(x, k) x * k, 1:5, MoreArgs = list(k = 3))), quote(f(nchar, c("a", "bb"))),
                quote(f(function(x, y) c(x, y), 1:2, 1:4)), quote(f(identity, 1:3, SIMPLIFY = FALSE)), quote(f(identity, 1)),
                quote(f(function(x) matrix(x, 2, 2), 1:3, SIMPLIFY = "array")), quote(f(identity, c("a", "b"), USE.NAMES = FALSE)))
  for (call in calls) {
    want <- eval(call, list(f = mapply))
    expect_identical(eval(call, list(f = function(...) sharedmem::mcmapply(..., mc.cores = 2))), want, info = deparse(call))
  }
  expect_identical(sharedmem::mcMap(function(x, y) x * y, c(a = 1, b = 2), 3:4), Map(function(x, y) x * y, c(a = 1, b = 2), 3:4))
  r <- quietly(sharedmem::mcmapply(function(i) if (i == 2) stop("no") else i, 1:3, mc.cores = 2))
  expect_identical(vapply(r, inherits, NA, "try-error"), c(FALSE, TRUE, FALSE))
})
