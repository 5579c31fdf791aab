# A back end of foreach: registerDoSharedmem() gives it dopar(), which foreach calls for each `%dopar%`.

#' Run foreach loops on a pool
#'
#' Makes `%dopar%` of package foreach run on forked workers of a pool. Loops, and packages that contain loops, stay as they are.
#'
#' What a loop gets beyond other back ends that fork:
#' - `.combine` is fed as results arrive, so that no more results are in memory than wait for one before them in order
#'   (with `.inorder = FALSE`: none).
#' - A worker that dies, or is killed because its item took too long, is an error that says how it died and at which item.
#'   With `.errorhandling = "pass"` or `"remove"` it is the error of its item alone, and the others' results are kept.
#'   `retries` runs such items again.
#' - Iterators are read as far as the workers need: in rounds of as many items as can be read in a quarter of a second or fill 256 MiB
#'   (at least four for each worker, or one where they are that large; 65536 at most). Each round is a map of its own, so an iterator
#'   that never ends is no problem where an error ends the loop. Vectors and lists are not read ahead: each worker takes its items out
#'   of them.
#' - Random numbers depend on [set.seed()] alone, not on the number of workers. Package doRNG works as well. `set.seed(i)` in the body
#'   seeds the iteration's L'Ecuyer-CMRG generator; `set.seed(i, kind = "Mersenne-Twister")` gives what it gives in a new session.
#' - Loops inside an iteration run on the workers that are left over, or in the same process where none are.
#'
#' `.packages` are attached in the session before the workers are forked. `.export` and `.noexport` have no effect: workers see
#' everything the session has. An error in `.combine` is raised as it is. `.errorhandling = "stop"` ends the loop at the first error
#' to arrive, with the message `task 3 failed - "..."`; the error has class `sharedmem_task_error` and the fields `item`, `reason` (the
#' condition that the iteration raised) and `exception` (the [WorkerException], or `NULL`).
#'
#' Options of one loop: `.options.sharedmem = list(...)` takes `np` and the options below. Options for other back ends are
#' understood as far as they have a meaning here: of `.options.multicore` `cores`, `silent` and `set.seed`, of `.options.snow`
#' `progress` (a function of the number of finished iterations) and `attachExportEnv`. `preschedule` has none, since items
#' are always given out one by one as workers become free.
#'
#' @param np Whole number: workers. `NULL` means [cpu_count()] at each loop; 0 runs the loops in the session.
#' @param ... Options of the pool, by name, as of [MapReduce()]: `retries`, `timeout`, `seed`, `output`, `threads`, `progress`.
#' @return `NULL`, invisibly. Without package foreach, an error of class `sharedmem_package_error`.
#' @seealso [MapReduce()]
#' @examples
#' if (requireNamespace("foreach", quietly = TRUE)) {
#'   library(foreach)
#'   registerDoSharedmem(2)
#'   print(foreach(i = 1:4, .combine = c) %dopar% i^2)
#'
#'   # a worker that dies is the error of its iteration
#'   r <- foreach(i = 1:3, .errorhandling = "pass") %dopar%
#'     if (i == 2) tools::pskill(Sys.getpid(), 9) else i
#'   print(conditionMessage(r[[2]]))
#'   registerDoSEQ()
#' }
#' @export
registerDoSharedmem <- function(np = NULL, ...) {
  need_package("foreach", "registerDoSharedmem()")
  data <- list(np = check_np(np), options = list(...))
  dopar_pool(data, "stop") # bad options are an error here, not at the first loop
  foreach::setDoPar(dopar, data, dopar_info)
  invisible()
}

dopar_info <- function(data, item) {
  switch(item,
         workers = max(1L, resolve_np(data$np)),
         name = "doSharedmem",
         version = as.character(utils::packageVersion("sharedmem")),
         NULL)
}

# Rows and columns of a matrix; the default takes whatever is no matrix for R element by element.
#' @exportS3Method iterators::iter
iter.shared_array <- function(obj, ...) if (length(dim(obj)) == 2L) iterators::iter(shared_values(obj), ...) else NextMethod()

