# Each test runs in a session of its own: the server is one a session.

test_that("a map finds variables of the workspace, S3 methods among them, and closures", {
  value <- served({
    k <- 10
    `+.money` <- function(e1, e2) structure(class = "money", list(unclass(e1)[[1]] + unclass(e2)[[1]] + 0.5))
    twice <- function(x) 2 * half_of_four(x)
    half_of_four <- function(x) x * k
    make <- function(a) function(i) a + twice(i)
    pool <- MapReduce(ServerBackend, np = 2)
    one <- structure(class = "money", list(1))
    length.queue <- function(x) length(unclass(x)$items)
    q <- structure(list(items = 1:10), class = "queue")
    days <- as.POSIXlt(as.Date("2020-01-01") + 0:20)
    stopifnot(identical(pool$map(function(i) length(q) + length(days), 1:2), list(31L, 31L)))
    answer(list(unlist(pool$map(make(1), 1:3)),
                pool$map(function(i) unclass(one + one)[[1]], 1:2),
                unlist(pool$map(function(i, by) i * by, 1:3, by = 5)),
                unlist(pool$map(function(a, b) a - b, list(tuple(3, 1), tuple(5, 2)), star = TRUE))))
  })
  expect_identical(value, list(c(21, 41, 61), list(2.5, 2.5), c(5, 10, 15), c(2, 3)))
})

test_that("S4 classes and methods of the workspace are found", {
  value <- served({
    setClass("Money", representation(v = "numeric"))
    setMethod("+", signature("Money", "Money"), function(e1, e2) new("Money", v = e1@v + e2@v + 0.5))
    setGeneric("worth", function(x) standardGeneric("worth"))
    setMethod("worth", "Money", function(x) x@v)
    m <- new("Money", v = 1)
    answer(unlist(MapReduce(ServerBackend, np = 2)$map(function(i) worth(m + m), 1:2)))
  })
  expect_identical(value, c(2.5, 2.5))
})

test_that("a worker finds the session's state, and the same random numbers as at home", {
  value <- served({
    options(my.option = list(1, "a"), digits = 5)
    suppressWarnings(options(OutDec = ", ")) # R takes it, with a warning
    Sys.setenv(MY_VARIABLE = "here")
    Sys.unsetenv("HOME")
    setwd(tempdir())
    .libPaths(c(tempdir(), .libPaths()))
    RNGkind("Mersenne-Twister", "Box-Muller", "Rounding")
    state <- function(i) list(getOption("my.option"), getOption("digits"), format(1.5), Sys.getenv(c("MY_VARIABLE", "HOME"), NA), getwd(),
                              .libPaths(), RNGkind()[2:3], tempdir(), dirname(tempfile()), Sys.getlocale("LC_COLLATE"), Sys.umask(NA))
    Sys.umask("027")
    pool <- MapReduce(ServerBackend, np = 2)
    draw <- function(backend) { set.seed(3); MapReduce(backend, np = 2)$map(function(i) c(rnorm(2), sample(10, 2)), 1:6) }
    answer(list(pool$map(state, 1), list(state(1)), draw(ServerBackend), draw(ProcessBackend)))
  })
  expect_identical(value[[1L]], value[[2L]])
  expect_identical(value[[3L]], value[[4L]])
})

test_that("shared arrays are written in place, results are arrays of a worker's own, locks and sections exclude", {
  value <- served({
    x <- empty(4)
    big <- empty(2e5)
    n <- full(1, 0)
    named <- copy(c(a = 1.5, b = 2))
    grid <- copy(matrix(1:4, 2, dimnames = list(c("r", "s"), NULL)))
    day <- copy(as.Date("2026-11-28") + 0:1)
    pool <- MapReduce(ServerBackend, np = 2)
    about <- pool$map(function(i) switch(i, named["b"], grid["s", ], format(day[2])), 1:3)
    lock <- Lock()
    p <- full(1, 0)
    made <- pool$map(function(i) {
      x[i] <- i
      big[1e5 + i] <- i
      for (k in 1:50) { pool$critical({ n[1] <- n[1] + 1 }) }
      for (k in 1:50) lock(p[1] <- p[1] + 1)
      y <- empty(2)
      y[] <- i
      y
    }, 1:4)
    seen <- integer()
    m <- full(1, 0)
    order <- empty(6)
    invisible(pool$map(function(i) { Sys.sleep((6 - i) / 500); pool$ordered({ m[1] <- m[1] + 1; order[m[1]] <- i }) }, 1:6))
    answer(list(x[], big[1e5 + 1:4], n[1], p[1], lapply(made, function(y) y[]), order[], about))
  })
  expect_identical(value, list(c(1, 2, 3, 4), c(1, 2, 3, 4), 200, 200, lapply(1:4, function(i) c(i, i) + 0), 1:6 + 0,
                               list(c(b = 2), c(2L, 4L), "2026-11-29")))
})

