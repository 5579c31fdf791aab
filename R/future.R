# A back end of future on background(). Its methods are registered when future is loaded.

#' Run futures on forked processes of this package
#'
#' Makes futures run in forked processes, and so what is built on them: future.apply, furrr, doFuture, and functions that futurize
#' translates. It is only ever named in [future::plan()]: `plan(sharedmem::sharedmem, workers = 2)`.
#'
#' It behaves as `plan(multicore)` does: workers see everything that the session has, and nothing is serialized on the way to them.
#' Beyond that,
#' - a worker that dies raises a `FutureInterruptError` that says how: by which signal, or with which exit status;
#' - progress (package progressr) and other immediate conditions reach the session while a future runs;
#' - results travel through shared memory, of any size, and [shared arrays][empty()] are not copied;
#' - BLAS and OpenMP use one thread in each worker, so that they neither hang nor oversubscribe the machine;
#' - a worker ends with its future and with the session, and is free for the next future from then on, also before
#'   [future::value()] is called;
#' - launching a future leaves the session's random numbers alone.
#'
#' In debug mode ([set_debug()]) futures run in the session, one after the other. Where it cannot be forked, they run in processes of its
#' [fork_server()].
#'
#' `workers` is a whole number of at least 1, or a function that gives one; `NULL`, the default, means [cpu_count()]. Where package future
#' is older than 1.40.0, [future::plan()] raises an error of class `sharedmem_package_error`.
#'
#' @seealso [background()], [registerDoSharedmem()]
#' @examples
#' if (requireNamespace("future", quietly = TRUE) && packageVersion("future") >= "1.40.0") {
#'   library(future)
#'   plan(sharedmem::sharedmem, workers = 2)
#'   f <- future(sum(1:10))
#'   print(value(f))
#'   plan(sequential)
#' }
#' @name sharedmem-future
NULL

#' @export
sharedmem <- structure(function(..., workers = NULL) {
  need_package("future", "plan(sharedmem::sharedmem)", future_version)
  abort_class("sharedmem_misuse_error", "sharedmem() is not to be called: name it in future::plan(sharedmem::sharedmem, workers = n)")
}, class = c("sharedmem", "multicore", "multiprocess", "future", "function"), init = TRUE,
  factory = function(workers = NULL, ...) SharedmemFutureBackend(workers, ...),
  tweakable = c("workers", "wait.timeout", "wait.interval", "wait.alpha", "earlySignal", "gc", "maxSizeOfObjects", "interrupts", "hooks"))

future_version <- "1.40.0" # the first with classes for back ends

# What future does not export, though back ends need it.
future_internal <- function(name) {
  ns <- getNamespace("future")
  if (!exists(name, envir = ns, mode = "function", inherits = FALSE))
    abort_class("sharedmem_package_error",
                sprintf(paste0("package future %s has no %s(), which plan(sharedmem::sharedmem) needs: use plan(multicore) until ",
                               "sharedmem has caught up"),
                        utils::packageVersion("future"), name),
                package = "future", needed = NULL, installed = as.character(utils::packageVersion("future")))
  get(name, envir = ns)
}

SharedmemFutureBackend <- function(workers = NULL, ...) {
  need_package("future", "plan(sharedmem::sharedmem)", future_version)
  if (is.function(workers)) workers <- workers()
  workers <- check_np(unclass(workers), "workers", 1L)
  workers <- if (is.null(workers)) cpu_count() else workers
  if (get_debug() || (!fork_is_safe() && is.null(server_instead()))) return(of_future("SequentialFutureBackend")(...))
  for (name in c("evalFuture", "getFutureData", "FutureRegistry", "assertOwner", "signalEarly")) future_internal(name)
  core <- of_future("MultiprocessFutureBackend")(workers = workers, reg = sprintf("sharedmem-%d", Sys.getpid()), ...,
                                            maxSizeOfObjects = Inf)
  core$futureClasses <- c("SharedmemFuture", core$futureClasses)
  structure(core, class = c("SharedmemFutureBackend", class(core)))
}

registered_futures <- function(backend) future_internal("FutureRegistry")(backend$reg, action = "list", earlySignal = FALSE)

forget_future <- function(future) {
  registry <- future_internal("FutureRegistry")
  reg <- future$backend$reg
  if (registry(reg, action = "contains", future = future)) registry(reg, action = "remove", future = future, earlySignal = FALSE)
}

# Those whose process still runs.
busy_futures <- function(backend) Filter(function(f) !is.null(f$job) && f$job$is_alive(), registered_futures(backend))

nbrOfWorkers.SharedmemFutureBackend <- function(evaluator) evaluator$workers

nbrOfFreeWorkers.SharedmemFutureBackend <- function(evaluator, background = FALSE, ...)
  max(0L, evaluator$workers - length(busy_futures(evaluator)))

# The background process has ended within so many seconds.
has_ended <- function(job, timeout) {
  tryCatch({
    job$wait(timeout)
    TRUE
  }, sharedmem_timeout_error = function(e) FALSE, WorkerException = function(e) TRUE)
}

