#' Pools of forked workers
#'
#' Makes a pool, whose [`map()`][map] calls a function for every item of a sequence in forked worker processes. Each map forks its
#' workers, so they see everything that exists at that moment.
#'
#' @section What a pool has:
#' - [`pool$map(func, sequence, ...)`][map] calls `func` for every item.
#' - `pool$critical(expr)`, `pool$ordered(expr)` ([critical]): inside `func`, by one worker at a time.
#' - [`pool$local`][local]: inside `func`, an environment of this worker's own.
#' - `pool$np`, `pool$backend`, `pool$options`: what it was made with.
#' - [`pool$trace`][sharedmem_trace]: with `trace = TRUE`, the record of the last map. `plot(pool)` draws it, `summary(pool)` says where the
#'   time went.
#'
#' A pool holds no processes, so it needs no closing.
#'
#' @section Differences from Python:
#' `sequence` may be anything with `length()` and `[[`, results of any size arrive, a worker's death is an
#' error that names it, and `local` is an environment. `MapReduceByThread()` runs R code one item at a time in the
#' session: R's evaluator has one thread.
#'
#' @param backend `ProcessBackend` (forked processes), `ThreadBackend` (the calling process, one item at a
#'   time, ranks taken in turn), `ServerBackend` (processes that are forked by the session's [fork_server()]; where the session
#'   cannot be forked, `ProcessBackend` means it, too) or [ClusterBackend()] (the daemons of mirai). A number here is `np`: `MapReduce(4)`.
#' @param np Whole number: worker processes. `NULL` means [cpu_count()]; 0 means run in the session. A map forks
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
#'   `set.seed()` alone (inside of an item `set.seed(i, kind = "Mersenne-Twister")` gives the numbers that a session starts with).
#'   `FALSE`: the session's generator is left untouched, and each worker gets a fresh one.
#' @param output What workers print: `"relay"` brings it to the session whole lines at a time (unfinished ones at the
#'   end of the map, with a newline), `"inherit"` leaves them the session's stdout and stderr, `"discard"` drops it
#'   (where the session itself runs the items, what R prints, but in debug mode).
#' @param threads Whole number: threads of BLAS and OpenMP in each worker, set through the libraries' own setters;
#'   `NULL` leaves them alone.
#' @param progress `TRUE` shows how many items are done, items a second and time left: a bar in a terminal (once
#'   half a second has passed), in a log a line every five seconds or more, none for a shorter map, both on stderr; or through progressr,
#'   where its handlers are in use.
#' @param trace `TRUE` records when each item ran where, and each wait; `pool$trace` is then the
#'   [trace][sharedmem_trace] of the last map: `plot(pool$trace)` draws its time line, `summary(pool$trace)` says where the time
#'   went.
#' @return An object of class `sharedmem_pool` (an environment, whose members cannot be assigned). Bad arguments give an error
#'   of class `sharedmem_argument_error`.
#' @source `sharedmem.MapReduce` and `sharedmem.MapReduceByThread` of the Python package.
#' @seealso [map], [critical], [sharedmem_trace], [plot.sharedmem_trace()], [background()], [sharedmem_error], [set_debug()]
#' @aliases retries on_error timeout seed output threads progress sharedmem_pool
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
  if (identical(backend, ClusterBackend)) backend <- ClusterBackend()
  if (!inherits(backend, "sharedmem_backend"))
    abort_argument("backend", describe_value(backend),
                   "ProcessBackend, ThreadBackend, ServerBackend or ClusterBackend(), or the number of workers")
  options <- check_pool_options(list(retries = retries, on_error = on_error, timeout = timeout, seed = seed, output = output,
                                     threads = threads, progress = progress, trace = trace))
  np <- check_np(np)
  if (inherits(backend, "sharedmem_cluster_backend")) backend["np"] <- list(np)
  new_pool(backend, if (is.null(np)) cpu_count() else np, options)
}

# The members are locked; `state` alone changes: the map that runs and its item, `local`, the trace of the last map.
new_pool <- function(backend, np, options) {
  state <- new.env(parent = emptyenv())
  state$map <- state$seed <- NULL
  state$trace <- no_trace(options$trace)
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
  for (name in names(not_of_a_pool)) assign(name, not_in_pool(name), envir = pool)
  lockEnvironment(pool, bindings = TRUE)
  structure(pool, class = "sharedmem_pool")
}