# What foreach calls. obj: the loop; expr: its body; envir: where `%dopar%` stands.
dopar <- function(obj, expr, envir, data) {
  if (!inherits(obj, "foreach")) abort_argument("obj", describe_value(obj), "an object of foreach()")
  stops <- identical(obj$errorHandling, "stop")
  told <- dopar_settings(data, obj$options)
  it <- iterators::iter(obj)
  for (package in obj$packages) do.call("library", list(package, character.only = TRUE))
  if (isTRUE(told$attach_exports)) {
    attach_exports(obj$export, envir)
    on.exit(detach("exportEnv"))
  }
  pool <- dopar_pool(told, if (stops) "stop" else "collect")
  seed <- if (told$seed) map_seed(TRUE)
  code <- compiled_body(expr, envir)
  # results in a list, in order, are what a map gives
  listed <- is_default_combine(obj) && is.null(told$progress) && !isTRUE(obj$verbose)
  accumulator <- foreach::makeAccum(it)
  collected <- list()
  before <- 0
  combining <- FALSE
  next_round <- dopar_feed(it, resolve_np(pool$np))
  failed <- function(k, e, exception = NULL) {
    reason <- if (is.null(exception)) e else exception$reason
    abort_class(c("sharedmem_task_error", "simpleError"), sprintf('task %.0f failed - "%s"', k, message_of(reason)), call = expr,
                item = k, reason = reason, exception = exception)
  }
  take <- function(k, value) {
    if (stops && inherits(value, "error")) failed(k, value)
    combining <<- TRUE
    accumulator(list(value), k)
    combining <<- FALSE
    if (!is.null(told$progress)) told$progress(k)
    NULL
  }
  repeat {
    round <- next_round()
    if (is.null(round)) break
    run <- dopar_item(code, envir, round$args, before, seed, stops)
    out <- withCallingHandlers(
      if (listed) pool$map(run, seq_len(round$n))
      else pool$map(function(j) list(before + j, run(j)), seq_len(round$n), reduce = function(result) take(result[[1L]], result[[2L]])),
      WorkerException = function(e) if (stops && !combining && !is.na(e$item)) failed(before + e$item, exception = e))
    if (!is.null(attr(out, "stopped"))) failed(before + 1, StopProcessGroup())
    if (listed) collected <- c(collected, settle(out, before, obj$errorHandling, failed))
    else for (j in which(!vapply(out, is.null, NA))) take(before + j, out[[j]]) # the dead
    before <- before + round$n
  }
  if (!listed) return(foreach::getResult(it))
  if (is.null(obj$combineInfo$final)) collected else obj$combineInfo$final(collected)
}

# The results of a round as the loop's way with errors wants them.
settle <- function(out, before, handling, failed) {
  if (handling == "pass") return(out)
  bad <- which(vapply(out, inherits, NA, "error"))
  if (handling == "stop" && length(bad)) failed(before + bad[1L], out[[bad[1L]]])
  if (length(bad)) out[-bad] else out
}

# The function that a round maps over 1 ... n: item j of the round is item before + j of the loop. Streams of random numbers
# are the loop's, whatever the rounds are.
dopar_item <- function(code, envir, args, before, seed, stops) {
  evaluate <- if (stops) function(j) eval(code, args(j), envir)
              else function(j) tryCatch(eval(code, args(j), envir), error = function(e) e)
  if (is.null(seed)) return(evaluate)
  function(j) with_stream(seed, evaluate(j), before + j)
}

compiled_body <- function(expr, envir)
  tryCatch(compiler::compile(expr, envir, list(suppressAll = TRUE)), error = function(e) expr)

# foreach's own list of results, and no nested loop.
is_default_combine <- function(obj)
  identical(class(obj), "foreach") && identical(obj$combineInfo$fun, foreach::foreach(i = 1)$combineInfo$fun)

# ---- options ----

dopar_options <- c("retries", "timeout", "seed", "output", "threads", "progress")

dopar_pool <- function(settings, on_error) {
  options <- settings$options
  names <- if (is.null(names(options))) rep("", length(options)) else names(options)
  bad <- which(!names %in% dopar_options)
  if (length(bad))
    abort_argument(if (nzchar(names[bad[1L]])) names[bad[1L]] else "...", describe_value(options[[bad[1L]]]),
                   paste("one of the options", paste(dopar_options, collapse = ", "), "by name"),
                   advice = if (names[bad[1L]] %in% names(option_aliases))
                     sprintf("here this is `%s`", option_aliases[[names[bad[1L]]]]))
  # in a worker that has no others to itself, a fork would only wait for another process
  np <- if (is.finite(the$worker$budget) && resolve_np(settings$np) <= 1L) 0L else settings$np
  check_flag(if (is.null(options$seed)) TRUE else options$seed, "seed")
  options$seed <- FALSE # dopar_item() seeds
  do.call(MapReduce, c(list(ProcessBackend, np, on_error = on_error), options), quote = TRUE)
}

