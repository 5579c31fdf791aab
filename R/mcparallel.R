#' Evaluate an expression in a process of its own
#'
#' `mcparallel()` starts a process that evaluates an expression and returns at once; `mccollect()` gives the results of such
#' processes. They take the arguments of parallel's functions of the same names and give their results.
#'
#' A job that fails gives a `try-error`, one whose process died too: the condition behind it is the [WorkerException] that names
#' the signal (parallel gives `NULL`). Jobs that are not collected are reaped when they have ended, and end with the session.
#'
#' @param expr Expression to evaluate.
#' @param name `NULL`, or a string: the name of its result. Without it that is the process id.
#' @param mc.set.seed `TRUE`: random numbers of its own, which depend on `set.seed()` and on how many jobs were started since.
#'   `FALSE`: it begins with the session's generator.
#' @param silent `TRUE` drops what it prints to its standard output.
#' @param mc.affinity `NULL`, or the processors on which it may run, as in [parallel::mcaffinity()].
#' @param mc.interactive Accepted and without effect: a job is never interactive.
#' @param detached `TRUE`: nobody waits for its result.
#' @param jobs A job, a list of jobs, or process ids; all jobs that have not been collected where it is missing.
#' @param wait `TRUE` waits for all of them; `FALSE` gives what has come after at most `timeout` seconds.
#' @param timeout Seconds; used where `wait` is `FALSE`.
#' @param intermediate `FALSE`, `TRUE` (prints), or a function that is called with the results so far whenever one has come.
#' @return `mcparallel()`: an object of class `sharedmem_job` with the fields `pid` and `name`. `mccollect()`: a named list of results;
#'   `NULL` where there is none.
#' @source `mcparallel()` and `mccollect()` of R's package parallel.
#' @seealso [background()], [mclapply()]
#' @examples
#' a <- mcparallel(sum(1:10), name = "a")
#' b <- mcparallel(rev(1:3), name = "b")
#' mccollect(list(a, b))
#' @export
mcparallel <- function(expr, name, mc.set.seed = TRUE, silent = FALSE, mc.affinity = NULL, mc.interactive = FALSE,
                       detached = FALSE) {
  if (missing(name)) name <- NULL
  if (!is.null(name) && (!is.character(name) || length(name) != 1L || is.na(name)))
    abort_argument("name", describe_value(name), "NULL or a string")
  check_flag(mc.set.seed, "mc.set.seed")
  check_flag(silent, "silent")
  seed <- if (!mc.set.seed) get0(".Random.seed", envir = globalenv(), inherits = FALSE)
  bg <- background(function() {
    if (!is.null(seed)) assign(".Random.seed", seed, envir = globalenv())
    if (!is.null(mc.affinity)) parallel::mcaffinity(mc.affinity)
    if (silent) {
      sink(nullfile())
      on.exit(sink())
    }
    expr
  })
  job <- structure(class = c("sharedmem_job", "parallelJob"), list(pid = bg$pid, name = name, background = bg))
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
  jobs <- if (missing(jobs)) the$session$jobs else as_jobs(jobs)
  if (!length(jobs)) return(NULL)
  tell <- if (is.function(intermediate)) intermediate else if (isTRUE(intermediate)) print else NULL
  names <- vapply(unname(jobs), function(job) if (is.null(job$name)) as.character(job$pid) else job$name, "")
  out <- structure(vector("list", length(jobs)), names = names)
  left <- seq_along(jobs)
  come <- integer()
  end <- Sys.time() + if (wait) Inf else timeout
  repeat {
    ready <- left[!vapply(jobs[left], function(job) job$background$is_alive(), NA)]
    for (i in ready) out[i] <- list(job_value(jobs[[i]]))
    come <- c(come, ready)
    left <- setdiff(left, ready)
    if (length(ready) && !is.null(tell)) tell(out)
    if (!length(left) || Sys.time() >= end || (!wait && length(come))) break
    slice <- min(0.05, max(0, as.numeric(difftime(end, Sys.time(), units = "secs"))))
    tryCatch(jobs[[left[1L]]]$background$wait(slice), sharedmem_timeout_error = function(e) NULL, WorkerException = function(e) NULL)
  }
  the$session$jobs <- the$session$jobs[setdiff(names(the$session$jobs), vapply(jobs[come], function(job) as.character(job$pid), ""))]
  lost <- Filter(function(value) inherits(value, "try-error") && inherits(attr(value, "condition"), "WorkerException"), out[come])
  if (length(lost))
    warn_class("sharedmem_lost_warning", sprintf(ngettext(length(lost), "%d parallel job did not deliver a result: %s",
                                                          "%d parallel jobs did not deliver a result; the first: %s"),
                                                 length(lost), conditionMessage(attr(lost[[1L]], "condition"))))
  if (wait) out else if (length(come)) out[sort(come)] else NULL
}

job_value <- function(job) tryCatch(job$background$wait(), WorkerException = as_try_error)

# A job, jobs, or process ids of jobs, as a list of jobs.
as_jobs <- function(jobs) {
  if (inherits(jobs, "sharedmem_job")) return(list(jobs))
  if (is.numeric(jobs)) jobs <- the$session$jobs[as.character(jobs)]
  if (!is.list(jobs) || !all(vapply(jobs, inherits, NA, "sharedmem_job")))
    abort_argument("jobs", describe_value(jobs), "what mcparallel() gave, a list of that, or process ids of such jobs")
  jobs
}
