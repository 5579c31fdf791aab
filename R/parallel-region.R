#' Parallel regions in the manner of OpenMP
#'
#' Makes a region; `with(p, { ... })` then runs the braces in `num_threads` processes at once: in the calling
#' process, which is rank 0, and in forked ones, ranks 1 ... `num_threads - 1`. They share the loops, sections,
#' barriers and variables of `p`.
#'
#' The braces see all variables of the function they stand in. What rank 0 assigns to ordinary variables stays, as
#' with OpenMP's master thread; what the other ranks assign to them is lost with their process. Results leave a region
#' through shared variables, reductions, and shared arrays. `with()` gives the value of the braces in rank 0.
#'
#' @section Inside the braces:
#' - `p$rank` (0 ... `num_threads - 1`), `p$num_threads`, `p$master` (`TRUE` in rank 0).
#' - `p$var$a`: the variable `a` of a clause, read and assigned; see [Shared()].
#' - `p$barrier()` returns when every process has reached it.
#' - `p$critical(expr)` or `with(p$critical, expr)` evaluates `expr` where it stands, in one process at a
#'   time, and gives its value.
#' - `p$single(expr, nowait = FALSE)`: the first process to arrive evaluates `expr`, and gives its value
#'   invisibly; the others give `NULL`. All wait for its end unless `nowait`.
#' - `p$forloop(range, body, schedule = "static", chunk = NULL, ordered = FALSE, nowait = FALSE)` calls `body(item)`
#'   for every item of `range` (anything with `length()` and `[[`), each in one of the processes. All wait
#'   for the end of the loop unless `nowait`. `schedule`, as in OpenMP:
#'     - `"static"`: each process has one block of about equal size; with `chunk`, blocks of `chunk` items go
#'       to the ranks in turn;
#'     - `"dynamic"`: a process that is free takes the next `chunk` (1) items;
#'     - `"guided"`: it takes what is left divided by the number of processes, at least `chunk` (1) items.
#'
#'   With `ordered = TRUE` it calls `body(item, ordered)`, and `ordered(expr)` or `with(ordered, expr)` is evaluated
#'   by one process at a time in the order of `range`. An item that ends without entering its section
#'   passes its turn on; entering it twice, or from inside `critical`, is an error of class `sharedmem_lock_error`.
#'
#' As in OpenMP every process must meet the same loops, `single()`s and barriers in the same order, and none of
#' these may stand inside the body of a loop, `single()`, or `critical`. Where it is seen that they do not, and where a
#' process ends while others wait for it in a barrier, the error, or the `reason` of the [WorkerException], has class
#' `sharedmem_region_error`.
#'
#' @section Errors:
#' An error in any process, or the death of one, ends all others, whatever they were waiting for, and raises a [WorkerException]
#' in the caller, with the rank it happened in (0: the calling process itself). The caller notices it while it computes, too: by an
#' interrupt that is its own, so a handler for interrupts inside the braces sees it. Warnings and messages of the other ranks
#' reach the caller when the region has ended, in the order of the ranks; what they print does while the caller waits, and then.
#'
#' @section Random numbers:
#' Every rank has a generator of the session's kind, so `set.seed(i)` gives the same numbers in each. Rank 0 goes on with the
#' session's own, which the region does not move; the others begin at seeds that are derived from it and from the number of
#' regions and background calls since it last moved, so that results depend on `set.seed()` and `num_threads` where the
#' schedule is static.
#'
#' @section Differences from Python:
#' The body of a loop is a function. A reduction starts at the operation's identity and the given value counts once, as in OpenMP; in
#' Python every process starts at the given value, which then counts `num_threads` times. `chunk` counts for static loops
#' too, and is an argument of its own. Loops have an implied barrier. The error raised is a `WorkerException` whose
#' `reason` is the original one. `single()` and `nowait` have no Python counterpart.
#'
#' @param ... Clauses: [Shared()], [Private()], [Reduction()]. No two variables may have the same name.
#' @param num_threads Whole number of at least 1: processes, the caller included. `NULL` means [cpu_count()]. A
#'   region inside a worker or another region gets fewer, so that the machine is not oversubscribed. In debug mode
#'   (see [set_debug()]) it is 1. Where the session cannot be forked, the other ranks are processes of its [fork_server()].
#' @return An object of class `sharedmem_region` (an environment). Bad arguments give an error of class `sharedmem_argument_error`.
#' @source `sharedmem.Parallel` of the Python package's 0.2 line; `#pragma omp parallel`, `for`, `single`, `critical`,
#'   `ordered` and `barrier` of OpenMP.
#' @seealso [Shared()], [MapReduce()], [sharedmem_error], [set_debug()]
#' @aliases barrier forloop single region
#' @examples
#' p <- Parallel(Shared(count = 0), Reduction("+", total = c(0, 0)), num_threads = 2)
#' with(p, {
#'   p$forloop(1:10, function(i) p$var$total <- p$var$total + c(i, i^2))
#'   p$critical(p$var$count <- p$var$count + 1)
#' })
#' p$var$total
#' p$var$count
#'
#' # sections in the order of the loop, whoever runs the items
#' p <- Parallel(Shared(n = 0L, order = integer(6)), num_threads = 2)
#' with(p, p$forloop(1:6, schedule = "dynamic", ordered = TRUE, body = function(i, ordered) {
#'   sq <- i^2
#'   ordered({
#'     p$var$n <- p$var$n + 1L
#'     p$var$order[p$var$n] <- i
#'   })
#' }))
#' p$var$order[]
#' @export
Parallel <- function(..., num_threads = NULL) {
  clauses <- list(...)
  requested <- check_np(num_threads, "num_threads", 1L)
  state <- new.env(parent = emptyenv())
  state$ptr <- NULL
  state$requested <- if (is.null(requested)) cpu_count() else requested
  p <- new.env(parent = emptyenv())
  p$rank <- 0L
  p$master <- TRUE
  p$num_threads <- state$requested
  p$var <- new_variables(clauses)
  p$barrier <- function() invisible(.Call(ffi_region_barrier, state$ptr, 1L))
  p$critical <- region_section(function(expr) .External2(ffi_region_critical, state$ptr))
  state$ordered <- region_section(function(expr) .External2(ffi_region_ordered, state$ptr))
  p$single <- function(expr, nowait = FALSE) region_single(state, expr, nowait)
  p$forloop <- function(range, body, schedule = c("static", "dynamic", "guided"), chunk = NULL, ordered = FALSE, nowait = FALSE)
    region_forloop(state, range, body, schedule, chunk, ordered, nowait)
  p$.run <- function(code, frame) region_run(p, state, code, frame)
  lockEnvironment(p)
  structure(p, class = "sharedmem_region")
}

