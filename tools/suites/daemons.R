# Tests of mirai and of what is built on its daemons, as published, with daemons forked by our server: whoever would start an R process
# for one has it forked instead. The versions are those installed; where one is missing its tests are skipped.
#
#   Rscript tools/suites/daemons.R mirai|purrr|tune|crew
source("tools/suites/common.R")
package <- c(commandArgs(TRUE), "mirai")[1L]
needed(package, "mirai", "nanonext", "testthat")
dir <- file.path(suites_dir, paste0(package, "-tests"))
unlink(dir, recursive = TRUE)
dir.create(dir)
tests <- file.path(source_of(package), if (package == "mirai") "tests" else "tests/testthat")
invisible(file.copy(list.files(tests, full.names = TRUE), dir, recursive = TRUE))

# In the process of the tests: code that a process of its own would be started for is run in a fork of the server.
lead <- quote({
  suppressMessages(library(sharedmem))
  server <- sharedmem:::start_server(setdiff(packages, "crew"), NULL) # crew loads nanonext
  fork <- function(code) {
    pid <- sharedmem:::start_daemon(str2lang(code), server)
    cat(pid, "\n", file = pids, append = TRUE)
    pid
  }
  place <- function(name, value, env) {
    unlockBinding(name, env)
    assign(name, value, envir = env)
  }
  place("launch_daemon", function(args) invisible(fork(args)), asNamespace("mirai"))
})
lead_crew <- quote({
  handle <- function(pid) {
    process <- tryCatch(ps::ps_handle(pid), error = function(e) NULL)
    alive <- function() !is.null(process) && ps::ps_is_running(process)
    signal <- function(signal) alive() && tools::pskill(pid, signal)
    structure(class = "process",
              list2env(list(is_alive = alive, get_pid = function() pid, kill = function() signal(9L), signal = signal)))
  }
  crew::crew_class_launcher_local$set("public", "launch_worker", overwrite = TRUE, function(call) handle(fork(call)))
})
files <- if (package == "crew") c("test-crew_controller_local.R", "test-crew_launcher_local.R", "test-crew_relay.R") else "test-parallel.R"
hash <- "the hash in the name of a factor depends on the version of rlang: fails on mirai's own daemons too"
logs <- "processx redirects what a process that it starts prints: a fork prints to the server's file"
waive <- c("joined logs" = logs, "separate logs" = logs,
           "requires output be length 1 and have common type" = hash, "can enforce .ptype" = hash)

pids <- file.path(dir, "pids")
script <- file.path(dir, "run.R")
answer <- file.path(dir, "answer.rds")
env <- c("NOT_CRAN=true", paste0("R_LIBS=", paste(.libPaths(), collapse = ":")))
forked <- function() if (file.exists(pids)) length(readLines(pids)) else 0L

# One file of tests; list(results, status, log).
run_tests <- function(file, packages) {
  unlink(answer)
  body <- if (package == "mirai") bquote(source(.(file), echo = FALSE))
          else bquote({
            library(testthat)
            library(.(as.name(package)))
            saveRDS(test_file(.(file), package = .(package), load_package = "installed", reporter = "silent",
                              stop_on_failure = FALSE),
                    .(answer))
          })
  code <- list(bquote(packages <- .(packages)), bquote(pids <- .(pids)), lead, if (package == "crew") lead_crew, body)
  writeLines(unlist(lapply(code, deparse)), script)
  ran <- run_file(script, dir, env = env, timeout = 300)
  c(ran, list(results = if (file.exists(answer)) readRDS(answer)))
}

if (package == "mirai") {
  # The file ends at the first check that fails, so each of its checks counts, and is counted by what it calls.
  ran <- run_tests("tests.R", c("stats", "utils"))
  checks <- sum(grepl("^ *(suppress[A-Za-z]*\\()?test_[a-z]+\\(", readLines(file.path(dir, "tests.R"))))
  if (identical(ran$status, 0L)) passed(checks)
  else failed("mirai: ", paste(utils::tail(ran$log, 8L), collapse = "\n"))
} else for (file in files) {
  ran <- run_tests(file, package)
  if (is.null(ran$results)) failed(package, ": ", file, ": ", paste(utils::tail(ran$log, 8L), collapse = "\n"))
  else count_testthat(ran$results, waive)
}
cat(forked(), "daemons were forked\n")
if (forked() == 0L) failed(package, ": no daemon was forked")
finish()
