#' Run a function in a background process
#'
#' Runs `func(...)` in a forked process and returns at once.
#'
#' The process sees everything as it was at the call; what it assigns is its own, except in shared arrays. It
#' ends with its function, with `cancel()`, or with the R session. One that is never waited for
#' is reaped after it has ended, by the next map or background call. Where the session cannot be forked, the process is one of the
#' session's [fork_server()]. In debug mode the function runs at once in the calling process.
#'
#' It leaves the session's random numbers as they are. Its own depend on [set.seed()] and on how many background calls were started
#' since the session's generator last moved.
#'
#' @section Differences from Python:
#' `wait()` takes a timeout, may be called again, and the object has `is_alive()`, `pid` and `cancel()`.
#'
#' @param func Function: the first argument without a name, unless it is given by its whole name.
#' @param ... Its arguments, whatever their names, evaluated in the session.
#' @return An object of class `sharedmem_background` (an environment) with
#'   - `wait(timeout = Inf)`: the value of `func(...)`, or a [WorkerException] if it failed, died or was cancelled;
#'     after `timeout` seconds an error of class `sharedmem_timeout_error`, and the process goes on. Called again it gives the same again.
#'   - `is_alive()`: `TRUE` while the process runs.
#'   - `pid`: integer.
#'   - `cancel()`: ends the process.
#'
#'   A copy of the object, sent to another process or saved, and the object in a worker know what was known of the process; of one that
#'   ran, these methods are errors of class `sharedmem_misuse_error` there.
#' @source `sharedmem.background` of the Python package.
#' @seealso [MapReduce()]
#' @examples
#' bg <- background(function(n) sum(seq_len(n)), 100)
#' bg$wait()
#' @export
background <- function(..., func) {
  # R matches names behind `...` whole, and those of start_background() are the beginning of nobody's
  if (missing(func)) start_background(...) else start_background(`<func>` = func, ...)
}

start_background <- function(`<func>`, ...) {
  if (missing(`<func>`)) abort_argument("func", "missing", "a function")
  func <- `<func>`
  if (!is.function(func))
    abort_argument("func", describe_value(func), "a function",
                   advice = advice_for_function(func, "an expression runs as background(function() ...)"))
  list(...)
  sweep_background()
  bg <- new.env(parent = emptyenv())
  bg$state <- "running"
  bg$started <- Sys.time()
  bg$ended <- NULL
  bg$map <- bg$served <- NULL
  bg$value <- bg$error <- NULL
  bg$pid <- Sys.getpid()
  bg$is_alive <- function() background_alive(bg)
  bg$wait <- function(timeout = Inf) background_wait(bg, timeout)
  bg$cancel <- function() background_cancel(bg)
  class(bg) <- "sharedmem_background"
  server <- if (!get_debug() && !fork_is_safe()) server_instead()
  if (!is.null(server)) return(served_background(server, bg, func, list(...)))
  if (get_debug() || !fork_is_safe()) {
    bg$value <- with_stream(map_seed("background"), func(...))
    background_settle(bg, "done")
    return(bg)
  }
  map <- .Call(ffi_map_new, 1L, 1, NULL, NA_integer_, Inf, constants$output[["spool"]])
  setup <- worker_plan(max(1, the$worker$budget - 1), FALSE, map_seed("background"))
  main <- function(rank) {
    worker_setup(setup)
    worker_loop(function(item) func(...), list(NULL), FALSE)
  }
  collect_garbage_before_fork()
  .Call(ffi_map_spawn, map, main, worker_jumped)
  background_runs(bg, map)
}

background_runs <- function(bg, map) {
  bg$map <- map
  bg$pid <- .Call(ffi_map_pids, map)
  the$session$background <- c(the$session$background, list(bg))
  bg
}

