#' @rdname MapReduce
#' @format NULL
#' @export
ServerBackend <- structure(list(name = "server"), class = c("sharedmem_server_backend", "sharedmem_backend"))

#' @export
format.sharedmem_server_backend <- function(x, ...) "<ServerBackend: worker processes forked by the session's fork server>"

# In workers that the fork server forks; in a process of that server, which may be forked, in workers of its own.
#' @export
run_map.sharedmem_server_backend <- function(backend, pool, job) {
  np <- if (job$here) 0L else min(resolve_np(pool$np), job$n)
  if (np == 0L) run_here(job, 1L)
  else if (in_worker() || in_server()) run_map.sharedmem_process_backend(ProcessBackend, pool, job)
  else run_served(need_server(), pool, job, np)
}

# The map is the session's own: its memory, its results, what becomes of errors and deaths. Only its template and its workers are the
# fork server's.
run_served <- function(server, pool, job, np) {
  func <- compiled(job$func, job$n > 2 * np)
  run <- open_job(job, np, served = TRUE)
  on.exit(close_job(job, run))
  told <- list(kind = "map", func = func, sequence = job$sequence, star = job$star, more = job$more, collect = run$collect, seed = run$seed,
               budget = max(1, floor(min(the$worker$budget, pool$np) / np)), threads = job$options$threads,
               output = constants$output[[job$options$output]])
  served <- serve_map(server, run, told, np, job$n, job$state)
  on.exit(end_served(served), add = TRUE)
  .Call(ffi_map_spawn_served, run$map)
  job_results(run, .Call(ffi_map_drive, run$map, job$reduce, run$events, Inf, FALSE))
}

# A process of the server's becomes the template of a map. told: what it is to run; state: the environment of a pool, or NULL.
serve_map <- function(server, run, told, np, n, state) {
  served <- start_served(server, list(if (is.null(state)) new.env() else state))
  ok <- FALSE
  on.exit(if (!ok) end_served(served))
  told$streams <- .Call(ffi_job_streams, run$map)
  told$shape <- c(np, n, .Call(ffi_map_shape, run$map))
  told$session <- session_state()
  .Call(ffi_job_give, served$ptr, told, served$known)
  .Call(ffi_job_hand, served$ptr, run$map, told$streams)
  answer <- .Call(ffi_job_answer, served$ptr)
  if (is.null(answer)) abort_server(server, "the fork server could not start a process for the work")
  if (!is.null(answer$error)) abort_class("sharedmem_server_error", paste0("the fork server cannot run this: ", answer$error))
  .Call(ffi_job_adopt, served$ptr, run$map, answer$pid)
  ok <- TRUE
  served
}

# ---- in the process of a job ----

# Becomes the template of the session's map, which it does not return from.
serve_job <- function(id) {
  tryCatch({
    about <- .Call(ffi_job_take, NULL)
    state <- list2env(list(map = NULL, trace = NULL, seed = NULL, item = NA_real_, local = new_local(0L)), parent = emptyenv())
    known <- c(list(state), adopt_search(about$search, about$packages))
    told <- .Call(ffi_job_take, known)
    adopt_session(told$session)
    main <- job_main(told, state)
    state$map <- .Call(ffi_job_join, told$shape, told$output, told$streams)
  }, error = function(e) {
    .Call(ffi_job_reply, list(error = message_of(e)))
    .Call(ffi_job_take, NULL) # until the session has closed the line
  })
  .Call(ffi_job_reply, list(pid = Sys.getpid()))
  .Call(ffi_job_serve, state$map, main, worker_jumped)
}

# What each worker evaluates.
job_main <- function(told, state) {
  plan <- worker_plan(told$budget, told$collect, told$seed, told$threads)
  refuse_dead(told$func)
  if (told$kind == "background") {
    func <- function(item) do.call(told$func, told$more, quote = TRUE)
    sequence <- list(NULL)
  } else {
    func <- bind_arguments(told$func, told$star, told$more)
    sequence <- told$sequence
  }
  collect <- told$collect
  function(rank) {
    worker_setup(plan)
    state$local <- new_local(rank)
    worker_loop(func, sequence, collect)
  }
}
