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
  served <- new_served()
  on.exit(end_served(served), add = TRUE)
  serve_map(served, server, run$map, told, np, job$n, job$state)
  .Call(ffi_map_spawn_served, run$map)
  job_results(run, .Call(ffi_map_drive, run$map, job$reduce, run$events, Inf, FALSE))
}

# A process of the server's becomes the template of a map. told: what it is to run; state: the environment of a pool, or NULL.
serve_map <- function(served, server, map, told, np, n, state) {
  told$shape <- c(np, n, .Call(ffi_map_shape, map))
  serve_team(served, server, map, told, list(if (is.null(state)) new.env() else state), if (told$kind == "background") told$func)
}

# The same for whatever has a team. served: new, and its caller's to end, whatever happens here. shared: environments that the job's process
# has, too, as job_shared() makes them. early: a function whose variables go at once, since the session will not wait while it runs.
serve_team <- function(served, server, of, told, shared, early = NULL) {
  start_served(served, server, shared, told$kind)
  told$streams <- .Call(ffi_job_streams, of)
  told$session <- session_state()
  if (!is.null(early)) told$variables <- mentioned_variables(early, served$scopes[[1L]], shared)
  .Call(ffi_job_give, served$ptr, told, served$known)
  .Call(ffi_job_hand, served$ptr, of, told$streams)
  answer <- .Call(ffi_job_answer, served$ptr)
  if (is.null(answer)) abort_server(server, "the fork server could not start a process for the work")
  if (!is.null(answer$error)) abort_class("sharedmem_server_error", paste0("the fork server cannot run this: ", answer$error))
  .Call(ffi_job_adopt, served$ptr, of, answer$pid)
}

# ---- in the process of a job ----

# Becomes the template of the session's map, region or cluster, which it does not return from.
serve_job <- function(id) {
  tryCatch({
    about <- .Call(ffi_job_take, NULL)
    shared <- job_shared(about$kind)
    told <- .Call(ffi_job_take, c(shared, adopt_search(about$search, about$packages)))
    adopt_session(told$session)
    adopt_classes(about$search[[1L]]$variables)
    list2env(lapply(told$variables, unpack), globalenv())
    job <- switch(about$kind, region = job_region(told, shared), cluster = job_cluster(told), job_map(told, shared[[1L]]))
    .Call(ffi_job_dress, job$of, told$streams)
  }, error = function(e) {
    .Call(ffi_job_reply, list(error = message_of(e)))
    .Call(ffi_job_take, NULL) # until the session has closed the line
  })
  .Call(ffi_job_reply, list(pid = Sys.getpid()))
  .Call(ffi_job_serve, job$of, job$main, job$jumped)
}

# Environments that stand for the session's: the state of a pool; of a region, itself and its variables.
job_shared <- function(kind) {
  new <- function(class = NULL) structure(new.env(parent = emptyenv()), class = class)
  switch(kind, region = list(new(), new("sharedmem_region"), new("sharedmem_variables")), cluster = list(),
         list(list2env(list(map = NULL, trace = NULL, seed = NULL, item = NA_real_, local = new_local(0L)), parent = emptyenv())))
}

job_map <- function(told, state) {
  main <- map_main(told, state)
  state$map <- .Call(ffi_job_join, told$shape, told$output)
  list(of = state$map, main = main, jumped = worker_jumped)
}

job_region <- function(told, shared) {
  for (i in seq_along(shared)) list2env(told$region[[i]], shared[[i]])
  ptr <- .Call(ffi_region_join, told$nproc, .Call(ffi_job_memory), told$owner)
  shared[[1L]]$ptr <- ptr
  the$worker$budget <- told$budget
  refuse_dead(eval(call("function", NULL, NULL), told$frame))
  c(of = ptr, region_main(shared[[2L]], ptr, told$nproc, worker_plan(told$budget, FALSE, NULL), told$seeds, told$code, told$frame))
}

job_cluster <- function(told) {
  cl <- new.env(parent = emptyenv())
  cl$ptr <- .Call(ffi_node_join, told$n, told$output, .Call(ffi_job_memory), told$owner)
  list(of = cl$ptr, main = node_main(cl, worker_plan(told$budget, FALSE, NULL, told$threads), told$seeds), jumped = function() NULL)
}

# What each worker of a map evaluates.
map_main <- function(told, state) {
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