map_arguments <- alist(`<func>` = func, `<sequence>` = sequence, `<reduce>` = reduce, `<star>` = star, `<minlength>` = minlength)

#' Call a function for every item, in the workers of a pool
#'
#' `pool$map(func, sequence)` calls `func(item, ...)` for every item of `sequence` in forked workers, and gives a list of the results in
#' the order of `sequence`, with its names. `pool` is what [MapReduce()] gives.
#'
#' Items are handed out one by one, to whichever worker is free. Each call forks its workers and ends them.
#' With fewer than `minlength` items, in a pool of `np = 0`, and in debug mode ([set_debug()]) the session runs the items itself; results
#' are the same.
#'
#' @section Inside `func`:
#' - Everything of the session is there as it was when the map began. What `func` assigns to ordinary variables ends with
#'   its worker; what it writes into [shared arrays][shared_array] stays, and all others see it.
#' - `pool$critical(expr)` and `pool$ordered(expr)` ([critical]) let one worker in at a time, [`pool$local`][local] is this worker's own.
#' - `tempdir()` is the session's; files made there stay until the session ends. R's console is empty: `browser()`, `readline()`,
#'   `readLines(stdin())` and `scan()` meet its end, also in a script whose session runs the items itself (not in debug mode).
#' - `stop(StopProcessGroup())` ends the map early and quietly: running items finish, the rest are not started, and the value has `NULL`
#'   for the rest and the attribute `"stopped"`.
#'
#' @section Errors:
#' The first error in a worker stops the map: no further item starts, every worker ends, and a [WorkerException] is raised in the
#' session. A worker that dies, by a signal or by `q()`, is one too. [last_error()] shows the calls in the worker. The pool's options
#' `retries` and `on_error` change that; see [MapReduce()]. Warnings and messages of workers reach the session as warnings and
#' messages; of more than 50 warnings or 1000 messages a map, the rest is told as a number. A finished item never runs again. Connections
#' that an item returns are closed ones: they belong to its worker.
#'
#' An interrupt (Ctrl-C) ends all workers. The results of that map are lost, what was written into shared arrays stays, and the pool can be
#' used again.
#'
#' @param func function of an item and `...`.
#' @param sequence anything with `length()` and `[[`: a vector, a list, a data frame (its columns), a shared array.
#' @param reduce `NULL`, or a function that the session calls with each result as it arrives, in any order; its value takes the
#'   result's place. A result made by [tuple()] is spread over its arguments, any other is its one argument. What it assigns with `<<-`
#'   stays. An error in it stops the workers and is raised as it is. A function of two arguments that also takes one, such as
#'   `+`, gives each result back as it is: to combine results two by two, call [Reduce()] on what `map()` gives.
#' @param star `TRUE` spreads each item (a list or [tuple()]) over `func`'s arguments.
#' @param minlength number: with fewer items the session runs them itself.
#' @param ... further arguments of `func`, evaluated once, in the session, before anything runs: what a function like `subset()` takes
#'   unevaluated goes into one of yours, `function(d) subset(d, cyl == 4)`. The names `reduce`, `star` and `minlength` are matched
#'   whole, so that
#'   `pool$map(runif, n, min = 5)` hands `min` on.
#' @usage \special{pool$map(func, sequence, reduce = NULL, star = FALSE, minlength = 0, ...)}
#' @return A list as long as `sequence`, with its names. Errors: [WorkerException] for what fails in a worker,
#'   `sharedmem_argument_error` for bad arguments, `sharedmem_fork_error` where no worker can be started.
#' @source `MapReduce.map` of the Python package `sharedmem`.
#' @seealso [MapReduce()], [critical], [sharedmem_error]
#' @examples
#' pool <- MapReduce(np = 2)
#' unlist(pool$map(function(i) i^2, c(a = 1, b = 2, c = 3)))
#'
#' # further arguments, and items that are spread over the function's arguments
#' pool$map(function(x, power) x^power, 2:3, power = 3)
#' pool$map(function(a, b) a * b, list(list(1, 2), list(3, 4)), star = TRUE)
#'
#' # results merged as they arrive
#' total <- 0
#' invisible(pool$map(function(i) i, 1:100, reduce = function(i) { total <<- total + i; NULL }))
#' total
#' @name map
#' @aliases pool$map reduce star minlength
NULL

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
    if (`<star>`) spreading(func, ...)
    else if (...length()) function(item) func(item, ...)
    else func
  }
  job <- list(func = func, each = each, star = `<star>`, more = list(...), sequence = sequence, n = n, names = names,
              reduce = with_advice(`<reduce>`), here = n < `<minlength>` || get_debug(), options = pool$options, state = state)
  # a map inside a worker of the same pool has the pool to itself until it ends
  outer <- mget(c("map", "item", "local", "seed"), envir = state)
  on.exit(list2env(outer, state))
  sweep_background()
  run_map(pool$backend, pool, job)
}

