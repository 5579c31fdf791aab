# A map: in forked workers, and in this process.

# Names of the items, or NULL. Those of an environment behind a class are its variables, not its items.
item_names <- function(sequence, n) {
  names <- names(sequence)
  if (!is.character(names) || length(names) != n) return(NULL)
  if (is.environment(sequence) && setequal(names, ls(sequence, all.names = TRUE))) return(NULL)
  names
}

new_local <- function(rank) {
  local <- new.env(parent = emptyenv())
  local$rank <- rank
  local
}

# ---- in forked workers ----

map_forked <- function(pool, state, func, each, sequence, n, names, reduce, np) {
  opts <- pool$options
  collect <- opts$on_error == "collect"
  setup <- worker_plan(max(1, floor(min(the$worker$budget, pool$np) / np)), collect, opts)
  setup$globals <- compiled_globals(func, n > 2 * np)
  retries <- if (collect || opts$retries > 0L) opts$retries else NA_integer_
  map <- .Call(ffi_map_new, np, as.double(n), names, retries, opts$timeout, constants$output[[opts$output]])
  state$map <- map
  progress <- watch_map(pool, map, n, np)
  on.exit({
    unwatch_map(pool, state, map, n, names, progress)
    unlink_worker_files(setup)
  })
  main <- function(rank) {
    worker_setup(setup)
    state$local <- new_local(rank)
    worker_loop(each, sequence, collect)
  }
  collect_garbage_before_fork()
  .Call(ffi_map_spawn, map, main, worker_jumped)
  end <- .Call(ffi_map_drive, map, reduce, map_events(collect, opts$timeout, progress), Inf, FALSE)
  if (end$state == "failed") stop(end$failure)
  if (end$state == "done") progress$done()
  .Call(ffi_map_results, map)
}

empty_results <- function(n, names) {
  out <- vector("list", n)
  names(out) <- names
  out
}

# `out` of a frame that closures keep alive, and only that: with a second reference to the list, R would copy a large
# result at its first assignment.
take_out <- function(frame) {
  out <- frame$out
  frame$out <- NULL
  out
}

# Trace and progress, as the pool's options ask for. nranks: workers, or ranks that take turns here.
watch_map <- function(pool, map, n, nranks) {
  if (pool$options$trace) .Call(ffi_trace_open, map, nranks, getOption("sharedmem.trace_events", 0))
  if (pool$options$progress) .Call(ffi_progress_wanted, map)
  progress_new(n, pool$options$progress)
}

# The map ends, however it came to that.
unwatch_map <- function(pool, state, map, n, names, progress) {
  on.exit(.Call(ffi_map_end, map))
  progress$abort()
  if (pool$options$trace) state$trace <- read_trace(map, n, names)
}

# A full collection in the children would write to the header of every object they share with the master, and each of them
# would have to do it. So the heap is collected here, before the fork, when private memory has passed 256 MiB and has
# grown by half since the last time.
collect_garbage_before_fork <- function() {
  private <- .Call(ffi_private_bytes)
  if (private < 256 * 2^20 || private < 1.5 * the$cache$collected_at) return()
  gc(verbose = FALSE)
  the$cache$collected_at <- .Call(ffi_private_bytes)
}

# ---- in this process ----

map_here <- function(pool, state, each, sequence, n, names, reduce) {
  out <- empty_results(n, names)
  collect <- pool$options$on_error == "collect"
  map <- .Call(ffi_map_new, 0L, as.double(n), NULL, NA_integer_, Inf, constants$output[["inherit"]])
  seed <- seed_here(map_seed(pool$options))
  state$map <- map
  ranks <- if (pool$backend$name == "thread") lapply(seq_len(max(1L, pool$np)) - 1L, new_local) else list(new_local(0L))
  progress <- watch_map(pool, map, n, length(ranks))
  on.exit({
    unwatch_map(pool, state, map, n, names, progress)
    seed$restore()
  })
  traced <- pool$options$trace
  done <- 0
  reducing <- stopped <- FALSE
  run <- function() while (done < n) {
    i <- done + 1
    state$item <- i
    state$local <- ranks[[(i - 1) %% length(ranks) + 1]]
    done <<- i
    seed$item(i)
    if (traced) .Call(ffi_trace_begin_here, map, state$local$rank, i)
    value <- each(sequence[[i]])
    if (traced) .Call(ffi_trace_end_here, map)
    progress$tick(i)
    if (!is.null(reduce)) {
      reducing <<- TRUE
      value <- apply_reduce(reduce, value)
      reducing <<- FALSE
    }
    if (!is.null(value)) out[[i]] <<- value
  }
  guarded <- function() withCallingHandlers(run(), error = function(e) {
    if (reducing || inherits(e, "StopProcessGroup")) return()
    calls <- calls_of_item(sys.calls(), sys.nframe() - 1L, quote(each(sequence[[i]])))
    e <- WorkerException(e, calls, state$item, state$local$rank, Sys.getpid())
    if (collect) invokeRestart("sharedmem_next", e) else stop(e)
  })
  repeat {
    failed <- withRestarts(
      tryCatch({ if (get_debug()) run() else guarded(); NULL },
               StopProcessGroup = function(e) { stopped <<- TRUE; NULL }),
      sharedmem_next = function(e) e)
    if (is.null(failed)) break
    if (traced) .Call(ffi_trace_end_here, map)
    out[[done]] <- failed
  }
  if (stopped) attr(out, "stopped") <- TRUE else progress$done()
  take_out(environment())
}

apply_reduce <- function(reduce, value)
  if (inherits(value, "sharedmem_tuple")) do.call(reduce, unclass(value), quote = TRUE) else reduce(value)
