#' Evaluate an expression in a process of its own
#'
#' `mcparallel()` starts a process that evaluates an expression and returns at once; `mccollect()` gives the results of such
#' processes. They take the arguments of parallel's functions of the same names and give their results.
#'
#' A job that fails gives a `try-error`, one whose process died too: the condition behind it is the [WorkerException] that names
#' the signal (parallel gives `NULL`). Jobs that are not collected are reaped when they have ended, and end with the session.
#'
#' @param expr Expression to evaluate. Where that gives a call or an expression, this is evaluated in turn, as parallel does it.
#' @param name `NULL`, or a string: the name of its result, where it is collected in a list of jobs. Else that is the process id.
#' @param mc.set.seed `TRUE`: random numbers of its own, which depend on `set.seed()` and on how many jobs were started since.
#'   `FALSE`: it begins with the session's generator.
#' @param silent `TRUE` drops what it prints to its standard output.
#' @param mc.affinity `NULL`, or the processors on which it may run, as in [parallel::mcaffinity()].
#' @param mc.interactive Accepted and without effect: a job is never interactive.
#' @param detached `TRUE`: nobody waits for its result.
#' @param jobs A job, a list of jobs, or process ids; all jobs that have not been collected where it is missing.
#' @param wait `TRUE` waits for all of them; `FALSE` gives what has come after at most `timeout` seconds.
#' @param timeout Seconds, used where `wait` is `FALSE`; a negative number waits for the first result.
#' @param intermediate `FALSE`, `TRUE` (prints by [str()]), or a function that is called with the results so far whenever one has come.
#' @return `mcparallel()`: an object of classes `sharedmem_job`, `parallelJob` and `childProcess` with the fields `pid` and `name`.
#'   `mccollect()`: a named list of results;
#'   `NULL` where there is none. A result is given once: a job that was collected before, or is none, gives `NULL` and counts in the
#'   warning.
#' @source `mcparallel()` and `mccollect()` of R's package parallel.
#' @seealso [background()], [mclapply()]
#' @examples
#' a <- mcparallel(sum(1:10), name = "a")
#' b <- mcparallel(rev(1:3), name = "b")
#' mccollect(list(a, b))
#' @export
mcparallel <- function(expr, name, mc.set.seed = TRUE, silent = FALSE, mc.affinity = NULL, mc.interactive = FALSE,
                       detached = FALSE) {
  name <- if (!missing(name) && length(name)) as.character(name)[1L]
  check_flag(mc.set.seed, "mc.set.seed")
  check_flag(silent, "silent")
  seed <- if (!mc.set.seed) get0(".Random.seed", envir = globalenv(), inherits = FALSE)
  env <- parent.frame()
  each <- function() {
    if (!is.null(seed)) assign(".Random.seed", seed, envir = globalenv())
    if (!is.null(mc.affinity)) parallel::mcaffinity(mc.affinity)
    eval(expr, env) # as parallel does it: what `expr` gives is evaluated if it is a call
  }
  bg <- background(if (silent) silenced(each) else each)
  job <- structure(class = c("sharedmem_job", "parallelJob", "childProcess", "process"), list(pid = bg$pid, name = name, background = bg))
  if (detached) return(invisible(job))
  the$session$jobs[[as.character(bg$pid)]] <- job
  job
}

#' @export
print.sharedmem_job <- function(x, ...) {
  cat(sprintf("<job %s: process %d, %s>\n", if (is.null(x$name)) "" else encodeString(x$name, quote = "\""), x$pid,
              if (x$background$is_alive()) "running" else "ended"))
  invisible(x)
}

#' @rdname mcparallel
#' @export
mccollect <- function(jobs, wait = TRUE, timeout = 0, intermediate = FALSE) {
  check_flag(wait, "wait")
  # as parallel does it, a job's name is that of its result only where it stands in a list
  named <- !missing(jobs) && is.list(jobs) && !inherits(jobs, "sharedmem_job")
  jobs <- if (missing(jobs)) the$session$jobs else as_jobs(jobs)
  if (!length(jobs)) return(NULL)
  tell <- if (is.function(intermediate)) intermediate else if (isTRUE(intermediate)) utils::str
  names <- vapply(unname(jobs), function(job) if (named && !is.null(job$name)) job$name else as.character(job$pid), "")
  out <- structure(vector("list", length(jobs)), names = names)
  gone <- !vapply(jobs, to_be_collected, NA)
  left <- which(!gone)
  come <- integer()
  end <- Sys.time() + if (wait || timeout < 0) Inf else timeout
  while (length(left)) {
    ready <- left[!vapply(jobs[left], function(job) job$background$is_alive(), NA)]
    for (i in ready) out[i] <- list(job_value(jobs[[i]]))
    come <- c(come, ready)
    left <- setdiff(left, ready)
    if (length(ready) && !is.null(tell)) tell(out)
    if (Sys.time() >= end || (!wait && length(come))) break
    slice <- min(0.05, max(0, as.numeric(difftime(end, Sys.time(), units = "secs"))))
    if (length(left)) tryCatch(jobs[[left[1L]]]$background$wait(slice), sharedmem_timeout_error = function(e) NULL,
                               WorkerException = function(e) NULL)
  }
  collected <- vapply(jobs[come], function(job) as.character(job$pid), "")
  the$session$jobs <- the$session$jobs[setdiff(names(the$session$jobs), collected)]
  warn_lost_jobs(out[come], if (wait) names[gone])
  if (wait) out else if (length(come)) out[sort(come)] else NULL
}

# values: what has been collected; gone: names of jobs that there are not, or no longer.
warn_lost_jobs <- function(values, gone) {
  lost <- Filter(function(value) inherits(value, "try-error") && inherits(attr(value, "condition"), "WorkerException"), values)
  n <- length(lost) + length(gone)
  if (n) warn_class("sharedmem_lost_warning", sprintf(ngettext(n, "%d parallel job did not deliver a result: %s",
                                                               "%d parallel jobs did not deliver a result; the first: %s"),
    n, if (length(lost)) conditionMessage(attr(lost[[1L]], "condition")) else paste(gone[1L], "is no job, or was collected before")))
}

# A result is given once.
to_be_collected <- function(job) !is.null(job$background) && !identical(job$background$collected, TRUE)

job_value <- function(job) {
  on.exit(job$background$collected <- TRUE)
  tryCatch(job$background$wait(), WorkerException = as_try_error)
}

# A job, jobs, or process ids of jobs, as a list of jobs.
as_jobs <- function(jobs) {
  if (inherits(jobs, "sharedmem_job")) return(list(jobs))
  if (is.numeric(jobs)) jobs <- lapply(jobs, function(pid) {
    job <- the$session$jobs[[as.character(pid)]]
    if (is.null(job)) structure(class = "sharedmem_job", list(pid = as.integer(pid))) else job
  })
  if (!is.list(jobs) || !all(vapply(jobs, inherits, NA, "sharedmem_job")))
    abort_argument("jobs", describe_value(jobs), "what mcparallel() gave, a list of that, or process ids of such jobs")
  jobs
}
