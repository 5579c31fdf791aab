#' parallel's functions on sharedmem's workers
#'
#' `mclapply()`, `pvec()`, `mcmapply()` and `mcMap()` take the arguments of parallel's functions of the same names and give their
#' results, computed by the workers of a [MapReduce()] pool: items are scheduled one by one, a worker's death
#' is named, loses one item at most, and large results arrive without being sent through a pipe.
#'
#' `library(sharedmem)` after `library(parallel)`, or `sharedmem::mclapply()`, is the whole port of a script. A package attached
#' later that attaches parallel, as `doParallel` does, puts parallel's functions in front again. Packages that import parallel's
#' functions are reached by [use_for_parallel()].
#'
#' @section What differs from parallel:
#' - An item that fails gives a `try-error` in its own place, under `mc.preschedule = TRUE` too, where parallel fails the whole share
#'   of a core. So does one whose worker died (parallel gives `NULL`): the condition behind it is the [WorkerException] that names the
#'   signal.
#'   A warning of class `sharedmem_lost_warning` counts both.
#' - Random numbers: with `mc.set.seed = TRUE` each item draws from a generator of its own, derived from the session's, which moves on by
#'   one step. So results depend on `set.seed()` alone, whatever the kind of generator, `mc.cores` and the scheduling. With `FALSE` each
#'   item begins with the session's generator as it stands. The item's generator is of the kind L'Ecuyer-CMRG: `set.seed(i)` inside of `FUN`
#'   gives the same numbers in each run, and those of the session's kind as `set.seed(i, kind = "Mersenne-Twister")`.
#' - With one core or fewer than two items everything runs in the session and an error is raised as it is, as parallel does.
#' - Warnings, messages and output of workers reach the session; see [MapReduce()].
#' - A call inside a worker gets no more workers than the machine has processors left.
#'
#' @param X A vector (atomic or list), or an object that `as.list()` makes one.
#' @param FUN,f Function of an item and `...`. For `pvec()` of a part of `v`, giving a vector as long as that.
#' @param ... Further arguments of `FUN`. For `mcmapply()` and `mcMap()`: vectors to go along, as in [mapply()].
#' @param v A vector.
#' @param MoreArgs,SIMPLIFY,USE.NAMES As in [mapply()].
#' @param mc.preschedule,mc.cleanup `TRUE` or `FALSE`: accepted and without effect: items are always scheduled dynamically, and workers
#'   always end with the call.
#' @param mc.set.seed `TRUE` or `FALSE`: see the section on what differs from parallel.
#' @param mc.silent `TRUE` drops what workers print to their standard output.
#' @param mc.cores Whole number of at least 1: workers.
#' @param mc.allow.recursive `FALSE`: inside a worker everything runs in that worker.
#' @param affinity.list `NULL` or a list as long as `X`: the processors on which each item may run, as in [parallel::mcaffinity()].
#' @param retries,timeout,progress Options of the pool, by name; see [MapReduce()]. A function that has an argument of such
#'   a name gets it instead.
#' @return A list as long as `X`, with its names. `pvec()`: a vector. `mcmapply()`: as [mapply()].
#'   Bad arguments give an error of class `sharedmem_argument_error`.
#' @source `mclapply()`, `pvec()`, `mcmapply()` and `mcMap()` of R's package parallel.
#' @seealso [mcparallel()], [use_for_parallel()], [MapReduce()]
#' @examples
#' unlist(mclapply(1:4, function(i) i^2, mc.cores = 2))
#' mcmapply(function(a, b) a + b, 1:3, 4:6, mc.cores = 2)
#' pvec(1:10, sqrt, mc.cores = 2)
#'
#' # one item fails: it alone is lost
#' r <- suppressWarnings(mclapply(1:3, function(i) if (i == 2) stop("no") else i, mc.cores = 2))
#' sapply(r, inherits, "try-error")
#' @export
mclapply <- function(X, FUN, ..., mc.preschedule = TRUE, mc.set.seed = TRUE, mc.silent = FALSE,
                     mc.cores = getOption("mc.cores", 2L), mc.cleanup = TRUE, mc.allow.recursive = TRUE, affinity.list = NULL,
                     retries = 0L, timeout = Inf, progress = FALSE) {
  FUN <- match.fun(FUN)
  cores <- check_cores(mc.cores)
  check_flag(mc.set.seed, "mc.set.seed")
  check_flag(mc.silent, "mc.silent")
  if (!is.vector(X) || is.object(X)) X <- as.list(X)
  n <- length(X)
  if (!is.null(affinity.list) && length(affinity.list) < n)
    abort_argument("affinity.list", sprintf("%d elements", length(affinity.list)), sprintf("NULL or a list as long as X (%d)", n))
  given <- list(retries = retries, timeout = timeout, progress = progress)
  given <- given[!c(missing(retries), missing(timeout), missing(progress))]
  theirs <- names(given) %in% names(formals_of(FUN))
  FUN <- compiled(FUN, n > 2 * cores)
  # the call is lapply()'s: what a function sees of it, and what it tells in an error, is what it would be there
  lapply_call <- function(...) structure(function(i) FUN(X[[i]], ...),
                                         inlined = list(frame = environment(), item = quote(i), call = quote(FUN(X[[i]], ...))))
  if (any(theirs)) each <- do.call(lapply_call, c(list(...), given[theirs]), quote = TRUE)
  else {
    try_arguments(...)
    each <- lapply_call(...)
  }
  if (!is.null(affinity.list)) each <- pinned(each, affinity.list)
  if (mc.silent) each <- silenced(each)
  i <- seq_len(n)
  names(i) <- names(X)
  alone <- cores < 2L || n < 2L || (!isTRUE(mc.allow.recursive) && in_worker())
  if (alone && all(theirs)) map_alone(each, i, mc.set.seed)
  else map_lossy(each, i, c(list(np = max(1L, min(cores, n)), seed = mc.set.seed), given[!theirs]))
}