region_section <- function(f) structure(f, class = "sharedmem_section")

#' @rdname Parallel
#' @param data,x An object of class `sharedmem_region`.
#' @param expr Braces: what the processes run.
#' @export
with.sharedmem_region <- function(data, expr, ...) {
  out <- data$.run(substitute(expr), parent.frame())
  if (out$visible) out$value else invisible(out$value)
}

#' @rdname Parallel
#' @export
print.sharedmem_region <- function(x, ...) {
  n <- x$num_threads
  cat(sprintf("<Parallel region: %d process%s>\n", n, if (n == 1L) "" else "es"))
  print(x$var)
  invisible(x)
}

# `p$var$a <- v` ends with an assignment of p$var itself, which is where it was.
#' @export
`$<-.sharedmem_region` <- function(x, name, value) {
  if (!identical(name, "var") || !base::identical(value, x$var))
    abort_class("sharedmem_region_error", sprintf("`%s` of a region cannot be assigned; its variables are p$var$<name>", name))
  x
}

#' @export
`[[<-.sharedmem_region` <- `$<-.sharedmem_region`

# ---- running a region ----

# The interrupt by which the sentinel says that a member has failed may come anywhere until the region has ended. It ends the braces,
# or nothing where these have ended.
region_run <- function(p, state, code, frame) {
  if (!is.null(state$ptr))
    abort_class("sharedmem_region_error", "this region runs already: a region inside it needs a Parallel() of its own")
  withCallingHandlers(region_here(p, state, code, frame), interrupt = function(i)
    if (.Call(ffi_region_told, state$ptr)) {
      region_unwind(state$id)
      tryInvokeRestart("resume")
    })
}

