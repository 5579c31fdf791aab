# R code in a process of its own, under a time limit that holds whatever the code does.
#
# start_script() writes the code to a directory and starts `sh run.sh` as leader of a new process
# group; run.sh runs Rscript and writes its exit status. A watchdog in a group of its own kills the
# whole group with SIGKILL when the time is up, also when the process that started it is gone.
# A shell starts what runs in its background with SIGINT ignored and cannot undo that itself, and R obeys it from version
# 4.6 on; so perl gives SIGINT its default action back.

# Runs `code` (braces, quoted braces, or lines of R source) in a fresh Rscript that has the package attached.
# `vars`: a named list of values the code finds as variables. In the code `answer(x)` hands `x` back.
# `env`: named character vector of environment variables. `grace`: seconds that processes of the
# group may live on after the script before they count as left behind; none after a script that ended by itself, which
# waits for what it forked, and ten after one that a signal ended, which could not.
# Gives a list: status (exit code, NA if a signal or the limit ended it), signal (number, or NA),
# stdout, stderr (lines), value (from answer()), elapsed (s), timed_out, left (pids that outlived
# it), files (what it left in the directory that is its TMPDIR).
run_script <- function(code, timeout = 60, env = character(), vars = list(), grace = NULL,
                       package = TRUE) {
  source <- script_source(substitute(code), parent.frame())
  finish_script(start_source(source, timeout, env, vars, package), grace)
}

# The same without waiting: a handle with `pid` (of the R process), `pgid` and `dir`.
start_script <- function(code, timeout = 60, env = character(), vars = list(), package = TRUE) {
  source <- script_source(substitute(code), parent.frame())
  start_source(source, timeout, env, vars, package)
}

script_source <- function(expr, frame) {
  braces <- function(x) is.call(x) && identical(x[[1L]], as.name("{"))
  source <- if (braces(expr)) expr else eval(expr, frame)
  if (braces(source))
    source <- unlist(lapply(as.list(source)[-1L], deparse, control = c("keepNA", "keepInteger", "digits17")))
  stopifnot(is.character(source))
  source
}

library_of_package <- function() {
  path <- getNamespaceInfo("sharedmem", "path")
  if (file.exists(file.path(path, "Meta", "package.rds"))) dirname(path)
}

start_source <- function(source, timeout, env, vars, package) {
  dir <- tempfile("script")
  dir.create(dir)
  dir.create(file.path(dir, "tmp"))
  at <- function(name) file.path(dir, name)
  saveRDS(vars, at("vars.rds"))
  writeLines(c(
    sprintf("invisible(list2env(readRDS(%s), globalenv()))", deparse(at("vars.rds"))),
    sprintf("answer <- function(x) saveRDS(x, %s)", deparse(at("value.rds"))),
    if (package) "suppressPackageStartupMessages(library(sharedmem))",
    sprintf("writeLines(as.character(Sys.getpid()), %s)", deparse(at("pid.tmp"))),
    sprintf("invisible(file.rename(%s, %s))", deparse(at("pid.tmp")), deparse(at("pid"))),
    source), at("code.R"))
  env <- c(env, R_TESTS = "", TMPDIR = at("tmp"), R_LIBS = paste(unique(c(library_of_package(), .libPaths())), collapse = ":"))
  group <- if (nzchar(Sys.which("setsid"))) "setsid" else "perl -e 'setpgrp(0, 0); exec @ARGV' --"
  writeLines(c(
    "trap : INT TERM HUP",
    sprintf("cd %s || exit", shQuote(dir)),
    "echo $$ >pgid.tmp; mv pgid.tmp pgid",
    sprintf("%s sh -c \"sleep %d; : >late; kill -s KILL -- -$$\" </dev/null >/dev/null 2>&1 &",
            group, as.integer(ceiling(timeout))),
    "watchdog=$!; echo $watchdog >watchdog.tmp; mv watchdog.tmp watchdog",
    sprintf("cd %s", shQuote(getwd())),
    sprintf("env %s %s --no-save --no-restore --no-site-file --no-init-file %s </dev/null >%s 2>%s",
            paste0(names(env), "=", shQuote(env), collapse = " "),
            shQuote(file.path(R.home("bin"), "Rscript")),
            shQuote(at("code.R")), shQuote(at("stdout")), shQuote(at("stderr"))),
    "status=$?",
    "kill -s KILL -- -$watchdog",
    sprintf("cd %s || exit", shQuote(dir)),
    "echo $status >status.tmp; mv status.tmp status"), at("run.sh"))
  handle <- new.env()
  handle$dir <- dir
  handle$timeout <- timeout
  handle$start <- proc.time()[["elapsed"]]
  system(sprintf("%s perl -e '$SIG{INT} = \"DEFAULT\"; exec @ARGV' -- sh %s </dev/null >/dev/null 2>&1", group,
                 shQuote(at("run.sh"))), wait = FALSE)
  wait_until(file.exists(at("pgid")), 30)
  handle$pgid <- as.integer(readLines(at("pgid")))
  makeActiveBinding("pid", function() script_pid(handle), handle)
  handle
}

