#' Pools of forked workers
#'
#' Makes a pool whose `map()` calls a function for every item of a sequence in forked worker processes. The pool holds no
#' processes: each `map()` forks its workers, so they see everything that exists at that moment.
#'
#' @section Mapping:
#' `pool$map(func, sequence, reduce = NULL, star = FALSE, minlength = 0, ...)` calls `func(item, ...)` for
#' every item of `sequence`, scheduled dynamically, and gives a list in the order of `sequence`, with its names.
#' The names `reduce`, `star` and `minlength` are matched whole, so that `pool$map(runif, n, min = 5)` hands `min` on.
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
#' - `tempdir()` is the session's; files made there stay until the session ends. R's console is empty: `browser()`, `readline()`,
#'   `readLines(stdin())` and `scan()` meet its end.
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
#' @param backend `ProcessBackend` (forked processes), `ThreadBackend` (the calling process, one item at a
#'   time, ranks taken in turn), or `ServerBackend` (processes that are forked by the session's [fork_server()]; where the session
#'   cannot be forked, `ProcessBackend` means it, too). A number here is `np`: `MapReduce(4)`.
#' @param np Whole number: worker processes. `NULL` means [cpu_count()]; 0 means run in the master. A map forks
#'   them one after the other and stops once every item has begun, so one of few short items may have fewer.
#' @param ... For `MapReduceByThread()`: the options. `MapReduce()` takes nothing here, so that the names of the options behind
#'   it are matched whole.
#' @param retries Whole number: after a worker's death the item it was running runs again in a fresh worker that sees
#'   the same snapshot as the first ones, up to so many times an item. What an item had written into shared arrays before
#'   its worker died stands, so let items write their own places.
#' @param on_error `"stop"`, or `"collect"`, which puts each failed item's [WorkerException] in its place in the result.
#' @param timeout Seconds that an item may take, its waits for sections and locks not counted; past it the worker is
#'   killed and the item fails or is retried. Where the session itself runs the items, R's own time limit
#'   ([setTimeLimit()]) ends them at the next point where R looks for it.
#' @param seed `TRUE`: every item draws from an L'Ecuyer-CMRG generator of its own, whose state is hashed from the map's
#'   seed (the session's generator, which moves on by one step) and the item's number, so that results depend on
#'   `set.seed()` alone. `FALSE`: the session's generator is left untouched, and each worker gets a fresh one.
#' @param output What workers print: `"relay"` brings it to the session whole lines at a time, `"inherit"` leaves
#'   them the session's stdout and stderr, `"discard"` drops it.
#' @param threads Whole number: threads of BLAS and OpenMP in each worker, set through the libraries' own setters;
#'   `NULL` leaves them alone.
#' @param progress `TRUE` shows how many items are done, items a second and time left: a bar in a terminal (once
#'   half a second has passed), sparse lines in a log, both on stderr; or through progressr, where its handlers are in use.
#' @param trace `TRUE` records when each item ran where, and each wait; `pool$trace` is then the
#'   [trace][sharedmem_trace] of the last map: `plot(pool$trace)` draws its time line, `summary(pool$trace)` says where the time
#'   went.
#' @return An object of class `sharedmem_pool` (an environment, whose members cannot be assigned). Bad arguments give an error
#'   of class `sharedmem_argument_error`.
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
MapReduce <- function(backend = ProcessBackend, np = NULL, ..., retries = 0L, on_error = "stop", timeout = Inf, seed = TRUE,
                      output = "relay", threads = 1L, progress = FALSE, trace = FALSE) {
  check_no_more(list(...))
  if (is.numeric(backend) && is.null(np)) {
    np <- backend
    backend <- ProcessBackend
  }
  if (!inherits(backend, "sharedmem_backend"))
    abort_argument("backend", describe_value(backend), "ProcessBackend, ThreadBackend or ServerBackend, or the number of workers")
  options <- check_pool_options(list(retries = retries, on_error = on_error, timeout = timeout, seed = seed, output = output,
                                     threads = threads, progress = progress, trace = trace))
  new_pool(backend, if (is.null(check_np(np))) cpu_count() else as.integer(np), options)
}

# The members are locked; `state` alone changes: the map that runs and its item, `local`, the trace of the last map.
new_pool <- function(backend, np, options) {
  state <- new.env(parent = emptyenv())
  state$map <- state$trace <- state$seed <- NULL
  state$item <- NA_real_
  state$local <- new_local(0L)
  pool <- new.env(parent = emptyenv())
  pool$backend <- backend
  pool$np <- np
  pool$options <- options
  for (name in c("local", "tls")) makeActiveBinding(name, function() state$local, pool)
  makeActiveBinding("trace", function() state$trace, pool)
  pool$critical <- new_critical(state)
  pool$ordered <- new_ordered(state)
  # R matches the names behind `...` whole: a name of the user's takes none of ours by its beginning
  pool$map <- function(..., func, sequence, reduce = NULL, star = FALSE, minlength = 0) {
    given <- !c(missing(func), missing(sequence), missing(reduce), missing(star), missing(minlength))
    eval(as.call(c(quote(pool_map), quote(pool), quote(state), map_arguments[given], quote(...))))
  }
  for (name in c("close", "terminate", "join", "shutdown")) assign(name, nothing_to_close, envir = pool)
  lockEnvironment(pool, bindings = TRUE)
  structure(pool, class = "sharedmem_pool")
}