region_here <- function(p, state, code, frame) {
  debug <- get_debug()
  nproc <- if (debug) 1L else max(1L, resolve_np(state$requested))
  server <- if (nproc > 1L && !fork_is_safe()) server_instead()
  if (is.null(server) && !fork_is_safe()) nproc <- 1L
  state$id <- id <- the$session$regions <- the$session$regions + 1L
  budget <- the$worker$budget
  ptr <- NULL
  served <- new_served()
  on.exit({
    .Call(ffi_region_end, ptr)
    end_served(served)
    state$ptr <- NULL
    the$worker$budget <- budget
    region_place(p, 0L, state$requested)
    variables_end(p$var)
  })
  state$ptr <- ptr <- .Call(ffi_region_new, nproc, id, !is.null(server))
  the$worker$budget <- max(1, floor(min(budget, state$requested) / nproc))
  variables_begin(p$var)
  region_place(p, 0L, nproc)
  braces <- code
  if (!debug) code <- region_compile(code, frame)
  if (nproc > 1L) {
    seeds <- member_seeds(map_seed("background"), nproc)
    if (is.null(server)) region_spawn(p, ptr, nproc, seeds, code, frame)
    else region_serve(served, server, p, state, ptr, nproc, seeds, code, braces, frame)
  }
  braces_here <- function() withCallingHandlers({
    value <- withVisible(eval(code, frame))
    value$loops <- .Call(ffi_region_leave, ptr)
    value
  }, error = function(e) if (!debug) owner_error(e, ptr, id))
  out <- withRestarts({
    .Call(ffi_region_watch, ptr)
    if (debug) braces_here() else catch_overflow(braces_here(), function(e) owner_error(e, ptr, id))
  }, sharedmem_region = function() NULL)
  end <- .Call(ffi_region_collect, ptr)
  region_settle(p$var, ptr, out, end)
  out
}

region_place <- function(p, rank, nproc) {
  assign("rank", rank, envir = p)
  assign("master", rank == 0L, envir = p)
  assign("num_threads", nproc, envir = p)
}

# Compiled once, before the fork. Only operators and control flow are inlined: the braces may define functions.
region_compile <- function(code, frame) {
  if (!is.call(code)) return(code)
  tryCatch(compiler::compile(code, frame, list(optimize = 2L, suppressAll = TRUE)), error = function(e) code)
}

# Called from C in rank 0 when the region has failed elsewhere: to the end of the braces.
region_unwind <- function(id) {
  for (r in computeRestarts())
    if (identical(r$name, "sharedmem_region") && identical(environment(r$handler)$id, id)) invokeRestart(r)
}

# An error in rank 0, unless another rank has failed before.
owner_error <- function(e, ptr, id) {
  if (!.Call(ffi_region_fail, ptr)) region_unwind(id)
  calls <- calls_of_region(sys.calls(), sys.nframe() - 2L)
  raise_failure(WorkerException(e, calls, NA_integer_, 0L, Sys.getpid()))
}

# From the braces to the handler that asks, without both.
calls_of_region <- function(calls, last)
  tryCatch(calls_of_item(calls, last, quote(eval(code, frame)))[-1L], error = function(e) character())

# What the members have sent: reductions, then warnings and messages in the order of the ranks, then the failure. end: what
# ffi_region_collect() gives.
region_settle <- function(vars, ptr, out, end) {
  frames <- end$frames[order(vapply(end$frames, `[[`, 1L, "rank"))]
  of_type <- function(type) Filter(function(f) f$type == type, frames)
  results <- of_type("result")
  failure <- if (is.na(end$failed)) region_agreement(out, results) else region_failure(end, of_type("error"), .Call(ffi_region_pids, ptr))
  if (is.null(failure)) variables_combine(vars, lapply(results, function(f) f$value$partial))
  relay <- new_relay()
  give_all <- function() {
    for (f in of_type("condition")) relay$give(f$value)
    relay$end(Reduce(`+`, lapply(results, function(f) f$value$suppressed), c(0, 0)))
  }
  if (is.null(failure)) return(give_all())
  beside_failure(give_all())
  raise_failure(failure)
}

# Of the rank that failed first: its error, or how it ended.
region_failure <- function(end, errors, pids) {
  rank <- end$failed
  for (f in errors) if (f$rank == rank) return(failure_from(f))
  failure_from(list(type = if (end$quit) "quit" else "death", value = end$status, item = NA_integer_, rank = rank, pid = pids[rank + 1L]))
}

# Every rank must have met as many loops as rank 0.
region_agreement <- function(out, frames) {
  for (f in frames) if (f$item != out$loops + 1) {
    text <- sprintf("the processes of the region do not agree: rank %d met %.0f loops, rank 0 met %.0f", f$rank, f$item - 1, out$loops)
    e <- structure(class = c("sharedmem_region_error", "sharedmem_error", "error", "condition"),
                   list(message = text, call = NULL))
    return(WorkerException(e, character(), NA_integer_, f$rank, f$pid))
  }
}

# ---- the members ----