#' @rdname mclapply
#' @export
pvec <- function(v, FUN, ..., mc.set.seed = TRUE, mc.silent = FALSE, mc.cores = getOption("mc.cores", 2L), mc.cleanup = TRUE) {
  if (!is.vector(v)) abort_argument("v", describe_value(v), "a vector")
  FUN <- match.fun(FUN)
  cores <- check_cores(mc.cores)
  n <- length(v)
  if (cores < 2L || n == 0L) return(FUN(v, ...))
  # parallel's parts: the first ones are longer by one, and elements are alone where there are no more of them than workers
  sizes <- rep(n %/% cores, cores) + (seq_len(cores) <= n %% cores)
  parts <- if (n <= cores) as.list(unname(v)) else Map(function(to, size) v[seq.int(to - size + 1, to)], cumsum(sizes), sizes)
  out <- do.call(c, mclapply(parts, FUN, ..., mc.set.seed = mc.set.seed, mc.silent = mc.silent, mc.cores = cores), quote = TRUE)
  if (length(out) != n) warn_class("sharedmem_lost_warning", "some results may be missing, folded or caused an error")
  out
}

#' @rdname mclapply
#' @export
mcmapply <- function(FUN, ..., MoreArgs = NULL, SIMPLIFY = TRUE, USE.NAMES = TRUE, mc.preschedule = TRUE, mc.set.seed = TRUE,
                     mc.silent = FALSE, mc.cores = getOption("mc.cores", 2L), mc.cleanup = TRUE, affinity.list = NULL) {
  FUN <- match.fun(FUN)
  along <- list(...)
  if (!length(along)) return(list())
  n <- max(lengths(along))
  if (n && min(lengths(along)) == 0L)
    abort_argument("...", "vectors of length 0 and of other lengths", "vectors of which all or none have length 0")
  first <- along[[1L]]
  along <- lapply(along, function(x) if (length(x) == n) x else rep(x, length.out = n))
  each <- function(i) .mapply(FUN, lapply(along, `[`, i), MoreArgs) # a list of one, as a failure is not
  out <- mclapply(seq_len(n), each, mc.set.seed = mc.set.seed, mc.silent = mc.silent, mc.cores = mc.cores, affinity.list = affinity.list)
  if (USE.NAMES) names(out) <- if (is.null(names(first)) && is.character(first)) first else names(first)
  failed <- vapply(out, inherits, NA, "try-error")
  out[!failed] <- lapply(out[!failed], `[[`, 1L)
  if (identical(SIMPLIFY, FALSE) || any(failed)) out else simplify2array(out, higher = identical(SIMPLIFY, "array"))
}