test_that("an object that is not touched is not sent, and one that is large is sent once, through shared memory", {
  value <- served({
    sent <- character()
    trace("scope_value", quote(sent <<- c(sent, name)), print = FALSE, where = asNamespace("sharedmem"))
    big <- runif(1e6)
    table <- data.frame(a = runif(3e5), b = c(TRUE, NA, FALSE))
    untouched <- runif(1e6)
    r <- MapReduce(ServerBackend, np = 2)$map(function(i) {
      Sys.sleep(0.01)
      old <- big[1]
      big[1] <- i
      view <- any(grepl("shared_view", capture.output(.Internal(inspect(table$a)))))
      list(sum(big) - i + old, view, sum(table$b, na.rm = TRUE), class(table), Sys.getpid())
    }, 1:6)
    answer(list(all(abs(vapply(r, `[[`, 0, 1) - sum(big)) < 1e-6), all(vapply(r, `[[`, NA, 2)), r[[1]][[3]], r[[1]][[4]],
                sort(unique(sent)), sum(sent == "big") <= length(unique(vapply(r, `[[`, 1L, 5))), big[1] < 1))
  })
  expect_identical(value, list(TRUE, TRUE, 1e5L, "data.frame", c("big", "table"), TRUE, TRUE))
})

test_that("what cannot go is refused by its name, where it is touched", {
  value <- served({
    con <- file(tempfile(), "w")
    pointer <- asNamespace("sharedmem")$the$session$exit_guard
    grDevices::pdf(NULL)
    pool <- MapReduce(ServerBackend, np = 2, on_error = "collect")
    inside <- function() {
      link <- file(tempfile(), "w")
      on.exit(close(link))
      pool$map(function(i) if (i == 1) "fine" else writeLines("a", link), 1:2)
    }
    r <- c(pool$map(function(i) switch(i, writeLines("a", con), pointer, plot(1), "fine"), 1:4), inside())
    answer(lapply(r, function(e) if (is.character(e)) e else list(class(e$reason)[1], e$reason$name)))
  })
  refused <- function(name) list("sharedmem_refused_error", name)
  expect_identical(value, list(refused("con"), refused("pointer"), refused("device"), "fine", "fine", refused("link")))
})

test_that("active bindings and promises of the workspace are asked where they are, and an error there is told by the name", {
  value <- served({
    at <- Sys.getpid()
    makeActiveBinding("where", function() Sys.getpid(), globalenv())
    makeActiveBinding("broken", function() stop("not now"), globalenv())
    delayedAssign("later", Sys.getpid())
    r <- MapReduce(ServerBackend, np = 2, on_error = "collect")$map(function(i) switch(i, where, later, broken), 1:3)
    e <- r[[3]]$reason
    answer(list(r[[1]] == at, r[[2]] == at, class(e)[1], e$name, grepl("not now", conditionMessage(e))))
  })
  expect_identical(value, list(TRUE, TRUE, "sharedmem_refused_error", "broken", TRUE))
})