# The options of the registration with those of the loop over them: list(np, options, seed, progress, attach_exports).
dopar_settings <- function(data, given) {
  own <- given$sharedmem
  if (!is.null(own) && (!is.list(own) || length(own) && is.null(names(own))))
    abort_argument(".options.sharedmem", describe_value(own), "a list of options by name")
  multicore <- known_options(given$multicore, c("preschedule", "set.seed", "silent", "cores"), "multicore")
  snow <- known_options(given$snow, c("preschedule", "attachExportEnv", "progress"), "snow")
  options <- data$options
  if (isTRUE(multicore$silent)) options$output <- "discard"
  if (isFALSE(multicore$set.seed)) options$seed <- FALSE
  options[setdiff(names(own), "np")] <- own[setdiff(names(own), "np")]
  np <- if ("np" %in% names(own)) check_np(own$np, "np")
        else if (!is.null(multicore$cores)) check_np(multicore$cores, "cores", 1L)
        else data$np
  list(np = np, options = options, seed = if (is.null(options$seed)) TRUE else options$seed,
       progress = counting(snow$progress), attach_exports = snow$attachExportEnv)
}

known_options <- function(options, known, name) {
  unknown <- setdiff(names(options), known)
  if (length(unknown)) warning(sprintf("ignoring unrecognized %s option(s): %s", name, paste(unknown, collapse = ", ")), call. = FALSE)
  as.list(options)
}

# doSNOW's `progress` takes nothing, the number of finished items, or that and the item's number.
counting <- function(progress) {
  if (!is.function(progress)) return(NULL)
  takes <- length(formals_of(progress))
  done <- 0
  function(k) {
    done <<- done + 1
    if (takes == 0L) progress() else if (takes == 1L) progress(done) else progress(done, k)
  }
}

# doParallel's option: exported variables are on the search path while the loop runs.
attach_exports <- function(export, envir) {
  exports <- new.env()
  for (name in export) if (exists(name, envir = envir)) assign(name, get(name, envir = envir), envir = exports)
  do.call("attach", list(exports, name = "exportEnv", warn.conflicts = FALSE))
}

# ---- items ----

# A function that gives the next round of items, list(n, args = function(j) <loop variables of item j>), or NULL at the end.
dopar_feed <- function(it, np) {
  vectors <- plain_vectors(it)
  if (is.null(vectors)) return(function() read_round(it, max(1L, np)))
  n <- min(vapply(vectors, length, 0))
  # as if nextElem() had been called n + 1 times: accumulate() looks at this
  for (arg in it$iargs) arg$state$i <- min(arg$length, n)
  it$state$numValues <- n
  it$state$stopped <- TRUE
  vectors <- vectors[nzchar(it$argnames)]
  names(vectors) <- it$argnames[nzchar(it$argnames)]
  round <- if (n > 0) list(n = n, args = function(j) lapply(vectors, `[[`, j))
  function() {
    on.exit(round <<- NULL)
    round
  }
}

# The vectors and lists that a loop runs over, or NULL if there is anything else among its arguments.
plain_vectors <- function(it) {
  if (!identical(class(it), c("iforeach", "iter"))) return(NULL)
  plain <- function(arg) identical(class(arg), c("containeriter", "iter")) && isFALSE(arg$recycle) &&
    identical(body(arg$checkFunc), TRUE) && identical(arg$state$i, 0L) && is.numeric(arg$length)
  if (!all(vapply(it$iargs, plain, NA))) return(NULL)
  states <- lapply(it$iargs, `[[`, "state")
  if (anyDuplicated(states)) return(NULL)
  lapply(states, `[[`, "obj")
}

# A round out of iterators, which only tell their next element.
read_round <- function(it, np, most = 65536L, seconds = 0.25, bytes = 256 * 2^20) {
  items <- list()
  n <- size <- 0
  began <- elapsed_now()
  tryCatch(repeat {
    args <- iterators::nextElem(it)
    n <- n + 1
    items[n] <- list(args)
    size <- size + sum(vapply(args, approximate_size, 0))
    if (n >= most || n >= np && size >= bytes || n >= 4 * np && elapsed_now() - began >= seconds) break
  }, error = function(e) if (!identical(conditionMessage(e), "StopIteration")) stop(e))
  if (n > 0) list(n = n, args = function(j) items[[j]])
}

approximate_size <- function(x) if (is.atomic(x)) 8 * length(x) else as.numeric(utils::object.size(x))
