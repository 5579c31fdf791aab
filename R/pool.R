#' Pools of forked workers
#'
#' Makes a pool whose `map()` calls a function for every item of a sequence in forked worker processes. The pool holds no
#' processes: each `map()` forks its workers, so they see everything that exists at that moment.
#'
#' @section Mapping:
#' `pool$map(func, sequence, reduce = NULL, star = FALSE, minlength = 0, ...)` calls `func(item, ...)` for
#' every item of `sequence`, scheduled dynamically, and gives a list in the order of `sequence`, with its names.
#'
#' - `func`: function of an item and `...`.
#' - `sequence`: anything with `length()` and `[[`.
#' - `reduce`: `NULL` or a function that runs in the master as results arrive, in any order; its value takes the
#'   result's place. A result made by [tuple()] is spread over its arguments, any other is its one argument. What
#'   it assigns with `<<-` stays. An error in it stops the workers and is raised as it is.
#' - `star`: `TRUE` spreads each item (a list or [tuple()]) over `func`'s arguments.
#' - `minlength`: number of items below which everything runs in the master.
#'
#' @section Inside `func`:
#' - `pool$critical(expr)` or `with(pool$critical, expr)` evaluates `expr` where it stands, in one worker at a
#'   time, and gives its value. The lock is released however `expr` ends, by the death of its holder too. Entering it
#'   twice is an error of class `sharedmem_lock_error`.
#' - `pool$ordered(expr)` or `with(pool$ordered, expr)`: the same, and in the order of `sequence`. An item
#'   that ends without entering it passes its turn on. Entering it from inside `critical`, or twice in one item, is an error.
#' - `pool$local` (alias `pool$tls`): an environment of this worker's own; `pool$local$rank` is 0 ... np-1.
#' - `pool$np`, `pool$backend`.
#'
#' @section Errors:
#' The first error in a worker stops the map: no further item starts, every worker ends, and a
#' [WorkerException] is raised in the master. A worker that dies, by a signal or by `q()`, is one too.
#' `stop(StopProcessGroup())` in `func` ends the map early and quietly: running items finish, the rest are not started,
#' and the value has `NULL` for the rest and the attribute `"stopped"`. Warnings and messages of workers reach the master
#' as warnings and messages.
#'
#' @section Differences from Python:
#' `sequence` may be anything with `length()` and `[[`, results of any size arrive, a worker's death is an
#' error that names it, and `local` is an environment. `MapReduceByThread()` runs R code one item at a time in the
#' master: R's evaluator has one thread.
#'
#' @param backend `ProcessBackend` (forked processes) or `ThreadBackend` (the calling process, one item at a
#'   time, ranks taken in turn).
#' @param np Whole number: worker processes. `NULL` means [cpu_count()]; 0 means run in the master. A map forks
#'   them one after the other and stops once every item has begun, so one of few short items may have fewer.
#' @param ... Pool options, by name:
#'   - `retries` (whole number, 0): after a worker's death its unfinished items run again in a fresh worker that sees
#'     the same snapshot as the first ones, up to so many times an item. Results that had been delivered are kept; what an
#'     item had written into shared arrays before it was killed stands, so let items write their own places. One that was
#'     killed after its `ordered` section enters that again, at once and alone.
#'   - `on_error`: `"stop"` (the default) or `"collect"`, which puts each failed item's [WorkerException]
#'     in its place in the result.
#'   - `timeout` (seconds, `Inf`): what an item may take; past it the worker is killed and the item fails or is retried.
#'   - `seed` (`TRUE`): every item draws from an L'Ecuyer-CMRG stream of its own, derived from the master's generator
#'     (which moves on by one step), so that results depend on `set.seed()` alone. `FALSE` leaves R's generator alone.
#'   - `output`: what workers print: `"relay"` (the default) brings it to the master whole lines at a time,
#'     `"inherit"` leaves them the master's stdout and stderr, `"discard"` drops it.
#'   - `threads` (whole number, 1): threads of BLAS and OpenMP in each worker, set through the libraries' own setters;
#'     `NULL` leaves them alone.
#'   - `progress` (`FALSE`): `TRUE` shows how many items are done, items a second and time left: a bar in a terminal (once
#'     half a second has passed), a line each tenth of the way in a log (no sooner than 5 seconds after the one
#'     before), both on stderr; or through progressr, where its handlers are in use.
#'   - `trace` (`FALSE`): `TRUE` records when each item ran where, and each wait; `pool$trace` is then the
#'     [trace][sharedmem_trace] of the last map: `plot(pool$trace)` draws its time line, `summary(pool$trace)` says where the time went.
#' @return An object of class `MapReduce` (an environment). Bad arguments give an error of class `sharedmem_argument_error`.
#' @source `sharedmem.MapReduce` and `sharedmem.MapReduceByThread` of the Python package.
#' @seealso [sharedmem_trace], [plot.sharedmem_trace()], [tuple()], [background()], [WorkerException], [set_debug()]
#' @examples
#' pool <- MapReduce(np = 2)
#' unlist(pool$map(function(i) i^2, 1:4))
#'
#' # one shared counter, written by all workers
#' count <- full(1, 0)
#' invisible(pool$map(function(i) pool$critical({ count[1] <- count[1] + i }), 1:10))
#' count[1]
#'
#' # results merged as they arrive
#' total <- 0
#' invisible(pool$map(function(i) i, 1:100, reduce = function(i) { total <<- total + i; NULL }))
#' total
#' @export
MapReduce <- function(backend = ProcessBackend, np = NULL, ...) {
  if (!inherits(backend, "sharedmem_backend"))
    abort_argument("backend", describe_value(backend), "ProcessBackend or ThreadBackend")
  state <- new.env(parent = emptyenv())
  state$map <- NULL
  state$item <- NA_real_
  pool <- new.env(parent = emptyenv())
  pool$backend <- backend
  pool$options <- check_pool_options(list(...))
  pool$np <- if (is.null(check_np(np))) cpu_count() else as.integer(np)
  pool$local <- pool$tls <- new_local(0L)
  pool$trace <- NULL
  pool$critical <- new_critical(state)
  pool$ordered <- new_ordered(state)
  pool$map <- function(func, sequence, reduce = NULL, star = FALSE, minlength = 0, ...) {
    check_map(func, sequence, reduce, star, minlength)
    list(...) # forced here: an error in an argument is the caller's
    n <- length(sequence)
    if (!is.numeric(n) || length(n) != 1L || is.na(n) || n < 0 || n != floor(n))
      abort_argument("sequence", sprintf("an object whose length() is %s", describe_value(n)), "something with length() and [[")
    names <- item_names(sequence, n)
    if (n == 0L) return(empty_results(n, names))
    np <- if (n < minlength || get_debug() || backend$name != "process") 0L else min(resolve_np(pool$np), n)
    if (np > 0L && !fork_is_safe()) np <- 0L
    if (np > 0L) func <- compiled(func, n > 2 * np)
    # `...` stays here: among the arguments of our own functions a name of the user's could take one of theirs
    each <- if (star) function(item) do.call(func, c(as.list(item), list(...)), quote = TRUE)
            else if (...length()) function(item) func(item, ...)
            else func
    # a map inside a worker of the same pool has the pool to itself until it ends
    outer <- list(map = state$map, item = state$item, local = pool$local)
    on.exit(restore_pool(pool, state, outer))
    sweep_background()
    if (np == 0L) map_here(pool, state, each, sequence, n, names, reduce)
    else map_forked(pool, state, func, each, sequence, n, names, reduce, np)
  }
  lockEnvironment(pool)
  structure(pool, class = "MapReduce")
}