region_spawn <- function(p, ptr, nproc, seeds, code, frame) {
  todo <- region_main(p, ptr, nproc, worker_plan(the$worker$budget, FALSE, NULL), seeds, code, frame)
  collect_garbage_before_fork()
  .Call(ffi_region_spawn, ptr, todo$main, todo$jumped)
}

# Members that the fork server forks. The session runs the braces itself, so what these mention goes with them.
region_serve <- function(served, server, p, state, ptr, nproc, seeds, code, braces, frame) {
  parts <- lapply(list(state, p, p$var), as.list.environment, all.names = TRUE)
  parts[[1L]]["ptr"] <- list(NULL)
  told <- list(kind = "region", region = parts, nproc = nproc, owner = Sys.getpid(), budget = the$worker$budget, seeds = seeds, code = code,
               frame = frame)
  serve_team(served, server, ptr, told, list(state, p, p$var), as.function(list(braces), frame))
  .Call(ffi_region_spawn_served, ptr)
}

# What a member evaluates, and what follows a jump to top level.
region_main <- function(p, ptr, nproc, plan, seeds, code, frame) {
  suppressed <- c(0, 0)
  send <- function(type) function(value) .Call(ffi_region_send, ptr, constants$frame[[type]], value)
  relay <- function(cond, kind) relay_condition(cond, kind, send("condition"), function(kind) suppressed[kind] <<- suppressed[kind] + 1)
  fail <- function(e, calls) {
    if (.Call(ffi_region_fail, ptr)) report_failure(send("error"), e, calls)
    .Call(ffi_region_exit, ptr)
  }
  main <- function(rank) {
    worker_setup(plan)
    region_place(p, rank, nproc)
    set.seed(seeds[rank + 1L]) # of the same kind as rank 0's
    catch_overflow(withCallingHandlers({
      eval(code, frame)
      .Call(ffi_region_leave, ptr)
      send("result")(list(partial = variables_partial(p$var), suppressed = suppressed))
    },
    error = function(e) fail(e, calls_of_region(sys.calls(), sys.nframe() - 2L)),
    warning = function(w) relay(w, 1L),
    message = function(m) relay(m, 2L),
    progression = function(p) relay_progression(p, send("condition"))),
    function(e) fail(e, character()))
  }
  before <- geterrmessage()
  list(main = main, jumped = function() fail(jump_reason(before), character()))
}

# ---- loops ----

region_forloop <- function(state, range, body, schedule, chunk, ordered, nowait) {
  ptr <- state$ptr
  if (!is.function(body)) abort_argument("body", describe_value(body), "a function")
  kind <- check_schedule(schedule)
  check_flag(ordered, "ordered")
  check_flag(nowait, "nowait")
  .Call(ffi_region_loop_begin, ptr, as.double(length(range)), kind, check_chunk(chunk), ordered, FALSE)
  on.exit(.Call(ffi_region_loop_end, ptr))
  while (!is.null(claim <- .Call(ffi_region_loop_claim, ptr))) {
    if (ordered) run_ordered(ptr, range, body, claim[1L], claim[2L], state$ordered)
    else run_items(range, body, claim[1L], claim[2L])
  }
  .Call(ffi_region_loop_end, ptr)
  if (!nowait) .Call(ffi_region_barrier, ptr, 2L)
  invisible(NULL)
}

run_items <- function(range, body, from, to)
  for (i in seq.int(from, to)) forceAndCall(1, body, range[[i]])

run_ordered <- function(ptr, range, body, from, to, section)
  for (i in seq.int(from, to)) {
    .Call(ffi_region_loop_item, ptr, i)
    forceAndCall(2, body, range[[i]], section)
  }

region_single <- function(state, expr, nowait) {
  ptr <- state$ptr
  check_flag(nowait, "nowait")
  .Call(ffi_region_loop_begin, ptr, 1, 1L, 1, FALSE, TRUE)
  on.exit(.Call(ffi_region_loop_end, ptr))
  value <- if (!is.null(.Call(ffi_region_loop_claim, ptr))) expr
  .Call(ffi_region_loop_end, ptr)
  if (!nowait) .Call(ffi_region_barrier, ptr, 3L)
  invisible(value)
}

check_schedule <- function(schedule) {
  choices <- names(constants$schedule)
  if (identical(schedule, choices)) return(0L)
  if (!is.character(schedule) || length(schedule) != 1L || !schedule %in% choices)
    abort_argument("schedule", describe_value(schedule), "\"static\", \"dynamic\" or \"guided\"")
  constants$schedule[[schedule]]
}