test_that("failures, deaths, retries, time limits are a map's", {
  value <- served({
    failure <- function(f, ...) tryCatch(MapReduce(ServerBackend, np = 2, ...)$map(f, 1:4), WorkerException = function(e) e)
    told <- function(e) list(e$item, e$rank %in% 0:1, conditionMessage(e$reason))
    stopped <- failure(function(i) if (i == 3) stop("bad") else i)
    killed <- failure(function(i) if (i == 3) tools::pskill(Sys.getpid(), 9) else i)
    late <- failure(function(i) if (i == 3) Sys.sleep(60) else i, timeout = 0.2)
    quit <- failure(function(i) if (i == 3) q("no") else i)
    tries <- full(1, 0)
    again <- MapReduce(ServerBackend, np = 2, retries = 2)$map(function(i) {
      if (i == 2 && atomic_add(tries, 1, 1) < 3) tools::pskill(Sys.getpid(), 9)
      i
    }, 1:4)
    kept <- MapReduce(ServerBackend, np = 2, on_error = "collect")$map(function(i) if (i == 2) stop("no") else i, 1:3)
    answer(list(told(stopped), class(stopped$reason)[1], grepl("signal 9 (SIGKILL)", conditionMessage(killed), fixed = TRUE),
                killed$item, killed$pid != Sys.getpid(), class(late$reason)[1], late$item,
                grepl("q()", conditionMessage(quit), fixed = TRUE), unlist(again), tries[1], class(kept[[2]])[1], kept[-2]))
  })
  expect_identical(value, list(list(3, TRUE, "bad"), "simpleError", TRUE, 3, TRUE, "sharedmem_timeout_error", 3, TRUE, 1:4, 3,
                               "WorkerException", list(1L, 3L)))
})

test_that("reduce, warnings, messages, output, progress and trace are the session's", {
  result <- run_script({
    pool <- MapReduce(ServerBackend, np = 2, trace = TRUE)
    total <- 0
    caught <- character()
    out <- capture.output(withCallingHandlers(
      pool$map(function(i) { cat("item", i, "\n"); warning("w", i); message("m", i); tuple(i, i^2) }, 1:3,
               reduce = function(a, b) { total <<- total + b; a }),
      warning = function(w) { caught <<- c(caught, conditionMessage(w)); invokeRestart("muffleWarning") },
      message = function(m) { caught <<- c(caught, conditionMessage(m)); invokeRestart("muffleMessage") }))
    large <- MapReduce(ServerBackend, np = 2)$map(function(i) rep(i, 1e6), 1:2)
    answer(list(total, sort(out), sort(caught), sum(summary(pool$trace)$workers$items), vapply(large, sum, 0)))
  }, grace = 5)
  value <- expect_script_ok(result)$value
  expect_identical(value[[1L]], 14)
  expect_true(all(paste("item", 1:3, "") %in% value[[2L]]))
  expect_identical(value[[3L]], c("m1\n", "m2\n", "m3\n", "w1", "w2", "w3"))
  expect_identical(value[[5L]], c(1e6, 2e6))
})

for (gui in c("RStudio", "Positron")) test_that(paste0("in a pretended ", gui, " maps run in parallel, which is said once"), {
  value <- served({
    told <- list()
    r <- withCallingHandlers(lapply(1:2, function(k) MapReduce(np = 2)$map(function(i) { Sys.sleep(0.05); c(Sys.getpid(), k) }, 1:4)),
                             sharedmem_server_message = function(m) { told <<- c(told, list(m)); invokeRestart("muffleMessage") })
    server <- fork_server()
    pids <- vapply(unlist(r, recursive = FALSE), `[`, 1, 1)
    answer(list(length(told), length(unique(pids[1:4])), any(pids %in% c(Sys.getpid(), server$pid)), vapply(r[[2]], `[`, 1, 2)))
  }, gui = gui)
  expect_identical(value, list(1L, 2L, FALSE, c(2, 2, 2, 2)))
})