# The same in a process of the fork server. The session does not wait meanwhile, so what func mentions goes with it.
served_background <- function(server, bg, func, more) {
  map <- .Call(ffi_map_new, 1L, 1, NULL, NA_integer_, Inf, constants$output[["spool"]])
  ok <- FALSE
  bg$served <- new_served()
  on.exit(if (!ok) {
    .Call(ffi_map_end, map)
    end_served(bg$served)
  })
  .Call(ffi_map_share, map)
  told <- list(kind = "background", func = func, more = more, collect = FALSE, seed = map_seed("background"),
               budget = max(1, the$worker$budget - 1), threads = 1L, output = constants$output[["spool"]])
  serve_map(bg$served, server, map, told, 1L, 1, NULL)
  .Call(ffi_map_spawn_served, map)
  ok <- TRUE
  background_runs(bg, map)
}

# The state is final: the process is gone, its descriptors are closed.
background_settle <- function(bg, state) {
  bg$state <- state
  bg$ended <- Sys.time()
  if (!is.null(bg$map)) .Call(ffi_map_end, bg$map)
  bg$map <- NULL
  if (!is.null(bg$served)) end_served(bg$served)
  the$session$background <- Filter(function(other) !identical(other, bg), the$session$background)
}

# Ended processes are reaped; their results stay readable. What runs is kept from the collector. A process of the fork server has lines to
# the session, which are closed once its result has been read.
sweep_background <- function() {
  for (bg in the$session$background) if (!is.null(bg$served) && started_here(bg)) background_alive(bg)
  runs <- function(bg) !is.null(bg$map) && (.Call(ffi_map_alive, bg$map) || !is.null(bg$served) && started_here(bg))
  the$session$background <- Filter(runs, the$session$background)
}

# What has come is read, so that a process that tells much does not wait for a reader who only looks.
background_alive <- function(bg) bg$state == "running" && !background_drive(bg, 0)

# Reads until the process has ended or the time is up. TRUE once the state is final.
background_drive <- function(bg, timeout) {
  if (bg$state != "running") return(TRUE)
  check_started_here(bg)
  end <- .Call(ffi_map_drive, bg$map, NULL, map_events(FALSE), timeout, TRUE)
  if (end$state == "timeout") return(FALSE)
  # StopProcessGroup() has no other items to end here: it is an error as any
  switch(end$state, failed = bg$error <- end$failure,
         stopped = bg$error <- WorkerException(StopProcessGroup(), item = NA_integer_, rank = 0L, pid = bg$pid),
         bg$value <- .Call(ffi_map_results, bg$map)[[1L]])
  background_settle(bg, if (end$state == "done") "done" else "failed")
  TRUE
}

background_wait <- function(bg, timeout) {
  if (!is.numeric(timeout) || length(timeout) != 1L || is.na(timeout))
    abort_argument("timeout", describe_value(timeout), "a number of seconds")
  if (!background_drive(bg, timeout))
    abort_class("sharedmem_timeout_error", sprintf("process %d still runs after %s seconds", bg$pid, format(timeout)),
                timeout = timeout, pid = bg$pid)
  if (!is.null(bg$error)) raise_failure(bg$error)
  bg$value
}

started_here <- function(bg) .Call(ffi_map_mine, bg$map)

check_started_here <- function(bg) {
  if (!started_here(bg))
    abort_class("sharedmem_misuse_error", paste("background process", bg$pid, "was started by another process, which alone can wait for it",
                                                "or cancel it: a worker hands over bg$wait(), not bg"))
}

background_cancel <- function(bg) {
  if (bg$state == "running") {
    check_started_here(bg)
    text <- sprintf("process %d was cancelled", bg$pid)
    bg$error <- WorkerException(simpleError(text), item = NA_integer_, rank = 0L, pid = bg$pid, message = text)
    background_settle(bg, "cancelled")
  }
  invisible(bg)
}

#' @export
print.sharedmem_background <- function(x, ...) {
  state <- if (x$state != "running") x$state
           else if (!started_here(x)) "started by another process"
           else if (!x$is_alive()) "ended, not waited for"
           else "running"
  until <- if (is.null(x$ended)) Sys.time() else x$ended
  cat(sprintf("<background process %d: %s, %.1f s>\n", x$pid, state, as.numeric(difftime(until, x$started, units = "secs"))))
  invisible(x)
}
