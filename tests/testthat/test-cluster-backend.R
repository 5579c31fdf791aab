# Maps over mirai's daemons. Each script sets two daemons of this machine and resets them.

test_that("where mirai is not installed, a map over a cluster says so", {
  skip_if(nzchar(system.file(package = "mirai")))
  e <- tryCatch(MapReduce(backend = ClusterBackend())$map(identity, 1:2), error = identity)
  expect_s3_class(e, "sharedmem_error")
  expect_match(conditionMessage(e), "mirai", fixed = TRUE)
})

skip_if(!nzchar(system.file(package = "mirai")), "mirai is missing") # not loaded here: it keeps descriptors open
skip_under_sanitizer()

# In a worker of a daemon: the process id of that.
daemon_pid <- function() as.integer(strsplit(sub("^.*[)] ", "", readLines("/proc/self/stat", warn = FALSE)), " ")[[1L]][2L])
environment(daemon_pid) <- globalenv()

# Runs `code` where two daemons are set and `pool(...)` makes a pool over them.
on_daemons <- function(code, timeout = 120, n = 2L, vars = list(), env = character()) {
  source <- script_source(substitute(code), parent.frame())
  before <- c("options(warn = 1)", sprintf("mirai::daemons(%d)", n),
              "pool <- function(...) MapReduce(backend = ClusterBackend(lost_after = 10), ...)",
              "before <- mirai::status()[c('connections', 'daemons')]")
  after <- c("end <- Sys.time() + 10",
             "while (mirai::info()[['executing']] > 0 && Sys.time() < end) Sys.sleep(0.02)",
             "stopifnot(identical(mirai::status()[c('connections', 'daemons')], before), mirai::info()[['executing']] == 0)",
             "mirai::daemons(0)")
  finish_script(start_source(c(before, source, after), timeout, env, vars, TRUE), grace = 5)
}

test_that("results over daemons are those of a map at home, in order, with names", {
  r <- on_daemons({
    same <- function(f, x, ...) {
      set.seed(3)
      a <- pool()$map(f, x, ...)
      set.seed(3)
      identical(a, MapReduce(np = 2)$map(f, x, ...))
    }
    answer(list(
      squares = same(function(i) i^2, 1:50),
      names = same(function(i) i, c(a = 1, b = 2)),
      more = same(function(i, k) i + k, 1:9, k = 3),
      star = same(function(a, b) a - b, list(list(1, 2), list(b = 3, a = 4)), star = TRUE),
      draws = same(function(i) c(runif(2), rnorm(1), sample(10, 1)), 1:40),
      minlength = same(function(i) i, 1:3, minlength = 10),
      none = same(function(i) i, integer()),
      mixed = same(function(i) switch(i, NULL, "a", list(x = 1), mean, 1i), 1:5),
      dates = same(function(d) format(d), as.Date("2026-01-01") + 0:5),
      object = same(function(i) class(i), factor(c("u", "v"))),
      big = same(function(i) rep(i, 3e5), 1:4)))
  })
  expect_script_ok(r)
  for (name in names(r$value)) expect_true(r$value[[name]], label = name)
})