# func for calls with an item alone, where its further arguments have come as a list.
bind_arguments <- function(func, star, more) {
  force(func)
  if (star) do.call(function(...) spreading(func, ...), more, quote = TRUE)
  else if (length(more)) do.call(function(...) function(item) func(item, ...), more, quote = TRUE)
  else func
}

# star = TRUE: function(item) func(item[[1]], item[[2]], ..., further arguments). That function is made anew where an item has another
# length or other names than the one before.
spreading <- function(func, ...) {
  needs <- length(needed_arguments(func))
  takes <- formals_of(func)
  takes <- if (is.null(takes) || "..." %in% names(takes)) Inf else length(takes)
  here <- environment()
  count <- -1L
  labels <- spread <- NULL
  spread_over <- function(item) {
    count <<- length(item)
    labels <<- names(item)
    if (count + ...length() > takes) abort_spread(count, ...length(), takes)
    parts <- lapply(seq_len(count), function(k) call("[[", quote(item), k))
    call <- as.call(c(quote(func), stats::setNames(parts, labels), quote(...)))
    spread <<- eval(call("function", formals(function(item) NULL), call), here)
    if (count + ...length() >= needs) return()
    short <- spread
    text <- sprintf("star = TRUE spreads each item over func's arguments, and this one has %s", count_of(count, "value"))
    spread <<- function(item) advised(short(item), func, text)
  }
  function(item) {
    if (is.object(item) || !is.list(item)) item <- as.list(item)
    if (length(item) != count || !(is.null(labels) && is.null(names(item))) && !identical(labels, names(item))) spread_over(item)
    spread(item)
  }
}

abort_spread <- function(length, more, takes)
  abort_class("sharedmem_argument_error",
              sprintf("star = TRUE spreads each item over func's arguments: this one has %s, %d more are given, and func takes %d",
                      count_of(length, "value"), more, takes),
              arg = "func", got = "more values than arguments", expected = "an argument for each")

# NULL for `[` and its like, which have none that R tells.
formals_of <- function(f) if (is.function(told <- args(f))) formals(told)

# The names of those arguments of f that have no default; NULL for a function without formals of its own.
needed_arguments <- function(f) {
  formals <- formals_of(f)
  if (is.null(formals)) return(NULL)
  without <- vapply(formals, function(default) is.symbol(default) && !nzchar(default), NA)
  setdiff(names(formals)[without], "...")
}

# A reduce() that takes two arguments is mostly meant to accumulate. The error that it then gives says what to do.
with_advice <- function(reduce) {
  if (!is.function(reduce) || is.primitive(reduce)) return(reduce)
  needs <- length(needed_arguments(reduce))
  if (needs < 2L) return(reduce)
  function(...) {
    if (...length() >= needs) reduce(...)
    else advised(reduce(...), reduce, paste("reduce is called with one result, a tuple()'s parts spread over its arguments;",
                                            "to combine results two by two call Reduce() on what map() gives"))
  }
}

# An argument of f itself that is missing becomes an error with advice.
advised <- function(expr, f, advice) {
  missing_text <- sprintf(gettext("argument \"%s\" is missing, with no default", domain = "R"), names(formals_of(f)))
  withCallingHandlers(expr, error = function(e)
    if (conditionMessage(e) %in% missing_text)
      abort_class("sharedmem_argument_error", paste0(conditionMessage(e), ": ", advice), call = conditionCall(e),
                  arg = "func", got = "too few arguments", expected = advice))
}

