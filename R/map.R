# A map as a job for a back end, and what all back ends share.
#
# A job is a list: func; each, a function that binds map()'s further arguments to a function, for calls with an item alone; star and
# more, those arguments (bind_arguments()); sequence; n, its length; names; reduce; here, TRUE where the session is to run it itself;
# options of the pool; state, the pool's environment of what changes. One that is part of another session's map has besides:
# ready, its functions are compiled; globals, for the workspaces of workers; seed; events; part, a list with what the parts of the
# whole have in common, and where this one lies in it.

# Run a job: a list of results, or an error. One method a back end, in a file of its own.
run_map <- function(backend, pool, job) UseMethod("run_map")

# Random numbers, control memory, trace and progress for a job. np: workers, 0 for none. ranks: those of the trace.
# served: workers are no forks of this process.
open_job <- function(job, np, ranks = np, served = FALSE) {
  opts <- job$options
  collect <- opts$on_error == "collect"
  seed <- if (is.null(job$seed)) map_seed(opts$seed) else job$seed
  retries <- if (opts$retries > 0L) opts$retries
             else if (!collect) NA_integer_
             else if (is.null(job$reduce) && !served) -1L # nothing but the map runs in the session: successors can be its forks, too
             else 0L
  map <- .Call(ffi_map_new, np, as.double(job$n), job$names, retries, opts$timeout, constants$output[[opts$output]])
  job$state$map <- map
  if (!is.null(job$part)) .Call(ffi_remote_part, map, job$part$common, job$part$first, job$part$rank0)
  if (served) .Call(ffi_map_share, map)
  if (opts$trace) .Call(ffi_trace_open, map, ranks, getOption("sharedmem.trace_events", 0))
  if (opts$progress) .Call(ffi_progress_wanted, map)
  progress <- if (is.null(job$events)) progress_new(job$n, opts$progress) else progress_off
  label <- function(item) if (is.na(item)) NA_character_ else item_label(job$sequence, job$names, item)
  events <- if (is.null(job$events)) map_events(collect, opts$timeout, progress, label) else job$events
  list(map = map, seed = seed, collect = collect, progress = progress, events = events)
}

# The job ends, however it came to that.
close_job <- function(job, run) {
  on.exit(.Call(ffi_map_end, run$map))
  run$progress$abort()
  if (job$options$trace) job$state$trace <- read_trace(run$map, job$n, job$names)
}

# end: list(state, failure) of the loop that has delivered the results.
job_results <- function(run, end) {
  if (end$state == "failed") raise_failure(end$failure)
  if (end$state == "done") run$progress$done()
  .Call(ffi_map_results, run$map)
}

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

empty_results <- function(n, names) {
  out <- vector("list", n)
  names(out) <- names
  out
}

# A full collection in the children would write to the header of every object they share with the owner, and each of them
# would have to do it. So the heap is collected here, before the fork, when private memory has passed 256 MiB and has
# grown by half since the last time. others: what other packages may have left is collected in any case.
collect_garbage_before_fork <- function(others = TRUE) {
  # a child that collects its objects hangs or aborts, because their finalizers need threads that it does not have
  if (others && isNamespaceLoaded("nanonext")) gc(verbose = FALSE)
  private <- .Call(ffi_private_bytes)
  if (private < 256 * 2^20 || private < 1.5 * the$cache$collected_at) return()
  gc(verbose = FALSE)
  the$cache$collected_at <- .Call(ffi_private_bytes)
}