test_that("reduce runs in the session as results arrive, tuples spread", {
  r <- on_daemons({
    total <- 0
    out <- pool()$map(function(i) tuple(i, i^2), 1:200, reduce = function(i, sq) { total <<- total + sq; Sys.getpid() })
    answer(list(total, unique(unlist(out)) == Sys.getpid()))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(sum((1:200)^2), TRUE))
})

test_that("a function finds what it reaches in the workspace: variables, functions, methods, attached packages", {
  r <- on_daemons(c(
    "library(tools)", "k <- 10", "inner <- function(i) i + k", "deep <- list(f = function(i) inner(i) * 2)",
    "print.money <- function(x, ...) cat('money', unclass(x), '\\n')", "`+.money` <- function(e1, e2) structure(1000, class = 'money')",
    "hidden <- 5",
    "outer <- function() {", "captured <- 7",
    "function(i) c(deep$f(i), captured, unclass(structure(i, class = 'money') + 1), nchar(file_ext('a.txt')))", "}",
    "a <- pool()$map(outer(), 1:3)", "b <- MapReduce(np = 2)$map(outer(), 1:3)",
    "e <- MapReduce(backend = ClusterBackend(export = 'hidden'))$map(function(i) get(paste0('hid', 'den')), 1)",
    # functions in environments, locked ones too, and in what a package's function made; an argument that is missing where func was made
    "within <- new.env()", "within$go <- function(i) within$step(i)", "within$step <- function(i) inner(i)",
    "lockEnvironment(within, TRUE)",
    "each <- Vectorize(function(a, b) a + b + k)", "twice <- function(g) { force(g); function(i) g(i) }",
    "partly <- (function(a, b) function(i) if (i < 0) b else c(i, a, within$go(i), each(i, 1:2), twice(inner)(i)))(1)",
    "a2 <- pool()$map(partly, 1:3)", "b2 <- MapReduce(np = 2)$map(partly, 1:3)",
    "left <- mirai::mirai(ls(globalenv()))[]",
    "answer(list(same = c(identical(a, b), identical(a2, b2)), export = e[[1]], left = left))"))
  expect_script_ok(r)
  expect_identical(r$value$same, c(TRUE, TRUE))
  expect_identical(r$value$export, 5)
  expect_identical(r$value$left, character())
})

test_that("an error of an item is a WorkerException with the host, and ends the map or is collected", {
  r <- on_daemons({
    e <- tryCatch(pool()$map(function(i) if (i == 5) stop("bad input") else i, 1:20), WorkerException = identity)
    out <- pool(on_error = "collect")$map(function(i) if (i %% 7 == 0) stop("bad ", i) else i, 1:20)
    answer(list(class(e), conditionMessage(e$reason), e$item, e$host == Sys.info()[["nodename"]],
                grepl(e$host, conditionMessage(e), fixed = TRUE),
                which(vapply(out, inherits, NA, "WorkerException")), out[[14]]$item, out[[14]]$host == e$host, sum(unlist(out[-c(7, 14)]))))
  })
  expect_script_ok(r)
  expect_true("WorkerException" %in% r$value[[1L]])
  expect_identical(r$value[2:9], list("bad input", 5, TRUE, TRUE, c(7L, 14L), 14, TRUE, sum(setdiff(1:20, c(7, 14)))))
})

# A socket that is closed while a message arrives never closes, which one map in fifty met, and an interrupted daemon kept a sink.
test_that("maps that fail while results arrive all end, and leave the daemons as they were", {
  r <- on_daemons({
    sinks <- function() sum(unlist(mirai::everywhere(sink.number())[]))
    first <- sinks()
    failed <- vapply(1:20, function(k) {
      f <- function(i) if (i == 20 * k) stop("bad input") else strrep("x", 1e4)
      tryCatch(pool()$map(f, 1:2000), WorkerException = function(e) e$item)
    }, 0)
    answer(list(failed, sinks() - first))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(20 * 1:20, 0L))
})

test_that("a worker's death is named, and runs again with retries", {
  r <- on_daemons({
    e <- tryCatch(pool()$map(function(i) if (i == 3) tools::pskill(Sys.getpid(), 9) else i, 1:6), WorkerException = identity)
    dir <- tempfile()
    dir.create(dir)
    out <- pool(retries = 1)$map(function(i) {
      cat(".", file = file.path(dir, i), append = TRUE)
      if (i == 3 && file.size(file.path(dir, i)) == 1) tools::pskill(Sys.getpid(), 9)
      i
    }, 1:30)
    answer(list(conditionMessage(e), e$item, unlist(out), file.size(file.path(dir, 1:30))))
  })
  expect_script_ok(r)
  expect_match(r$value[[1L]], "SIGKILL")
  expect_identical(r$value[2:4], list(3, 1:30, replace(rep(1, 30), 3, 2)))
})

test_that("an item that takes too long is a failure of its own", {
  r <- on_daemons({
    e <- tryCatch(pool(timeout = 0.5)$map(function(i) if (i == 2) Sys.sleep(60) else i, 1:4), WorkerException = identity)
    answer(list(class(e$reason), e$item))
  })
  expect_script_ok(r)
  expect_true("sharedmem_timeout_error" %in% r$value[[1L]])
  expect_identical(r$value[[2L]], 2)
})

test_that("warnings, messages and output of items reach the session, warnings in their order", {
  r <- on_daemons({
    seen <- character()
    out <- capture.output(withCallingHandlers(
      pool(on_error = "collect")$map(function(i) { if (i <= 3) { warning("w", i); message("m", i); cat("out", i, "\n") }; i }, 1:20),
      warning = function(w) { seen <<- c(seen, conditionMessage(w)); invokeRestart("muffleWarning") },
      message = function(m) { seen <<- c(seen, trimws(conditionMessage(m))); invokeRestart("muffleMessage") }))
    options(warn = 2)
    e <- tryCatch(pool()$map(function(i) warning("turned"), 1:2), WorkerException = identity)
    answer(list(seen, sort(grep("^out", out, value = TRUE)), class(e)[1L]))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1L]], c("w1", "m1", "w2", "m2", "w3", "m3"))
  expect_identical(trimws(r$value[[2L]]), paste("out", 1:3))
  expect_identical(r$value[[3L]], "WorkerException")
})

test_that("warnings and messages past the limit are counted over all chunks and daemons", {
  r <- on_daemons({
    seen <- list(warning = character(), message = character())
    keep <- function(kind, restart) function(cond) {
      seen[[kind]] <<- c(seen[[kind]], conditionMessage(cond))
      invokeRestart(restart)
    }
    out <- withCallingHandlers(pool(np = 1)$map(function(i) { warning("w"); for (k in 1:10) message("m"); i }, 1:200),
                               warning = keep("warning", "muffleWarning"), message = keep("message", "muffleMessage"))
    answer(list(identical(unlist(out), 1:200), seen))
  })
  expect_script_ok(r)
  expect_true(r$value[[1L]])
  expect_identical(r$value[[2L]], list(warning = c(rep("w", 50), "and 150 more warnings from workers"),
                                       message = c(rep("m\n", 1000), "and 1000 more messages from workers\n")))
})

test_that("StopProcessGroup ends the map early and quietly", {
  r <- on_daemons({
    out <- pool()$map(function(i) { if (i == 2) stop(StopProcessGroup()); Sys.sleep(0.002); i }, 1:5000)
    answer(list(isTRUE(attr(out, "stopped")), length(out), sum(vapply(out, is.null, NA)) > 0))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, 5000L, TRUE))
})

test_that("a daemon that is killed loses nothing with retries, finished items run once, and without retries it is named", {
  r <- on_daemons({
    victim <- mirai::mirai(Sys.getpid())[]
    run <- function(...) {
      dir <- tempfile()
      dir.create(dir)
      out <- pool(...)$map(function(i) {
        cat(".", file = file.path(dir, i), append = TRUE)
        if (i == 20) tools::pskill(victim, 9)
        Sys.sleep(0.01)
        i
      }, 1:200, reduce = function(i) { file.create(file.path(dir, paste0("got", i, "_", file.size(file.path(dir, i))))); i })
      list(out = out, runs = file.size(file.path(dir, 1:200)))
    }
    a <- run(retries = 1)
    before$connections <- 1L
    mirai::daemons(2)
    before <- mirai::status()[c("connections", "daemons")]
    victim <- mirai::mirai(Sys.getpid())[]
    e <- tryCatch(run(), WorkerException = identity)
    mirai::daemons(2)
    before <- mirai::status()[c("connections", "daemons")]
    answer(list(unlist(a$out), sum(a$runs > 1), conditionMessage(e), e$host == Sys.info()[["nodename"]]))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1L]], 1:200)
  expect_lte(r$value[[2L]], 15) # of 200: what ran, or whose result was under way
  expect_match(r$value[[3L]], "the daemon on .* was lost")
  expect_true(r$value[[4L]])
})