# Methods of other packages' and languages' pools, and what is in their place.
not_of_a_pool <- c(
  structure(rep("a pool holds no processes and need not be closed: the workers of a map end with it", 4L),
            names = c("close", "terminate", "join", "shutdown")),
  starmap = "use pool$map(func, sequence, star = TRUE)",
  structure(rep("use pool$map(func, sequence); reduce = function(result) ... takes results as they arrive", 4L),
            names = c("imap", "imap_unordered", "lapply", "apply")),
  structure(rep("use background(func, ...), and its $wait() for the value", 3L), names = c("map_async", "apply_async", "submit")))

not_in_pool <- function(name) {
  force(name)
  function(...) abort_class("sharedmem_misuse_error", sprintf("no pool$%s(): %s", name, not_of_a_pool[[name]]), method = name)
}

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

#' @rdname plot.sharedmem_trace
#' @export
plot.sharedmem_pool <- function(x, ...) plot(x$trace, ...)

#' @export
summary.sharedmem_pool <- function(object, ...) summary(object$trace, ...)

#' @export
as.data.frame.sharedmem_pool <- function(x, row.names = NULL, optional = FALSE, ...) as.data.frame(x$trace)

# Completion shows what a pool has; what it has only to say that it needs no closing is left out.
#' @importFrom utils .DollarNames
#' @export
.DollarNames.sharedmem_pool <- function(x, pattern = "") grep(pattern, setdiff(ls(x), names(not_of_a_pool)), value = TRUE)

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
      if (x$options$trace) sprintf("$trace: %s\n", if (inherits(x$trace, "sharedmem_trace")) trace_title(x$trace) else "no map yet"),
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
                    mc.set.seed = "seed", set.seed = "seed", max_retries = "retries", tries = "retries", mc.silent = "output",
                    stop.on.error = "on_error", .errorhandling = "on_error")

# Whatever comes in `...` of MapReduce() is a mistake.
check_no_more <- function(given) {
  if (!length(given)) return()
  name <- names(given)[1L]
  if (is.null(name) || !nzchar(name)) abort_argument("...", "an argument without a name", "pool options by name")
  known <- setdiff(names(formals(MapReduce)), "...")
  like <- if (nchar(name, "bytes") > 3L) agrep(name, known, max.distance = 1L, useBytes = TRUE)
  near <- c(known[startsWith(known, name)], known[like])[1L]
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
    abort_argument("func", describe_value(func), "a function",
                   advice = advice_for_function(func, if (is.function(sequence)) "map(func, sequence) takes the function first"))
  if (is.function(sequence) || is.symbol(sequence) || (is.environment(sequence) && !is.object(sequence)))
    abort_argument("sequence", describe_value(sequence), "something with length() and [[")
  if (!is.null(reduce) && !is.function(reduce))
    abort_argument("reduce", describe_value(reduce), "NULL or a function",
                   advice = "further arguments of func are named, as in map(func, sequence, k = 5)")
  check_flag(star, "star")
  if (!is.numeric(minlength) || length(minlength) != 1L || is.na(minlength))
    abort_argument("minlength", describe_value(minlength), "a number")
  if (length(given)) check_misplaced(func, given)
}

# An option of the pool, by our name or by another package's, that is given to map(), unless func takes it.
check_misplaced <- function(func, given) {
  options <- setdiff(names(formals(MapReduce)), "...")
  options <- c(structure(options, names = options), option_aliases)
  takes <- names(formals_of(func))
  misplaced <- if (is.null(takes) || "..." %in% takes) character() else setdiff(intersect(given, names(options)), takes)
  if (length(misplaced)) {
    name <- misplaced[1L]
    abort_class("sharedmem_argument_error",
                sprintf("`%s` is no argument of map(), but an option of the pool: MapReduce(%s = ...)$map(func, sequence)",
                        name, options[[name]]),
                arg = name, got = "an argument of map()", expected = "an argument of MapReduce()")
  }
}

check_length <- function(sequence) {
  n <- length(sequence)
  if (!is.numeric(n) || length(n) != 1L || is.na(n) || n < 0 || n != floor(n))
    abort_argument("sequence", sprintf("an object whose length() is %s", describe_value(n)), "something with length() and [[")
  n
}