# Waits until the script's R is up; NA if it ended before.
script_pid <- function(handle) {
  at <- function(name) file.path(handle$dir, name)
  wait_until(file.exists(at("pid")) || script_ended(handle), handle$timeout)
  if (file.exists(at("pid"))) as.integer(readLines(at("pid"))) else NA_integer_
}

script_ended <- function(handle) any(file.exists(file.path(handle$dir, c("status", "late"))))

# Waits for a script, ends what is left of its group, and gives the list described at run_script().
finish_script <- function(handle, grace = NULL) {
  at <- function(name) file.path(handle$dir, name)
  lines <- function(name) if (file.exists(at(name))) readLines(at(name), warn = FALSE) else character()
  on.exit({
    system(sprintf("kill -s KILL -- -%d", handle$pgid), ignore.stderr = TRUE)
    tools::pskill(group_members(handle$pgid), tools::SIGKILL)
    unlink(handle$dir, recursive = TRUE)
  })
  wait_until(script_ended(handle), handle$timeout + 10)
  elapsed <- proc.time()[["elapsed"]] - handle$start
  timed_out <- !file.exists(at("status"))
  # run.sh and the mv by which it tells the status are still there for a moment
  if (!timed_out) wait_until(!handle$pgid %in% live_pids(), 5)
  status <- if (timed_out) NA_integer_ else as.integer(lines("status"))
  signal <- if (!is.na(status) && status > 128L) status - 128L else NA_integer_
  if (is.null(grace)) grace <- if (is.na(signal)) 0 else 10
  if (!timed_out && grace > 0) wait_until(length(group_members(handle$pgid)) == 0L, grace)
  list(status = if (is.na(signal)) status else NA_integer_, signal = signal,
       stdout = lines("stdout"), stderr = lines("stderr"),
       value = if (file.exists(at("value.rds"))) readRDS(at("value.rds")),
       elapsed = elapsed, timed_out = timed_out,
       left = if (timed_out) integer() else group_members(handle$pgid),
       files = list.files(at("tmp")))
}

# Fails with the script's own output unless it ended with status 0 in time and left nothing behind.
expect_script_ok <- function(result) {
  testthat::expect(
    !result$timed_out && identical(result$status, 0L) && length(result$left) == 0L,
    paste0(c(sprintf("script: status %s, signal %s, %.1f s%s, %d process(es) left", result$status,
                     result$signal, result$elapsed, if (result$timed_out) ", timed out" else "",
                     length(result$left)), result$stdout, result$stderr), collapse = "\n"))
  invisible(result)
}

# Does memory lie in memory files, which nobody can cut off? Not where SM_NO_MEMFD leaves them out.
memory_is_sealed <- function() {
  x <- empty(1e5)
  links <- suppressWarnings(Sys.readlink(list.files("/proc/self/fd", full.names = TRUE)))
  any(startsWith(links[!is.na(links)], "/memfd:sharedmem"))
}

# For tests of what a sanitizer's run-time changes: signals that reach R, descriptors and memory it may use.
skip_under_sanitizer <- function()
  testthat::skip_if(grepl("san", Sys.getenv("LD_PRELOAD")), "under a sanitizer")

# Evaluates `cond` again and again until it is TRUE; FALSE if it is not within `timeout` seconds.
wait_until <- function(cond, timeout = 10) {
  expr <- substitute(cond)
  frame <- parent.frame()
  end <- proc.time()[["elapsed"]] + timeout
  repeat {
    if (isTRUE(eval(expr, frame))) return(TRUE)
    if (proc.time()[["elapsed"]] > end) return(FALSE)
    Sys.sleep(0.005)
  }
}

# Two processors, whatever the machine has and the environment says, until `frame` ends.
local_np <- function(np = 2, frame = parent.frame()) {
  old <- Sys.getenv("OMP_NUM_THREADS", NA)
  Sys.setenv(OMP_NUM_THREADS = np)
  restore <- if (is.na(old)) quote(Sys.unsetenv("OMP_NUM_THREADS"))
             else substitute(Sys.setenv(OMP_NUM_THREADS = old), list(old = old))
  do.call(on.exit, list(restore, add = TRUE), envir = frame)
}

# Code for a session of its own, whose work goes by the fork server; gui: in a pretended RStudio or Positron.
pretend <- function(gui)
  c("invisible(unlockBinding('.Platform', baseenv()))",
    sprintf("local({ p <- .Platform; p$GUI <- '%s'; assign('.Platform', p, baseenv()) })", gui))

served <- function(code, ..., gui = NULL) {
  source <- script_source(substitute(code), parent.frame())
  expect_script_ok(run_script(c(if (!is.null(gui)) pretend(gui), "Sys.setenv(OMP_NUM_THREADS = '2')", source), ..., grace = 5))$value
}