for (gui in c("RStudio", "Positron")) test_that(paste0("in a pretended ", gui, " regions and clusters have processes of the server"), {
  value <- served({
    k <- 10
    `+.money` <- function(e1, e2) structure(class = "money", list(unclass(e1)[[1]] + unclass(e2)[[1]] + 0.5))
    one <- structure(class = "money", list(1))
    helper <- function(i) i * k
    lock <- Lock()
    x <- empty(4)
    big <- runif(2e5)
    hidden <- 7
    p <- Parallel(Shared(count = 0, pid = integer(2), far = 0), Reduction("+", total = c(0, 0)), Private(own = 1), num_threads = 2)
    before <- p$num_threads
    with(p, {
      p$var$pid[p$rank + 1L] <- Sys.getpid()
      p$var$own <- p$var$own + p$rank
      p$forloop(1:10, function(i) p$var$total <- p$var$total + c(helper(i), i^2))
      lock(x[p$rank + 1] <- unclass(one + one)[[1]] + p$var$own + length(big))
      p$critical(p$var$count <- p$var$count + 1)
      if (p$rank == 1) p$var$far <- get(paste0("hid", "den"))
      p$barrier()
    })
    inside <- function(step) {
      base <- 100
      q <- Parallel(Shared(n = 0L, order = numeric(6)), num_threads = 2)
      with(q, q$forloop(1:6, schedule = "dynamic", ordered = TRUE, body = function(i, ordered) {
        value <- base + i * step
        ordered({ q$var$n <- q$var$n + 1L; q$var$order[q$var$n] <- value })
      }))
      q$var$order[]
    }
    told <- list(p$var$total, p$var$count, p$var$far, x[1:2] - length(big), length(unique(p$var$pid[])), p$var$pid[1] == Sys.getpid(),
                 p$var$own, inside(2), p$num_threads == before)
    cl <- make_shared_cluster(2)
    y <- empty(4)
    invisible(parallel::clusterApply(cl, 1:4, function(i, y) y[i] <- helper(i), y))
    pids <- unlist(parallel::clusterCall(cl, Sys.getpid))
    sums <- unlist(parallel::clusterCall(cl, function(v) sum(v), big)) == sum(big)
    printed <- capture.output(parallel::clusterCall(cl, function() cat("a node\n")))
    parallel::stopCluster(cl)
    gone <- wait_until(!any(file.exists(file.path("/proc", pids))), 5)
    answer(c(told, list(y[], any(pids == Sys.getpid()), sums, unique(printed[printed == "a node"]), gone,
                        length(ls(asNamespace("sharedmem")$the$session$served)))))
  }, vars = list(wait_until = wait_until), gui = gui)
  expect_identical(value, list(c(550, 385), 2, 7, c(3.5, 4.5), 2L, TRUE, 1, 100 + 2 * (1:6), TRUE, c(10, 20, 30, 40), FALSE,
                               c(TRUE, TRUE), "a node", TRUE, 0L))
})

test_that("errors, deaths and the end of the server in a region or a cluster are named, and descriptors go back", {
  value <- served({
    first <- fork_server()
    server <- first$pid
    p <- Parallel(num_threads = 2)
    message_of <- function(expr) tryCatch(expr, WorkerException = function(e) list(class(e$reason)[1], e$rank, conditionMessage(e)))
    bad <- message_of(with(p, if (p$rank == 1) stop("bad") else p$barrier()))
    killed <- message_of(with(p, if (p$rank == 1) tools::pskill(Sys.getpid(), 9) else p$barrier()))
    fds <- function() { gc(); length(list.files("/proc/self/fd")) }
    round <- function() {
      with(p, p$barrier())
      message_of(with(p, if (p$rank == 1) stop("bad") else p$barrier()))
      cl <- make_shared_cluster(2)
      parallel::clusterCall(cl, function() 1)
      parallel::stopCluster(cl)
    }
    round()
    before <- fds()
    for (i in 1:4) round()
    left <- fds() - before
    cl <- make_shared_cluster(2)
    node <- message_of(parallel::clusterApply(cl, 1:2, function(i) if (i == 2) tools::pskill(Sys.getpid(), 9)))
    parallel::stopCluster(cl)
    ended <- message_of(with(p, { if (p$rank == 1) tools::pskill(server, 9); repeat p$barrier() }))
    second <- fork_server()$pid
    cl <- make_shared_cluster(2)
    lost <- message_of(parallel::clusterApply(cl, 1:2, function(i) { tools::pskill(second, 9); Sys.sleep(60) }))
    parallel::stopCluster(cl)
    again <- message_of(with(p, { p$barrier(); p$rank }))
    answer(list(bad[1:2], grepl("signal 9 (SIGKILL)", killed[[3]], fixed = TRUE), left, grepl("signal 9", node[[3]]), node[[2]], ended[[2]],
                second != server, is.list(lost), again))
  }, gui = "RStudio")
  expect_identical(value, list(list("simpleError", 1L), TRUE, 0L, TRUE, 1L, 1L, TRUE, TRUE, 0L))
})