test_that("a daemon that is silent for long is given up, one that dies before it has joined is replaced, and without any the map ends", {
  skip_if_not(file.exists("/proc/self/stat"))
  r <- on_daemons({
    p <- function() MapReduce(backend = ClusterBackend(lost_after = 3), np = 1, retries = 1)
    victim <- mirai::mirai(Sys.getpid())[]
    began <- proc.time()[[3]]
    silent <- unlist(p()$map(function(i) {
      if (daemon_pid() == victim) tools::pskill(victim, tools::SIGSTOP)
      Sys.sleep(0.01)
      i
    }, 1:60))
    took <- proc.time()[[3]] - began
    tools::pskill(victim, tools::SIGCONT)
    wait_until(mirai::info()[["executing"]] == 0)
    victim <- mirai::mirai(Sys.getpid())[]
    tools::pskill(victim, tools::SIGSTOP)
    early <- unlist(p()$map(function(i) { if (i == 3) tools::pskill(victim, 9); Sys.sleep(0.02); i }, 1:60))
    e <- tryCatch(p()$map(function(i) tools::pskill(daemon_pid(), 9), 1:4), WorkerException = identity)
    mirai::daemons(2)
    before <- mirai::status()[c("connections", "daemons")]
    answer(list(silent, took >= 3, early, class(e)[1L], conditionMessage(e)))
  }, vars = list(daemon_pid = daemon_pid, wait_until = wait_until))
  expect_script_ok(r)
  expect_identical(r$value[1:4], list(1:60, TRUE, 1:60, "WorkerException"))
  expect_match(r$value[[5L]], "was lost: its process or its connection is gone", fixed = TRUE)
})