map_arguments <- alist(`<func>` = func, `<sequence>` = sequence, `<reduce>` = reduce, `<star>` = star, `<minlength>` = minlength)

# The formals have names that are the beginning of nobody's.
pool_map <- function(`<pool>`, `<state>`, `<func>`, `<sequence>`, `<reduce>` = NULL, `<star>` = FALSE, `<minlength>` = 0, ...) {
  check_map(`<func>`, `<sequence>`, `<reduce>`, `<star>`, `<minlength>`, ...names())
  list(...) # forced here: an error in an argument is the caller's
  pool <- `<pool>`
  state <- `<state>`
  func <- `<func>`
  sequence <- `<sequence>`
  n <- check_length(sequence)
  names <- item_names(sequence, n)
  if (n == 0L) {
    if (pool$options$trace) state$trace <- empty_trace(names)
    return(empty_results(n, names))
  }
  # `...` stays here: among the arguments of our own functions a name of the user's could take one of theirs
  each <- function(func) {
    if (`<star>`) function(item) call_spread(func, as.list(item), list(...))
    else if (...length()) function(item) func(item, ...)
    else func
  }
  job <- list(func = func, each = each, star = `<star>`, more = list(...), sequence = sequence, n = n, names = names,
              reduce = with_advice(`<reduce>`), here = n < `<minlength>` || get_debug(), options = pool$options,
              state = state)
  # a map inside a worker of the same pool has the pool to itself until it ends
  outer <- mget(c("map", "item", "local", "seed"), envir = state)
  on.exit(list2env(outer, state))
  sweep_background()
  run_map(pool$backend, pool, job)
}

# func for calls with an item alone, where its further arguments have come as a list.
bind_arguments <- function(func, star, more) {
  force(func)
  if (star) function(item) call_spread(func, as.list(item), more)
  else if (length(more)) do.call(function(...) function(item) func(item, ...), more, quote = TRUE)
  else func
}

# star = TRUE: func(item[[1]], item[[2]], ..., further arguments).
call_spread <- function(func, item, more) {
  takes <- formals(args(func))
  if (!is.null(takes) && !"..." %in% names(takes) && length(item) + length(more) > length(takes))
    abort_class("sharedmem_argument_error",
                sprintf("star = TRUE spreads each item over func's arguments: this one has %s, %d more are given, and func takes %d",
                        count_of(length(item), "value"), length(more), length(takes)),
                arg = "func", got = "more values than arguments", expected = "an argument for each")
  advised(do.call(func, c(item, more), quote = TRUE), func,
          sprintf("star = TRUE spreads each item over func's arguments, and this one has %s", count_of(length(item), "value")))
}

# A reduce() that takes two arguments is mostly meant to accumulate. The error that it then gives says what to do.
with_advice <- function(reduce) {
  if (!is.function(reduce) || is.primitive(reduce)) return(reduce)
  needed <- vapply(formals(reduce), identical, NA, quote(expr = ))
  if (sum(needed & names(needed) != "...") < 2L) return(reduce)
  function(...) advised(reduce(...), reduce, paste("reduce is called with one result, a tuple()'s parts spread over its arguments;",
                                                   "to combine results two by two call Reduce() on what map() gives"))
}

# An argument of f itself that is missing becomes an error with advice.
advised <- function(expr, f, advice) {
  missing_text <- sprintf(gettext("argument \"%s\" is missing, with no default", domain = "R"), names(formals(args(f))))
  withCallingHandlers(expr, error = function(e)
    if (conditionMessage(e) %in% missing_text)
      abort_class("sharedmem_argument_error", paste0(conditionMessage(e), ": ", advice), call = conditionCall(e),
                  arg = "func", got = "too few arguments", expected = advice))
}

nothing_to_close <- function(...)
  abort_class("sharedmem_misuse_error", "a pool holds no processes and need not be closed: the workers of a map end with it")

#' @rdname MapReduce
#' @export
MapReduceByThread <- function(np = NULL, ...) MapReduce(backend = ThreadBackend, np = np, ...)

#' @export
print.sharedmem_backend <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

# `pool$local$a <- v` ends with an assignment of pool$local itself, which is where it was.
#' @export
`$<-.sharedmem_pool` <- function(x, name, value) {
  if (!name %in% c("local", "tls") || !identical(value, x[[name]]))
    abort_class("sharedmem_misuse_error", sprintf("`%s` of a pool cannot be assigned: make another pool with MapReduce()", name))
  x
}

