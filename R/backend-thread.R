#' @rdname MapReduce
#' @format NULL
#' @export
ThreadBackend <- structure(list(name = "thread"), class = c("sharedmem_thread_backend", "sharedmem_backend"))

#' @export
format.sharedmem_thread_backend <- function(x, ...) "<ThreadBackend: the calling process, one item at a time>"

#' @export
run_map.sharedmem_thread_backend <- function(backend, pool, job) run_here(job, max(1L, pool$np))

# In the session itself, item by item, as ranks that take turns. Any back end may come here.
run_here <- function(job, nranks) {
  run <- open_job(job, 0L, nranks)
  here <- list(state = job$state, ranks = lapply(seq_len(nranks) - 1L, new_local), seed = run$seed,
               limit = if (get_debug()) Inf else job$options$timeout, console = interactive() || get_debug())
  on.exit(close_job(job, run))
  on.exit(.Call(ffi_here_leave, run$map, here), add = TRUE, after = FALSE)
  reduce <- job$reduce
  # no connection is left where 128 are open; then they print
  drop <- if (identical(job$options$output, "discard") && !get_debug()) tryCatch(file(nullfile(), "w"), error = function(e) NULL)
  if (!is.null(drop)) {
    sink(drop)
    on.exit({
      sink()
      close(drop)
    }, add = TRUE, after = FALSE)
    if (!is.null(reduce)) reduce <- loudly(reduce, drop)
  }
  job_results(run, here_loop(job$each(job$func), job$sequence, run, here, reduce))
}

# `reduce` as it is called while what items print goes to `drop`.
loudly <- function(reduce, drop) structure(function(...) {
  sink()
  on.exit(sink(drop))
  reduce(...)
}, class = oldClass(reduce))

# As worker_loop(): C calls `func(item, ...)` in this frame.
here_loop <- function(func, sequence, run, here, reduce, ...) {
  frame <- environment()
  failure <- NULL
  repeat {
    end <- if (get_debug()) here_items(frame, run, here, reduce, failure)
           else catch_overflow(here_items(frame, run, here, reduce, failure), function(e) here_overflow(e, run, here))
    if (is.null(end$type)) return(end)
    failure <- end
  }
}

# The state at the end, or the failure of an item, once its frames have been left: see worker_items(). In debug mode errors come as they
# are, and only StopProcessGroup() is looked for.
here_items <- function(frame, run, here, reduce, failure) {
  failed <- leave <- NULL
  this <- environment()
  abandon <- function(e) {
    since <- .Call(ffi_here_since, run$map)
    if (is.na(since)) return() # raised by `reduce` or by a handler: it is the caller's
    failed <<- here_failure(e, sys.calls(), sys.nframe() - 1L, since > here$limit)
    delayedAssign("leave", return(failed), this)
    leave
  }
  loop <- quote(.Call(ffi_here_loop, run$map, frame, here, reduce, run$events, failure))
  if (get_debug()) withCallingHandlers(eval(loop), StopProcessGroup = abandon)
  else withCallingHandlers(eval(loop), error = abandon)
}

here_overflow <- function(e, run, here) {
  since <- .Call(ffi_here_since, run$map)
  if (is.na(since)) stop(e)
  here_failure(e, NULL, 0L, since > here$limit)
}

here_failure <- function(e, calls, last, late) {
  type <- if (inherits(e, "StopProcessGroup")) "stopped"
          else if (late && identical(conditionMessage(e), gettext("reached elapsed time limit", domain = "R"))) "timeout"
          else "error"
  list(type = type, reason = e, traceback = tryCatch(calls_of_item(calls, last), error = function(e) character()), lost = FALSE)
}