test_that("what cannot be sent to a daemon, and an agent that fails, end the map by name", {
  r <- on_daemons({
    deep <- NULL
    for (k in 1:1e5) deep <- list(deep)
    class_of <- function(expr) tryCatch(expr, error = function(e) list(class(e)[1L], conditionMessage(e)))
    sent <- class_of(pool()$map(function(i) length(deep), 1:4))
    mirai::everywhere(utils::assignInNamespace("agent_load", function(...) stop("no room"), "sharedmem"))[]
    failed <- class_of(pool()$map(function(i) i, 1:4))
    answer(list(sent, failed))
  })
  expect_script_ok(r)
  expect_identical(unlist(lapply(r$value, `[[`, 1L)), rep("sharedmem_cluster_error", 2))
  expect_match(r$value[[1L]][[2L]], "func cannot be sent")
  expect_match(r$value[[2L]][[2L]], "cannot run this map: no room")
})

test_that("to a daemon on another machine go values: arrays of the session, critical and ordered sections are refused by name", {
  r <- on_daemons({
    mirai::everywhere(utils::assignInNamespace("machine_id", function() "another machine", "sharedmem"))[]
    x <- full(3, 1)
    caught <- function(expr) tryCatch(expr, error = identity)
    made <- pool()$map(function(i) { y <- empty(3); y[] <- i; y }, 1:4)
    large <- pool()$map(function(i) rep(i, 3e5), 1:2)
    q <- pool(np = 1)
    e <- list(caught(pool()$map(function(i) x[i], 1:3)), caught(pool()$map(function(v) v[1], list(x, x))),
              caught(q$map(function(i) q$critical(i), 1:2))$reason, caught(q$map(function(i) q$ordered(i), 1:2))$reason)
    answer(list(lapply(made, function(y) y[]), identical(large, lapply(1:2, rep, 3e5)), vapply(e, function(e) class(e)[1L], ""),
                vapply(e, conditionMessage, "")))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1L]], lapply(1:4, function(i) rep(as.numeric(i), 3)))
  expect_true(r$value[[2L]])
  expect_identical(r$value[[3L]], rep(c("sharedmem_cluster_error", "sharedmem_lock_error"), each = 2))
  for (k in 1:4) expect_match(r$value[[4L]][k], c("`x`", "items 1 to", "critical()", "ordered()")[k], fixed = TRUE)
})

test_that("100 000 tiny items are right", {
  r <- on_daemons({
    out <- pool()$map(function(i) 2 * i, 1:1e5)
    again <- pool(retries = 1)$map(function(i) -i, 1:2e4)
    answer(list(identical(unlist(out), 2 * (1:1e5)), identical(unlist(again), -(1:20000L))))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, TRUE))
})

test_that("what a function reaches is sent once to each daemon, told where it is large, and not again for the next map", {
  r <- on_daemons(c(
    "big <- rnorm(8e6)", "f <- function(i) big[i]", "fetched <- list()",
    "ns <- asNamespace('sharedmem'); load_for <- ns$load_for; unlockBinding('load_for', ns)",
    "assign('load_for', function(cl, agent) { fetched[[length(fetched) + 1L]] <<- agent$id; load_for(cl, agent) }, ns)",
    "told <- NULL",
    "tell <- function(m) { told <<- m$nbytes; invokeRestart('muffleMessage') }",
    "out <- withCallingHandlers(pool()$map(f, 1:500), sharedmem_cluster_message = tell)",
    "first <- unlist(fetched)", "suppressMessages(pool()$map(f, 1:500))",
    "answer(list(identical(unlist(out), big[1:500]), length(first), anyDuplicated(first), length(fetched), told > 6e7))"))
  expect_script_ok(r)
  expect_identical(r$value[[1L]], TRUE)
  expect_lte(r$value[[2L]], 2L)
  expect_identical(r$value[[3L]], 0L)
  expect_lte(r$value[[4L]], 2L)
  expect_true(r$value[[5L]])
})

