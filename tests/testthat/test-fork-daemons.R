test_that("bad arguments are named, and daemons have to be set", {
  expect_error(fork_daemons(0), class = "sharedmem_argument_error")
  expect_error(fork_daemons(1, url = 3), class = "sharedmem_argument_error")
  expect_error(fork_daemons(1, packages = 3), class = "sharedmem_argument_error")
  expect_error(fork_daemons(1, data = list(1)), class = "sharedmem_argument_error")
  skip_if_not(nzchar(system.file(package = "mirai")), "mirai is not installed")
  r <- run_script({ answer(tryCatch(fork_daemons(1), error = class)) })
  expect_true("sharedmem_server_error" %in% expect_script_ok(r)$value)
})

test_that("forked daemons share data and packages, work for mirai, write shared arrays, and are gone afterwards", {
  skip_if_not(nzchar(system.file(package = "mirai")), "mirai is not installed")
  r <- run_script({
    mirai::daemons(url = mirai::local_url())
    before <- mirai::status()$daemons
    big <- runif(1e6)
    d <- fork_daemons(2, packages = "splines", data = list(big = big))
    x <- empty(8)
    seen <- empty(8)
    m <- mirai::mirai_map(1:8, function(i, x, seen, wait_until) {
      seen[i] <- Sys.getpid()
      wait_until(length(setdiff(seen[], 0)) >= 2L, 20) # both have got work
      x[i] <- i
      list(Sys.getpid(), sum(get("big", globalenv())), "package:splines" %in% search())
    }, .args = list(x = x, seen = seen, wait_until = wait_until))[]
    after <- mirai::status()
    bad <- mirai::mirai(stop("no"))[]
    pids <- d$pids
    server <- d$server$pid
    shown <- capture.output(same <- identical(print(d), d)) == sprintf("<2 daemons, forked from process %d, at %s>", server, d$url)
    d$stop()
    gone <- function() !any(file.exists(file.path("/proc", c(pids, server))))
    wait_until(gone())
    mirai::daemons(0)
    answer(list(setequal(vapply(m, `[[`, 1L, 1), pids), all(vapply(m, `[[`, 0, 2) == sum(big)), all(vapply(m, `[[`, NA, 3)), x[],
                identical(before, after$daemons), after$connections, mirai::is_mirai_error(bad), gone(), is.na(d$server$pid),
                c(shown, same)))
  }, vars = list(wait_until = wait_until), grace = 5)
  expect_identical(expect_script_ok(r)$value, list(TRUE, TRUE, TRUE, 1:8 + 0, TRUE, 2L, TRUE, TRUE, TRUE, c(TRUE, TRUE)))
})

test_that("forked daemons serve an address that is given, without a dispatcher too, and daemons(0) or quit() ends them", {
  skip_if_not(nzchar(system.file(package = "mirai")), "mirai is not installed")
  r <- run_script({
    mirai::daemons(url = mirai::local_url(), dispatcher = FALSE)
    d <- fork_daemons(1)
    first <- mirai::mirai(Sys.getpid())[] == d$pids
    mirai::daemons(0)
    left <- !wait_until(!file.exists(file.path("/proc", d$pids)))
    d$stop()
    marker <- tempfile()
    file.create(marker)
    mirai::daemons(url = mirai::local_url())
    d <- fork_daemons(1)
    mirai::mirai(quit("no"))[]
    quitted <- wait_until(!d$pids %in% live_pids()) && file.exists(marker)
    mirai::daemons(0)
    d$stop()
    url <- mirai::local_url()
    mirai::daemons(url = url)
    e <- fork_daemons(1, url = url)
    two <- mirai::mirai(Sys.getpid())[]
    mirai::daemons(0)
    answer(c(first, left, two == e$pids, e$url == url, quitted))
  }, vars = list(wait_until = wait_until, live_pids = live_pids, live_processes = live_processes, process_table = process_table),
  grace = 5)
  expect_identical(expect_script_ok(r)$value, c(TRUE, FALSE, TRUE, TRUE, TRUE))
})

test_that("a package that loads nanonext is not loaded before the fork, and one that is asked for is refused by name", {
  skip_if_not(nzchar(system.file(package = "mirai")), "mirai is not installed")
  r <- run_script({
    lib <- file.path(tempdir(), "lib")
    source <- file.path(tempdir(), "needsit")
    dir.create(lib)
    dir.create(source)
    writeLines(c("Package: needsit", "Version: 1.0", "Title: T", "Description: D.", "License: GPL-2", "Author: A", "Maintainer: A <a@b.c>",
                 "Imports: mirai"), file.path(source, "DESCRIPTION"))
    writeLines("import(mirai)", file.path(source, "NAMESPACE"))
    utils::install.packages(source, lib, repos = NULL, type = "source", quiet = TRUE)
    .libPaths(c(lib, .libPaths()))
    attachNamespace("needsit")
    mirai::daemons(url = mirai::local_url())
    d <- fork_daemons(1)
    value <- mirai::mirai(1 + 1, .timeout = 10000)[]
    d$stop()
    e <- tryCatch(fork_daemons(1, packages = "needsit"), error = identity)
    mirai::daemons(0)
    answer(list(as.numeric(value), class(e)[1], grepl("needsit: it loads nanonext", conditionMessage(e))))
  }, grace = 5)
  expect_identical(expect_script_ok(r)$value, list(2, "sharedmem_server_error", TRUE))
})

test_that("nothing is left of forked daemons whose session is killed", {
  skip_if_not(nzchar(system.file(package = "mirai")), "mirai is not installed")
  script <- start_script({
    mirai::daemons(url = mirai::local_url())
    d <- fork_daemons(2)
    invisible(mirai::mirai_map(1:2, function(i) Sys.getpid())[])
    file <- file.path(dirname(tempdir()), "pids")
    writeLines(as.character(c(d$server$pid, d$pids)), paste0(file, ".new"))
    file.rename(paste0(file, ".new"), file)
    Sys.sleep(100)
  })
  on.exit(finish_script(script))
  file <- file.path(script$dir, "tmp", "pids")
  expect_true(wait_until(file.exists(file), 30))
  pids <- as.integer(readLines(file))
  tools::pskill(script$pid, tools::SIGKILL)
  expect_true(wait_until(!any(pids %in% live_pids()), 5)) # whoever reaps orphans here takes its time
})