test_that("a region of the server's ends by Ctrl-C, and nothing of it or of a cluster is left by a session that is killed", {
  script <- start_script({
    options(sharedmem.fork = FALSE)
    folder <- dirname(tempdir())
    note <- function(name) { file.create(file.path(folder, paste0(name, Sys.getpid()))); NULL }
    cl <- make_shared_cluster(2)
    invisible(parallel::clusterCall(cl, note, "node-"))
    p <- Parallel(num_threads = 2)
    run <- function(name) with(p, { note(paste0(name, p$rank, "-")); repeat Sys.sleep(0.05) })
    writeLines(as.character(fork_server()$pid), file.path(folder, "server"))
    tryCatch(run("first"), interrupt = function(i) file.create(file.path(folder, "interrupted")))
    run("second")
  })
  on.exit(finish_script(script))
  folder <- file.path(script$dir, "tmp")
  pid_of <- function(pattern) as.integer(sub(".*-", "", list.files(folder, pattern)))
  expect_true(wait_until(length(pid_of("^first")) == 2L, 30))
  tools::pskill(script$pid, tools::SIGINT)
  expect_true(wait_until(file.exists(file.path(folder, "interrupted")), 10))
  expect_true(wait_until(!file.exists(file.path("/proc", pid_of("^first1"))), 5))
  expect_true(wait_until(length(pid_of("^second")) == 2L, 10))
  pids <- c(as.integer(readLines(file.path(folder, "server"))), pid_of("^node"), pid_of("^second1"))
  expect_true(all(file.exists(file.path("/proc", pids))))
  tools::pskill(script$pid, tools::SIGKILL)
  expect_true(wait_until(!any(pids %in% live_pids()), 5)) # whoever reaps orphans here takes its time
})

test_that("nothing is left by a session that is killed in a map", {
  script <- start_script({
    writeLines(as.character(fork_server()$pid), file.path(dirname(tempdir()), "server"))
    MapReduce(ServerBackend, np = 2)$map(function(i) {
      file.create(file.path(dirname(tempdir()), paste0("worker-", Sys.getpid())))
      Sys.sleep(100)
    }, 1:2)
  })
  on.exit(finish_script(script))
  folder <- file.path(script$dir, "tmp")
  expect_true(wait_until(length(list.files(folder, "^worker")) == 2L, 30))
  pids <- as.integer(c(readLines(file.path(folder, "server")), sub("worker-", "", list.files(folder, "^worker"))))
  tools::pskill(script$pid, tools::SIGKILL)
  expect_true(wait_until(!any(pids %in% live_pids()), 5)) # whoever reaps orphans here takes its time
})

test_that("the server's death ends a map with a WorkerException, and the next map starts another", {
  value <- served({
    server <- fork_server()
    first <- server$pid
    murder <- function(i) { tools::pskill(first, 9); Sys.sleep(100) }
    e <- tryCatch(MapReduce(ServerBackend, np = 2)$map(murder, 1:2), error = function(e) e)
    r <- MapReduce(ServerBackend, np = 2)$map(function(i) i, 1:2)
    answer(list(class(e)[1], unlist(r), is.na(server$pid), fork_server()$pid != first))
  })
  expect_identical(value, list("WorkerException", 1:2, TRUE, TRUE))
})

test_that("maps and stop() leave neither descriptors nor processes", {
  value <- served({
    fds <- function() length(list.files("/proc/self/fd"))
    pool <- MapReduce(ServerBackend, np = 2)
    k <- runif(1e6)
    pool$map(function(i) k[i], 1:4)
    invisible(gc())
    before <- fds()
    for (j in 1:5) { pool$map(function(i) k[i], 1:4); try(pool$map(function(i) stop("a"), 1:2), silent = TRUE) }
    invisible(gc())
    after <- fds()
    server <- fork_server()
    pid <- server$pid
    server$stop()
    answer(c(after - before, file.exists(file.path("/proc", pid))))
  })
  expect_identical(value, c(0L, 0L))
})