test_that("workers of daemons collect their garbage, in one map after the other", {
  r <- on_daemons({
    p <- pool(timeout = 60)
    f <- function(i) { x <- numeric(1e6) + i; gc(); x }
    answer(vapply(1:6, function(k) identical(vapply(p$map(f, 1:4), `[`, 0, 1L), as.numeric(1:4)), NA))
  })
  expect_script_ok(r)
  expect_identical(r$value, rep(TRUE, 6))
})

test_that("what a daemon's questions leave is collected between its forks, not in a worker, where that would wait for ever", {
  r <- run_script({
    far <- nanonext::socket("rep", listen = "inproc://sharedmem-kept")
    link <- list2env(list(spec = list(id = "1", token = raw(1), lost_after = 10), cv = nanonext::cv(), contexts = list(), out = list(),
                          old = list(), old_bytes = 0, stop = FALSE, sock = nanonext::socket("req", dial = "inproc://sharedmem-kept")))
    ns <- asNamespace("sharedmem")
    ns$agent_send(link, "hello")
    freed <- FALSE
    reg.finalizer(get("aio", envir = link$out[[1L]]$aio), function(p) freed <<- TRUE)
    ctx <- nanonext::context(far)
    asked <- nanonext::recv(ctx, mode = "serial", block = 10000)
    nanonext::send(ctx, list(kind = "ack"), mode = "serial", block = 10000)
    reply <- ns$agent_await(link)
    gc()
    kept <- !freed
    link$old_bytes <- Inf
    ns$collect_old(link)
    answer(list(asked$kind, reply$kind, kept, freed))
  })
  expect_script_ok(r)
  expect_identical(r$value, list("hello", "ack", TRUE, TRUE))
})

test_that("on this machine shared arrays attach, critical excludes, and ordered keeps the order of all items", {
  r <- on_daemons({
    x <- empty(100)
    count <- full(1, 0)
    p <- pool(np = 2)
    out <- p$map(function(i) { x[i] <- i; for (k in 1:20) p$critical({ count[1] <- count[1] + 1 }); p$local$rank }, 1:100)
    m <- full(1, 0)
    order <- empty(200)
    p$map(function(i) { if (i %% 7 == 0) return(i); sum(rnorm(i %% 3 * 1e4)); p$ordered({ m[1] <- m[1] + 1; order[m[1]] <- i }) }, 1:200)
    kept <- pool(on_error = "collect")
    failed <- kept$map(function(i) kept$ordered(switch(i, 1, stop("no"), tools::pskill(Sys.getpid(), 9), 4)), 1:4)
    large <- p$map(function(i) if (i == 2) structure(rep(i, 2e5), names = NULL) else seq_len(2e5) + i, 1:4)
    made <- pool()$map(function(i) { y <- empty(3); y[] <- i; y }, 1:4)
    gc()
    answer(list(x[], count[1], order[seq_len(m[1])], lapply(made, function(y) y[]), vapply(failed, inherits, NA, "WorkerException"),
                lapply(large, function(v) list(is_shared(v), length(v), v[2e5]))))
  })
  expect_script_ok(r)
  expect_identical(r$value[[1L]], as.numeric(1:100))
  expect_identical(r$value[[2L]], 2000)
  expect_identical(r$value[[3L]], as.numeric(setdiff(1:200, 7 * 1:28)))
  expect_identical(r$value[[5L]], c(FALSE, TRUE, TRUE, FALSE))
  expect_equal(r$value[[6L]], lapply(1:4, function(i) list(FALSE, 2e5, if (i == 2) 2 else 2e5 + i)))
  expect_identical(r$value[[4L]], lapply(1:4, function(i) rep(as.numeric(i), 3)))
})

test_that("a daemon that is lost in a map with ordered sections ends it, since the others wait for its items", {
  r <- on_daemons({
    first <- mirai::mirai(Sys.getpid())[]
    p <- pool(np = 1, retries = 1)
    began <- proc.time()[[3]]
    e <- tryCatch(p$map(function(i) p$ordered({ if (i == 20) tools::pskill(first, 9); sum(rnorm(1e5)) }), 1:200), error = identity)
    took <- proc.time()[[3]] - began
    mirai::daemons(2)
    before <- mirai::status()[c("connections", "daemons")]
    answer(list(inherits(e, "WorkerException"), grepl("was lost", conditionMessage(e)), took < 20))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, TRUE, TRUE))
})

