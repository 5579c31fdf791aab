#' @name MapReduce
#' @aliases ProcessBackend
#' @rdname MapReduce
#' @format NULL
#' @export
ProcessBackend <- structure(list(name = "process"), class = c("sharedmem_process_backend", "sharedmem_backend"))

#' @export
format.sharedmem_process_backend <- function(x, ...) "<ProcessBackend: forked worker processes>"

# In forked workers; in those of the fork server where the session cannot be forked; in the session where there are none.
#' @export
run_map.sharedmem_process_backend <- function(backend, pool, job) {
  np <- if (job$here) 0L else min(resolve_np(pool$np), job$n)
  if (np == 0L) return(run_here(job, 1L))
  if (!fork_is_safe()) {
    server <- server_instead()
    return(if (is.null(server)) run_here(job, 1L) else run_served(server, pool, job, np))
  }
  often <- job$n > 2 * np
  func <- if (isTRUE(job$ready)) job$func else compiled(job$func, often)
  each <- job$each(func)
  run <- open_job(job, np)
  on.exit(close_job(job, run))
  setup <- worker_plan(max(1, floor(min(the$worker$budget, pool$np) / np)), run$collect, run$seed, job$options$threads)
  setup$globals <- if (isTRUE(job$ready)) job$globals else compiled_globals(func, often)
  main <- function(rank) {
    worker_setup(setup)
    job$state$local <- new_local(rank)
    worker_loop(each, job$sequence, run$collect)
  }
  collect_garbage_before_fork(others = !isTRUE(job$ready))
  .Call(ffi_map_spawn, run$map, main, worker_jumped)
  job_results(run, .Call(ffi_map_drive, run$map, job$reduce, run$events, Inf, FALSE))
}