#' @rdname MapReduce
#' @export
MapReduceByThread <- function(np = NULL, ...) MapReduce(backend = ThreadBackend, np = np, ...)

#' @rdname MapReduce
#' @format NULL
#' @export
ProcessBackend <- structure(list(name = "process"), class = "sharedmem_backend")

#' @rdname MapReduce
#' @format NULL
#' @export
ThreadBackend <- structure(list(name = "thread"), class = "sharedmem_backend")

#' @export
print.sharedmem_backend <- function(x, ...) {
  cat(switch(x$name, process = "<ProcessBackend: forked worker processes>",
             thread = "<ThreadBackend: the calling process, one item at a time>"), "\n", sep = "")
  invisible(x)
}

#' @export
print.MapReduce <- function(x, ...) {
  cat(sprintf("<MapReduce pool: %s backend, np = %d>\n", x$backend$name, x$np))
  set <- x$options[!vapply(names(x$options), function(k) identical(x$options[[k]], default_pool_options[[k]]), NA)]
  if (length(set)) cat("options:", paste(names(set), vapply(set, function(v) format(v)[1L], ""), sep = " = ", collapse = ", "), "\n")
  cat("pool$map(func, sequence, reduce = NULL, star = FALSE, minlength = 0, ...)\n")
  invisible(x)
}

default_pool_options <- list(retries = 0L, on_error = "stop", timeout = Inf, seed = TRUE, output = "relay", threads = 1L,
                             progress = FALSE, trace = FALSE)

check_pool_options <- function(given) {
  if (length(given) && (is.null(names(given)) || any(names(given) == "")))
    abort_argument("...", "an argument without a name", "pool options by name")
  unknown <- setdiff(names(given), names(default_pool_options))
  if (length(unknown))
    abort_argument(unknown[1L], describe_value(given[[unknown[1L]]]),
                   paste("one of the pool options", paste(names(default_pool_options), collapse = ", ")))
  opts <- default_pool_options
  opts[names(given)] <- given
  check_choice(opts$on_error, c("stop", "collect"), "on_error")
  check_choice(opts$output, c("relay", "inherit", "discard"), "output")
  opts$retries <- check_np(opts$retries, "retries")
  if (is.null(opts$retries)) abort_argument("retries", "NULL", "a whole number of at least 0")
  for (flag in c("seed", "progress", "trace")) check_flag(opts[[flag]], flag)
  if (!is.numeric(opts$timeout) || length(opts$timeout) != 1L || is.na(opts$timeout) || opts$timeout <= 0)
    abort_argument("timeout", describe_value(opts$timeout), "a positive number of seconds")
  opts["threads"] <- list(check_np(opts$threads, "threads", 1L))
  opts
}

check_map <- function(func, sequence, reduce, star, minlength) {
  if (!is.function(func)) abort_argument("func", describe_value(func), "a function")
  if (is.function(sequence) || is.symbol(sequence) || (is.environment(sequence) && !is.object(sequence)))
    abort_argument("sequence", describe_value(sequence), "something with length() and [[")
  if (!is.null(reduce) && !is.function(reduce)) abort_argument("reduce", describe_value(reduce), "NULL or a function")
  check_flag(star, "star")
  if (!is.numeric(minlength) || length(minlength) != 1L || is.na(minlength))
    abort_argument("minlength", describe_value(minlength), "a number")
}