test_that("a trace has the events of all daemons with their host, and progress counts", {
  r <- on_daemons({
    p <- pool(trace = TRUE)
    p$map(function(i) { Sys.sleep(0.001); i }, 1:200)
    e <- as.data.frame(p$trace)
    s <- summary(p$trace)
    pdf(NULL)
    plot(p$trace)
    items <- e[e$kind == "item", ]
    answer(list(sort(items$item), unique(items$host) == Sys.info()[["nodename"]], min(e$start) > -0.05, max(e$end) <= s$elapsed + 0.05))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(1:200, TRUE, TRUE, TRUE))
})

test_that("an interrupt stops all daemons, which take work again", {
  r <- on_daemons({
    dir <- tempfile()
    dir.create(dir)
    p <- pool(np = 1)
    got <- tryCatch(p$map(function(i) { file.create(file.path(dir, i)); Sys.sleep(0.02); i }, 1:5000, reduce = function(i)
      if (i == 30) tools::pskill(Sys.getpid(), 2)), interrupt = function(c) "interrupted")
    n <- length(list.files(dir))
    Sys.sleep(0.5)
    answer(list(got, length(list.files(dir)) - n <= 2, unlist(p$map(function(i) i, 1:3))))
  })
  expect_script_ok(r)
  expect_identical(r$value, list("interrupted", TRUE, 1:3))
})

test_that("without daemons, with bad arguments and inside a worker, a map says so or runs", {
  r <- run_script({
    e <- tryCatch(MapReduce(backend = ClusterBackend())$map(identity, 1:2), sharedmem_cluster_error = function(e) conditionMessage(e))
    bad <- lapply(list(list(compute = 1), list(url = ""), list(export = NA_character_), list(lost_after = 1)), function(a)
      tryCatch(do.call(ClusterBackend, a), sharedmem_argument_error = function(e) e$arg))
    shown <- vapply(list(ClusterBackend(), ClusterBackend(compute = "gpu")), format, "")
    none <- unlist(MapReduce(backend = ClusterBackend(), np = 0)$map(function(i) i, 1:3))
    nested <- unlist(MapReduce(np = 2)$map(function(i) sum(unlist(MapReduce(backend = ClusterBackend)$map(function(j) j, 1:i))), 1:3))
    mirai::daemons(sync = TRUE)
    sync <- unlist(MapReduce(backend = ClusterBackend())$map(function(i) i, 1:3))
    mirai::daemons(0)
    answer(list(e, unlist(bad), none, nested, sync, shown))
  })
  expect_script_ok(r)
  expect_match(r$value[[1L]], "No daemons set")
  expect_identical(r$value[-1L], list(c("compute", "url", "export", "lost_after"), 1:3, c(1L, 3L, 6L), 1:3,
                                   c("<ClusterBackend: the daemons of mirai>", "<ClusterBackend: the daemons of mirai, profile \"gpu\">")))
})

test_that("daemons without a dispatcher, and daemons behind TLS, serve as well", {
  r <- run_script({
    mirai::daemons(2, dispatcher = FALSE)
    a <- unlist(MapReduce(backend = ClusterBackend())$map(function(i) i, 1:50))
    mirai::daemons(0)
    mirai::daemons(url = "tls+tcp://127.0.0.1:0")
    mirai::launch_local(1)
    b <- unlist(MapReduce(backend = ClusterBackend())$map(function(i) i, 1:50))
    mirai::daemons(0)
    answer(list(a, b))
  }, timeout = 90)
  expect_script_ok(r)
  expect_identical(r$value, list(1:50, 1:50))
})

test_that("a daemon that comes to a map after its end is free at once", {
  r <- run_script({
    mirai::daemons(url = "tcp://127.0.0.1:0")
    mirai::launch_local(2)
    pids <- unlist(mirai::everywhere(Sys.getpid(), .min = 2)[])
    late <- vapply(1:3, function(k) {
      tools::pskill(pids[2L], tools::SIGSTOP)
      MapReduce(backend = ClusterBackend())$map(function(i) i, 1:4)
      tools::pskill(pids[2L], tools::SIGCONT)
      end <- Sys.time() + 6 # nng alone would try for 10 seconds
      while (mirai::info()[["executing"]] > 0 && Sys.time() < end) Sys.sleep(0.02)
      mirai::info()[["executing"]]
    }, 1)
    answer(list(length(unique(pids)), late, unlist(MapReduce(backend = ClusterBackend())$map(function(i) i, 1:4))))
    mirai::daemons(0)
  }, timeout = 90)
  expect_script_ok(r)
  expect_identical(r$value, list(2L, c(0, 0, 0), 1:4))
})