#' @export
`[[<-.sharedmem_pool` <- `$<-.sharedmem_pool`

#' @export
with.sharedmem_pool <- function(data, expr, ...)
  abort_class("sharedmem_misuse_error", paste("a pool needs no with(): pool <- MapReduce(); pool$map(func, sequence).",
                                              "Sections are with(pool$critical, expr) and with(pool$ordered, expr)"))

#' @export
print.sharedmem_pool <- function(x, ...) {
  set <- x$options[!vapply(names(x$options), function(k) identical(x$options[[k]], formals(MapReduce)[[k]]), NA)]
  options <- if (length(set)) paste(names(set), vapply(set, function(v) paste(format(v), collapse = " "), ""), sep = " = ", collapse = ", ")
             else "the defaults"
  cat(sprintf("<MapReduce pool: %s backend, np = %d>\n", x$backend$name, x$np),
      "$map(func, sequence, reduce = NULL, star = FALSE, minlength = 0, ...): func(item, ...) for every item\n",
      "$critical(expr), $ordered(expr): inside func, by one worker at a time, in the order of the items\n",
      sprintf("$local, $tls: an environment of each worker's own; $local$rank is %d here\n", x$local$rank),
      sprintf("$np: %d; $backend: %s; $options: %s\n", x$np, x$backend$name, options),
      if (x$options$trace) sprintf("$trace: %s\n", if (is.null(x$trace)) "no map yet" else trace_title(x$trace)),
      sep = "")
  invisible(x)
}

check_pool_options <- function(opts) {
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

# What users of other packages call the options.
option_aliases <- c(ncores = "np", cores = "np", mc.cores = "np", n_cores = "np", workers = "np", n = "np", nproc = "np",
                    processes = "np", num_threads = "np", n_jobs = "np", verbose = "progress", .progress = "progress",
                    mc.set.seed = "seed", set.seed = "seed", max_retries = "retries", tries = "retries")

# Whatever comes in `...` of MapReduce() is a mistake.
check_no_more <- function(given) {
  if (!length(given)) return()
  name <- names(given)[1L]
  if (is.null(name) || !nzchar(name)) abort_argument("...", "an argument without a name", "pool options by name")
  known <- setdiff(names(formals(MapReduce)), "...")
  near <- c(known[startsWith(known, name)], if (nchar(name) > 3L) known[agrep(name, known, max.distance = 1L)])[1L]
  meant <- if (name %in% names(option_aliases)) option_aliases[[name]] else near
  abort_class("sharedmem_argument_error",
              paste0(sprintf("`%s` is no option of MapReduce()", name), if (!is.na(meant)) sprintf(": use `%s`", meant),
                     "; the options are ", paste(known, collapse = ", ")),
              arg = name, got = describe_value(given[[1L]]), expected = paste("one of", paste(known, collapse = ", ")))
}

# given: the names of the further arguments.
check_map <- function(func, sequence, reduce, star, minlength, given) {
  if (missing(func) || missing(sequence))
    abort_class("sharedmem_argument_error", paste0("`func` or `sequence` is missing: pool$map(func, sequence, ...)",
      if (any(c("X", "FUN") %in% given)) " takes the function first and has no X and FUN: pool$map(FUN, X)"),
      arg = if (missing(func)) "func" else "sequence", got = "nothing", expected = "a function and something with length() and [[")
  if (!is.function(func))
    abort_argument("func", describe_value(func), paste0("a function", if (is.function(sequence)) ": map(func, sequence) takes it first"))
  if (is.function(sequence) || is.symbol(sequence) || (is.environment(sequence) && !is.object(sequence)))
    abort_argument("sequence", describe_value(sequence), "something with length() and [[")
  if (!is.null(reduce) && !is.function(reduce)) abort_argument("reduce", describe_value(reduce), "NULL or a function")
  check_flag(star, "star")
  if (!is.numeric(minlength) || length(minlength) != 1L || is.na(minlength))
    abort_argument("minlength", describe_value(minlength), "a number")
  if (length(given)) check_misplaced(func, given)
}

# An option of the pool that is given to map(), unless func takes it.
check_misplaced <- function(func, given) {
  options <- setdiff(names(formals(MapReduce)), "...")
  takes <- names(formals(args(func)))
  misplaced <- if (is.null(takes) || "..." %in% takes) character() else setdiff(intersect(given, options), takes)
  if (length(misplaced))
    abort_class("sharedmem_argument_error", sprintf("`%s` is an option of the pool, not of map(): MapReduce(%s = ...)$map(func, sequence)",
                                                    misplaced[1L], misplaced[1L]),
                arg = misplaced[1L], got = "an argument of map()", expected = "an argument of MapReduce()")
}

check_length <- function(sequence) {
  n <- length(sequence)
  if (!is.numeric(n) || length(n) != 1L || is.na(n) || n < 0 || n != floor(n))
    abort_argument("sequence", sprintf("an object whose length() is %s", describe_value(n)), "something with length() and [[")
  n
}