test_that("work that an interrupt ends before its process has heard of it leaves nothing", {
  value <- served({
    options(sharedmem.fork = FALSE)
    work <- list(function() MapReduce(np = 2)$map(identity, 1:4), function() with(Parallel(num_threads = 2), 1),
                 function() background(function() 1), function() make_shared_cluster(2))
    invisible(work[[1L]]())
    fds <- function() { gc(); length(list.files("/proc/self/fd")) }
    before <- fds()
    real <- sharedmem:::describe_search
    utils::assignInNamespace("describe_search", function(...) { tools::pskill(Sys.getpid(), tools::SIGINT); Sys.sleep(10) }, "sharedmem")
    ended <- vapply(work, function(f) tryCatch({ f(); "done" }, interrupt = function(i) "interrupted"), "")
    utils::assignInNamespace("describe_search", real, "sharedmem")
    answer(list(ended, length(sharedmem:::the$session$served), fds() - before, work[[1L]]()))
  })
  expect_identical(value, list(rep("interrupted", 4), 0L, 0L, as.list(1:4)))
})

test_that("nodes of the server's end with a cluster that is garbage", {
  value <- served({
    options(sharedmem.fork = FALSE)
    cl <- make_shared_cluster(2)
    pids <- unlist(parallel::clusterCall(cl, Sys.getpid))
    rm(cl)
    gc()
    gc()
    ended <- wait_until(!any(file.exists(file.path("/proc", pids))))
    answer(list(length(pids), ended, length(sharedmem:::the$session$served)))
  }, vars = list(wait_until = wait_until))
  expect_identical(value, list(2L, TRUE, 0L))
})

test_that("packages and data of fork_server() are there, and bad arguments are named", {
  value <- served({
    server <- fork_server(packages = "splines", data = list(known = 1:3))
    r <- MapReduce(ServerBackend, np = 2)$map(function(i) list(known[i], exists("bs")), 1:2)
    shown <- sub("[0-9]+", "N", capture.output(print(server)))
    e <- tryCatch(fork_server("no.such.package"), error = function(e) e)
    arg_of <- function(expr) tryCatch(expr, error = function(e) e$arg)
    answer(list(r[[1]], class(e)[1], arg_of(fork_server(3)), arg_of(fork_server(data = list(1))), shown,
                MapReduce(ProcessBackend, np = 1)$map(function(i) tryCatch(fork_server(), error = function(e) class(e)[1]), 1)[[1]]))
  })
  expect_identical(value, list(list(1L, TRUE), "sharedmem_server_error", "packages", "data", "<fork server: process N>",
                               "sharedmem_misuse_error"))
})

test_that("what goes wrong in a process of the server before a map begins is the map's error, and the next one is served", {
  value <- served({
    lib <- file.path(tempdir(), "lib")
    source <- file.path(tempdir(), "refuses") # a package that neither depends on others nor imports any
    for (dir in c(lib, file.path(source, "R"))) dir.create(dir, recursive = TRUE)
    writeLines(c("Package: refuses", "Version: 1.0", "Title: T", "Description: D.", "License: GPL-2", "Author: A", "Maintainer: A <a@b.c>"),
               file.path(source, "DESCRIPTION"))
    file.create(file.path(source, "NAMESPACE"))
    writeLines(c(".onLoad <- function(libname, pkgname) { real <- sharedmem:::adopt_session; utils::assignInNamespace('adopt_session',",
                 "function(state) if (isTRUE(state$options$refuse)) stop('not now') else real(state), 'sharedmem') }"),
               file.path(source, "R", "load.R"))
    utils::install.packages(source, lib, repos = NULL, type = "source", quiet = TRUE)
    .libPaths(c(lib, .libPaths()))
    pid <- fork_server(packages = "refuses")$pid
    pool <- MapReduce(ServerBackend, np = 2)
    options(refuse = TRUE)
    e <- tryCatch(pool$map(identity, 1:2), error = identity)
    options(refuse = NULL)
    answer(list(class(e)[1], grepl("not now", conditionMessage(e)), unlist(pool$map(identity, 1:2)), fork_server()$pid == pid))
  })
  expect_identical(value, list("sharedmem_server_error", TRUE, 1:2, TRUE))
})