#' @rdname mclapply
#' @export
mcMap <- function(f, ...) mcmapply(match.fun(f), ..., SIMPLIFY = FALSE, mc.silent = TRUE)

check_cores <- function(cores) {
  n <- suppressWarnings(as.integer(cores))
  if (length(n) != 1L || is.na(n) || n < 1L) abort_argument("mc.cores", describe_value(cores), "a whole number of at least 1")
  n
}

# In a process of a team, or in one of background(), whose maps are not limited.
in_worker <- function() is.finite(the$worker$budget) || identical(base::quit, quit_worker)

# In the session: errors as they are, and the random numbers of a map unless the caller wants the session's.
map_alone <- function(each, i, seed) {
  if (!seed) return(lapply(i, each))
  tryCatch(MapReduce(np = 0)$map(each, i), WorkerException = function(e) stop(e$reason))
}

# A try-error in the place of what failed, and a warning that counts.
map_lossy <- function(each, i, options) {
  if (!options$seed) each <- from_seed(each)
  out <- do.call(MapReduce, c(options, on_error = "collect"))$map(each, i)
  failed <- .Call(ffi_util_inheriting, out, "WorkerException")
  lost <- failed[vapply(out[failed], died, NA)]
  wrong <- length(failed) - length(lost)
  text <- c(if (wrong) sprintf(ngettext(wrong, "%d function call resulted in an error", "%d function calls resulted in an error"), wrong),
            if (length(lost)) sprintf(ngettext(length(lost), "%d function call did not deliver a result: %s",
                                               "%d function calls did not deliver a result; the first: %s"),
                                      length(lost), conditionMessage(out[[lost[1L]]])))
  out[failed] <- lapply(out[failed], as_try_error)
  if (length(failed)) warn_class("sharedmem_lost_warning", paste(text, collapse = "; "), errors = wrong, lost = length(lost))
  out
}

# Is it about the death of a process, and no error that it raised?
died <- function(e) identical(e$message, e$reason$message)

# What try() would have given for the condition behind a WorkerException; for a death it is that exception itself.
as_try_error <- function(e) try(stop(if (died(e)) e else e$reason), silent = TRUE)

# Each item begins with the generator as the session has it now.
from_seed <- function(each) {
  force(each)
  seed <- get0(".Random.seed", envir = globalenv(), inherits = FALSE)
  if (is.null(seed)) return(each)
  function(x) {
    assign(".Random.seed", seed, envir = globalenv())
    each(x)
  }
}

# The function of i that runs item i on the processors of affinity[[i]].
pinned <- function(each, affinity) {
  force(each)
  function(i) {
    before <- parallel::mcaffinity()
    on.exit(parallel::mcaffinity(before))
    parallel::mcaffinity(affinity[[i]])
    each(i)
  }
}

# As parallel does it: what a worker writes to stdout goes nowhere, what it writes to stderr is told.
silenced <- function(each) {
  force(each)
  function(...) {
    if (in_worker()) .Call(ffi_output_silence, NULL)
    each(...)
  }
}

# Evaluates arguments once, before the fork. One that cannot be evaluated is the items' matter, if they ask for it.
try_arguments <- function(...) tryCatch(list(...), error = function(e) NULL)