# Waits for a worker, then forks one.
launchFuture.SharedmemFutureBackend <- function(backend, future, ...) {
  if (isTRUE(backend$hooks)) getHook("future::launchFuture::begin")(backend, future = future, ...)
  data <- future_internal("getFutureData")(future, mc.cores = 1L)
  await_worker(backend)
  evaluate <- future_internal("evalFuture")
  future$backend <- backend
  future$job <- background(evaluate, data)
  future$state <- "running"
  future_internal("FutureRegistry")(backend$reg, action = "add", future = future, earlySignal = TRUE)
  invisible(future)
}

# Waits at the future that was started first: its end wakes us at once, that of another within `wait.interval`.
await_worker <- function(backend) {
  until <- elapsed_now() + backend$wait.timeout
  repeat {
    busy <- busy_futures(backend)
    if (length(busy) < backend$workers) return(invisible())
    if (elapsed_now() > until)
      stop(future::FutureError(sprintf("no worker of %d became free within %s seconds", backend$workers, format(backend$wait.timeout))))
    has_ended(busy[[1L]]$job, backend$wait.interval)
  }
}

resolved.SharedmemFuture <- function(x, timeout = NULL, ...) {
  if (x$state == "created") {
    if (!isFALSE(list(...)$run) && future::nbrOfFreeWorkers(x$backend) > 0L) future::run(x)
    return(FALSE)
  }
  if (is.null(x$result)) {
    future_internal("assertOwner")(x)
    if (is.null(timeout)) timeout <- getOption("future.resolved.timeout", 0.01)
    if (!has_ended(x$job, if (timeout < 0) Inf else timeout)) return(FALSE)
  }
  if (!isFALSE(list(...)$.signalEarly)) future_internal("signalEarly")(x)
  TRUE
}

result.SharedmemFuture <- function(future, ...) {
  if (is.null(future$result)) {
    if (future$state == "created") future <- future::run(future)
    future_internal("assertOwner")(future)
    future$result <- tryCatch(future$job$wait(), WorkerException = function(e) future_death(future, e))
    if (inherits(future$result, "FutureResult")) future$state <- "finished"
    else if (!inherits(future$result, "FutureError")) future$result <- future::UnexpectedFutureResultError(future)
    forget_future(future)
  }
  if (inherits(future$result, "FutureError")) stop(future$result)
  future$result
}

# The error of a future whose process failed to give a result.
future_death <- function(future, e) {
  label <- if (is.null(future$label)) "<none>" else future$label
  canceled <- future$state == "canceled"
  text <- sprintf("Future (%s) of class SharedmemFuture %s, while running on localhost (pid %d): %s", label,
                  if (canceled) "was canceled" else "was interrupted", future$job$pid, conditionMessage(e))
  if (!canceled) future$state <- "interrupted"
  kind <- if (canceled) get0("FutureCanceledError", envir = getNamespace("future"))
  if (is.null(kind)) kind <- of_future("FutureInterruptError")
  kind(text, future = future)
}

interruptFuture.SharedmemFutureBackend <- function(backend, future, ...) {
  if (!isTRUE(backend$interrupts)) return(future)
  future$job$cancel()
  future$state <- "interrupted"
  future
}

stopWorkers.SharedmemFutureBackend <- function(backend, interrupt = TRUE, ...) {
  for (future in if (interrupt) registered_futures(backend)) of_future("cancel")(future, interrupt = interrupt)
  future_internal("FutureRegistry")(backend$reg, action = "reset")
  TRUE
}

# Conditions that future wants told at once go the way of a map's.
getFutureBackendConfigs.SharedmemFuture <- function(future, ...) {
  if (is.null(future$conditions)) return(list())
  classes <- attr(future$conditions, "immediateConditionClasses", exact = TRUE)
  if (is.null(classes)) classes <- "immediateCondition"
  tell <- function(cond) {
    relay_now(cond, send_condition)
    FALSE # it has been told: it is no part of the result
  }
  list(capture = list(immediateConditionHandlers = structure(rep(list(tell), length(classes)), names = classes)))
}

# Registers the methods with the generics that the installed future has. NAMESPACE cannot name them: one that an old future has not
# would be an error when either package is loaded.
register_future_methods <- function(...) {
  ns <- parent.env(environment())
  future <- asNamespace("future")
  methods <- c("nbrOfWorkers.SharedmemFutureBackend", "nbrOfFreeWorkers.SharedmemFutureBackend", "launchFuture.SharedmemFutureBackend",
               "interruptFuture.SharedmemFutureBackend", "stopWorkers.SharedmemFutureBackend", "resolved.SharedmemFuture",
               "result.SharedmemFuture", "getFutureBackendConfigs.SharedmemFuture")
  for (method in methods) {
    name <- strsplit(method, ".", fixed = TRUE)[[1L]]
    if (exists(name[1L], envir = future, inherits = FALSE)) registerS3method(name[1L], name[2L], ns[[method]], envir = future)
  }
}

# A function of package future that earlier versions do not have, which the package's checks would miss there.
of_future <- function(name) getExportedValue("future", name)