test_that("background calls, mcparallel() and mclapply() go through the server where the session cannot be forked", {
  value <- served({
    k <- 10
    table <- data.frame(a = runif(2e5), b = 1)
    step <- function(x) x * k
    far <- function(x) get("hidden")
    hidden <- 5
    set.seed(4)
    a <- background(function(n) { cat("printed\n"); step(n) + nrow(table) }, 4)
    pids <- a$pid
    printed <- capture.output(value <- a$wait())
    before <- (open <- function() length(list.files("/proc/self/fd")))()
    for (j in 1:5) background(function() 1)
    stopifnot(wait_until({ MapReduce(np = 2)$map(identity, 1:2); open() <= before }, 30)) # each map looks after those that nobody waits for
    b <- background(function() far())
    dead <- background(function() tools::pskill(Sys.getpid(), 9))
    killed <- tryCatch(dead$wait(), WorkerException = function(e) grepl("signal 9", conditionMessage(e)))
    cancelled <- background(function() Sys.sleep(100))
    cancelled$cancel()
    jobs <- mccollect(list(mcparallel(k + 1, name = "x"), mcparallel(Sys.getpid(), name = "y")))
    l <- mclapply(1:4, function(i) if (i == 2) stop("no") else i * k, mc.cores = 2)
    set.seed(9); u <- background(function() rnorm(2))$wait()
    options(sharedmem.fork = TRUE)
    set.seed(9); v <- background(function() rnorm(2))$wait()
    answer(list(value, printed, pids != Sys.getpid(), b$wait(), killed, is.null(cancelled$is_alive()), jobs$x, jobs$y != Sys.getpid(),
                vapply(l, inherits, NA, "try-error"), unlist(l[-2]), identical(u, v)))
  }, vars = list(wait_until = wait_until), gui = "RStudio")
  expect_identical(value, list(40 + 2e5, "printed", TRUE, 5, TRUE, FALSE, 11, TRUE, c(FALSE, TRUE, FALSE, FALSE), c(10, 30, 40), TRUE))
})

test_that("a background process does not wait for the session where its function mentions what it needs", {
  value <- served({
    k <- runif(3e5)
    inner <- local({ by <- 2; function(i) by * k[i] })
    asked <- local({ makeActiveBinding("here", function() Sys.getpid(), environment()); function() here })
    flag <- full(1, 0); partly <- (function(a, b) function(i) if (i < 0) b else i + a)(1) # an argument that is missing there
    b <- background(function() { flag[1] <- inner(1) + 1; asked() })
    wait_until(flag[1] != 0, 20)
    at <- b$wait()
    answer(c(flag[1] == 2 * k[1] + 1, at != Sys.getpid(), background(partly, 3)$wait() == 4))
  }, vars = list(wait_until = wait_until), gui = "RStudio")
  expect_identical(value, c(TRUE, TRUE, TRUE))
})

test_that("futures run in processes of the server", {
  skip_if_not_installed("future", "1.40.0")
  value <- served({
    suppressPackageStartupMessages(library(future))
    plan(sharedmem::sharedmem, workers = 2)
    k <- 3
    f <- lapply(1:3, function(i) future(c(i * k, Sys.getpid())))
    r <- lapply(f, value)
    e <- tryCatch(value(future(tools::pskill(Sys.getpid(), 9))), error = function(e) class(e))
    plan(sequential)
    answer(list(vapply(r, `[`, 1, 1), any(vapply(r, `[`, 1, 2) == Sys.getpid()), "FutureInterruptError" %in% e))
  }, gui = "RStudio")
  expect_identical(value, list(c(3, 6, 9), FALSE, TRUE))
})

test_that("background processes of the server that nobody waits for leave no descriptor open", {
  out <- served({
    options(sharedmem.fork = FALSE)
    MapReduce(np = 2)$map(identity, 1:3)
    count <- function() length(list.files("/proc/self/fd"))
    many <- vapply(1:5, function(k) {
      pid <- background(function() NULL)$pid
      wait_until(!tools::pskill(pid, 0) || !pid %in% live_pids())
      background(function() k)$wait()
      count()
    }, 0L)
    answer(many[5] - many[1])
  }, vars = list(wait_until = wait_until, live_pids = live_pids, live_processes = live_processes,
              process_table = process_table))
  expect_lte(out, 0L)
})
