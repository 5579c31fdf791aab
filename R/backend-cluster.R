#' Maps over the daemons of mirai
#'
#' A back end for [MapReduce()]: `pool$map()` runs its items on the daemons of package mirai that are set: on this machine, on others by
#' SSH, or started by a scheduler such as Slurm or PBS. Each daemon runs its share in workers forked from it, on all of its processors.
#'
#' The daemons are the user's: `mirai::daemons()` sets and resets them, and this package never does. Where none are set, a map is
#' an error of class `sharedmem_cluster_error`. Package sharedmem has to be installed where the daemons run, in the same version. Daemons
#' that join while a map runs take part in it.
#'
#' @section What is the same as at home:
#' Order and names of the results, [tuple()], `star`, `minlength`, `reduce` (which runs in the session as results arrive), `on_error`,
#' `timeout`, `retries`, `progress`, `trace` (its events have a column `host`), warnings, messages and output, and the random numbers:
#' an item
#' draws the same ones wherever it runs. A [WorkerException] has the field `host`.
#'
#' @section What a function finds there:
#' `func`, the variables of functions it encloses, and the variables of the workspace that it and the functions it calls name (also
#' those that lists and environments hold, as R6 objects do) are sent, once to each daemon and not with each chunk; a second map with
#' the same function and values sends nothing. More than 50 MB are told by a message of class `sharedmem_cluster_message`.
#' Methods (`print.money`, `+.money`) that the workspace defines go along. What is only found by a name made at run time
#' (`get(paste0("x", i))`) is named in `export`. S4 and R5 classes of the workspace do not go along: put them into a package.
#' Packages that are attached in the session are attached there for the time of a chunk, where they are installed.
#' Working directory, environment variables and files are those of the daemon. The workspace of a daemon stays as it was.
#'
#' Shared arrays of the session attach in daemons of the same machine. Elsewhere they are refused with an error of class
#' `sharedmem_cluster_error` that names them: hand over `x[]`, or a file that both see. `pool$critical()` excludes the workers of all
#' daemons on the
#' session's machine, and `pool$ordered()` keeps the order of all items there; in a daemon on another machine both are refused: what needs
#' the order of items can be done with the results, which have it. A map whose items have come to ordered sections ends when a daemon is
#' lost, since the others wait for its items.
#'
#' @section When something dies:
#' A worker's death is dealt with in its daemon, as at home: only the item that was running is lost or runs again. A lost daemon
#' (killed, its host
#' or its connection gone) loses the items of its chunk whose results have not come to the session. With `retries` these run
#' elsewhere; without, the map
#' ends with a [WorkerException] that names the host. Results are sent as they are finished, many at a time while earlier ones are
#' on their way. So no item whose result has arrived runs again; one that had finished within the last round trip before its daemon died
#' may, since nobody else knows of it. A loss counts for all unfinished items of the chunk.
#' A daemon whose connection was cut notices that, ends its workers within two thirds of `lost_after` seconds, and only then is its
#' work given away.
#'
#' @section The connection:
#' Besides mirai's own connection each daemon opens one to the session, beside the URL that the daemons use: a local one for local
#' daemons, another
#' port of the same address (and TLS with a key of its own) for remote ones. Where a firewall or an SSH tunnel lets only some ports through,
#' `url` says which one to use, for example `ClusterBackend(url = "tcp://127.0.0.1:5556")`.
#'
#' @param compute `NULL` or a string: mirai's compute profile whose daemons are used.
#' @param url `NULL` or a string: where the session listens for its daemons; see below.
#' @param export Character: names of further variables of the workspace that functions need.
#' @param lost_after Number of at least 3: seconds after which a daemon that is not heard of is given up. One that has died is noticed
#'   at once.
#' @return An object for `backend` of [MapReduce()], whose `np` then is the number of workers of each daemon (`NULL`: the processors of
#'   its machine shared by the daemons there). An error of class `sharedmem_package_error` where mirai is not installed.
#' @source No counterpart in the Python package.
#' @seealso [MapReduce()], `vignette("cluster", package = "sharedmem")`
#' @examplesIf requireNamespace("mirai", quietly = TRUE) && identical(Sys.getenv("NOT_CRAN"), "true")
#' mirai::daemons(1, dispatcher = FALSE)
#' pool <- MapReduce(backend = ClusterBackend())
#' unlist(pool$map(function(i) i^2, 1:4))
#' mirai::daemons(0)
#' @export
ClusterBackend <- function(compute = NULL, url = NULL, export = character(), lost_after = 60) {
  need_package("mirai", "ClusterBackend()", "2.7.0")
  need_package("nanonext", "ClusterBackend()")
  for (arg in c("compute", "url")) {
    x <- get(arg)
    if (!is.null(x) && (!is.character(x) || length(x) != 1L || is.na(x) || !nzchar(x)))
      abort_argument(arg, describe_value(x), "NULL or a string")
  }
  if (!is.character(export) || anyNA(export)) abort_argument("export", describe_value(export), "names of variables")
  if (!is.numeric(lost_after) || length(lost_after) != 1L || is.na(lost_after) || lost_after < 3)
    abort_argument("lost_after", describe_value(lost_after), "a number of seconds, at least 3")
  structure(list(name = "cluster", compute = compute, url = url, export = export, lost_after = lost_after, np = NULL),
            class = c("sharedmem_cluster_backend", "sharedmem_backend"))
}

#' @export
format.sharedmem_cluster_backend <- function(x, ...)
  sprintf("<ClusterBackend: the daemons of mirai%s>", if (is.null(x$compute)) "" else sprintf(", profile \"%s\"", x$compute))

# On the daemons; inside a worker, where mirai cannot be used, on its own processors.
#' @export
run_map.sharedmem_cluster_backend <- function(backend, pool, job) {
  if (job$here || identical(backend$np, 0L)) return(run_here(job, 1L))
  if (in_worker()) return(run_map(ProcessBackend, pool, job))
  at <- daemons_url(backend)
  if (startsWith(at, "inproc:")) return(run_map(ProcessBackend, pool, job)) # daemons(sync = TRUE) are this process
  cl <- new_cluster(backend, job, at)
  on.exit(cluster_close(cl))
  cl$run <- open_job(within_session(job), 0L)
  on.exit(close_job(within_session(job), cl$run), add = TRUE)
  for (i in seq_len(max(1L, cluster_info(cl)[["connections"]]))) recruit(cl)
  end <- cluster_drive(cl)
  if (job$options$trace) job$state$trace <- cluster_trace(cl)
  results <- job_results(cl$run, end)
  if (cl$stopped) attr(results, "stopped") <- TRUE
  results
}

# The session's own map records nothing: daemons do.
within_session <- function(job) {
  job$options$trace <- FALSE
  job
}

# The URL of the daemons that are set; mirai's own words where there are none.
daemons_url <- function(backend) {
  if (!mirai::daemons_set(backend$compute))
    tryCatch(mirai::require_daemons(backend$compute),
             error = function(e)
               abort_class("sharedmem_cluster_error", paste0("ClusterBackend() uses mirai's daemons. ", conditionMessage(e))))
  url <- mirai::status(backend$compute)$daemons
  if (is.character(url)) url[1L] else ""
}

# ---- the session's side of a map ----

# What the session knows of a map while it runs: an environment. agents: what is known of each daemon that takes part, by id; tasks: the
# mirai that runs each; todo: ranges of items that nobody has; parked: daemons that wait for work.
new_cluster <- function(backend, job, at) {
  cl <- new.env(parent = emptyenv())
  cl$backend <- backend
  cl$job <- job
  cl$agents <- cl$tasks <- cl$parked <- cl$gone <- cl$traces <- list()
  cl$ranks <- cl$recruits <- 0L
  cl$todo <- list(c(1, job$n))
  cl$attempts <- NULL
  cl$suppressed <- c(0, 0)
  cl$held <- 0
  cl$stopped <- FALSE
  cl$failure <- NULL
  cl$joined_at <- elapsed_now()
  cl$begin <- Sys.time()
  cl$item_bytes <- 0
  cl$executing <- cluster_info(cl)[["executing"]]
  cl$load <- new_load(job, backend$export)
  cluster_listen(cl, at)
  cl
}

cluster_info <- function(cl) mirai::info(cl$backend$compute)

# One socket for all daemons: they ask, and each question is answered once, at once or when there is something to say.
cluster_listen <- function(cl, at) {
  cl$token <- nanonext::random(16L)
  url <- if (is.null(cl$backend$url)) beside_url(at) else cl$backend$url
  tls <- NULL
  if (startsWith(url, "tls") || startsWith(url, "wss")) {
    cert <- nanonext::write_cert(cn = nanonext::parse_url(url)[["hostname"]])
    tls <- nanonext::tls_config(server = cert$server)
    cl$cert <- cert$client
  }
  cl$sock <- nanonext::socket("rep")
  bad <- tryCatch(nanonext::listen(cl$sock, url, tls = tls, fail = "error"), error = function(e) e)
  if (inherits(bad, "error"))
    abort_class("sharedmem_cluster_error",
                sprintf("cannot listen at %s for the daemons (%s): give ClusterBackend(url = ) an address of this machine", url,
                        conditionMessage(bad)))
  cl$url <- attr(attr(cl$sock, "listener")[[1L]], "url")
  cl$cv <- nanonext::cv()
  cl$spare <- list()
  cl$sending <- list()
  cluster_await(cl)
}

# The address of the daemons' own URL, at a port that is free.
beside_url <- function(at) {
  if (grepl("^(abstract|ipc):", at)) return(sub("[^/]*$", paste0("sharedmem-", nanonext::random(12L)), at))
  url <- nanonext::parse_url(at)
  host <- url[["hostname"]]
  if (!nzchar(host)) host <- "0.0.0.0"
  if (grepl(":", host, fixed = TRUE)) host <- paste0("[", host, "]")
  scheme <- if (grepl("^(tls|wss)", url[["scheme"]])) "tls+tcp" else "tcp"
  sprintf("%s://%s:0", scheme, host)
}

cluster_await <- function(cl) {
  n <- length(cl$spare)
  cl$ctx <- if (n) cl$spare[[n]] else nanonext::context(cl$sock)
  if (n) cl$spare[[n]] <- NULL
  cl$aio <- nanonext::recv_aio(cl$ctx, mode = "serial", cv = cl$cv)
}

# The next question: list(ctx, message), or NULL.
take_question <- function(cl) {
  if (nanonext::unresolved(cl$aio)) return(NULL)
  message <- cl$aio$data
  ctx <- cl$ctx
  cluster_await(cl)
  list(ctx = ctx, message = message)
}

answer <- function(cl, ctx, ...) {
  aio <- nanonext::send_aio(ctx, list(...), mode = "serial")
  cl$sending[[length(cl$sending) + 1L]] <- list(ctx = ctx, aio = aio)
  sent <- !vapply(cl$sending, function(s) nanonext::unresolved(s$aio), NA)
  cl$spare <- c(cl$spare, lapply(cl$sending[sent], `[[`, "ctx"))
  cl$sending <- cl$sending[!sent]
}

# One more daemon, or one that is still to come, is to take part.
recruit <- function(cl) {
  cl$recruits <- cl$recruits + 1L
  id <- as.character(cl$recruits)
  spec <- list(id = id, token = cl$token, url = agent_urls(cl$url), cert = cl$cert, lost_after = cl$backend$lost_after,
               version = package_version_text())
  cl$tasks[[id]] <- mirai::mirai(
    if (requireNamespace("sharedmem", quietly = TRUE) && !is.null(agent <- getNamespace("sharedmem")[["cluster_agent"]])) agent(spec)
    else list(state = "missing", host = Sys.info()[["nodename"]]),
    .args = list(spec = spec), .compute = cl$backend$compute)
}

package_version_text <- function() as.character(utils::packageVersion("sharedmem"))

# Where a daemon may find the session: all its addresses if it listens at any.
agent_urls <- function(url) {
  if (!grepl("//(0\\.0\\.0\\.0|\\[::\\])?:", url)) return(url)
  hosts <- unique(c(nanonext::ip_addr(), Sys.info()[["nodename"]], "127.0.0.1"))
  vapply(hosts, function(host) sub("//(0\\.0\\.0\\.0|\\[::\\])?:", paste0("//", host, ":"), url), "", USE.NAMES = FALSE)
}

# Runs the map: list(state, failure), as the loop of a map with workers.
cluster_drive <- function(cl) {
  repeat {
    while (is.null(cl$failure) && !is.null(q <- take_question(cl))) answer_question(cl, q)
    if (is.null(cl$failure)) watch_agents(cl)
    if (!is.null(cl$failure)) return(list(state = "failed", failure = cl$failure))
    if (cluster_done(cl)) break
    serve_parked(cl)
    nanonext::until_(cl$cv, 100)
  }
  cl$run$events(list(type = "end", value = cl$suppressed), cl$job$n)
  list(state = if (cl$stopped) "stopped" else "done", failure = NULL)
}

cluster_done <- function(cl) {
  done <- .Call(ffi_remote_done, cl$run$map)[1L]
  cl$run$progress$tick(done)
  (done == cl$job$n || cl$stopped) && all(vapply(cl$agents, function(a) is.null(a$chunk), NA)) # the last chunks have been closed too
}

answer_question <- function(cl, q) {
  m <- q$message
  if (!is.list(m) || !identical(m$token, cl$token)) return(answer(cl, q$ctx, kind = "bye"))
  if (m$kind == "hello") return(welcome(cl, q$ctx, m))
  agent <- cl$agents[[m$id]]
  if (is.null(agent)) return(answer(cl, q$ctx, kind = "bye")) # given up before
  agent$heard <- elapsed_now()
  agent$behind <- min(agent$behind, as.numeric(Sys.time()) - m$clock)
  if (m$kind == "fetch") return(answer(cl, q$ctx, kind = "load", load = load_for(cl, agent)))
  for (event in m$events) take_event(cl, agent, event)
  if (!is.null(m$finished)) finish_chunk(cl, agent, m$finished)
  if (!is.null(cl$failure)) return(answer(cl, q$ctx, kind = "bye"))
  if (!m$wants) return(answer(cl, q$ctx, kind = "ack", stop = cl$stopped))
  cl$parked[[m$id]] <- list(ctx = q$ctx, since = elapsed_now())
  serve_parked(cl)
}

welcome <- function(cl, ctx, m) {
  refused <- cluster_refusal(cl, m)
  if (!is.null(refused)) {
    cl$failure <- refused
    return(answer(cl, ctx, kind = "bye"))
  }
  agent <- new.env(parent = emptyenv())
  for (name in c("id", "host", "pid", "machine", "cores", "processors")) assign(name, m[[name]], envir = agent)
  agent$here <- identical(m$machine, machine_id())
  agent$rank0 <- cl$ranks
  cl$ranks <- cl$ranks + agent$cores
  agent$heard <- elapsed_now()
  agent$behind <- as.numeric(Sys.time()) - m$clock
  agent$chunk <- NULL
  agent$rate <- NA_real_
  cl$agents[[m$id]] <- agent
  answer(cl, ctx, kind = "welcome", header = cluster_header(cl, agent))
  # with a dispatcher one more waits for daemons that are still to come; without one it would wait in a daemon that is at work
  waiting <- length(cl$tasks) - length(intersect(names(cl$tasks), names(cl$agents)))
  if (waiting == 0L && !is.na(cluster_info(cl)[["awaiting"]])) recruit(cl)
}

# Why a daemon cannot take part: a condition, or NULL.
cluster_refusal <- function(cl, m) {
  if (identical(m$machine, machine_id()) || !length(cl$load$arrays)) return(NULL)
  cluster_condition(sprintf(paste0("func reaches %s, in the memory of this machine, which the daemon on %s cannot see: hand over x[] ",
                                   "or unshare(x), map a file that both see in the function itself, or use ProcessBackend"),
                            describe_arrays(cl$load$arrays), m$host), host = m$host)
}

describe_arrays <- function(names) {
  paste0("the shared array", if (length(names) > 1L) "s", " ", paste0("`", names, "`", collapse = ", "))
}

cluster_condition <- function(text, ...)
  structure(class = c("sharedmem_cluster_error", "sharedmem_error", "error", "condition"), list(message = text, call = NULL, ...))

# What holds for all chunks of the map.
cluster_header <- function(cl, agent) {
  o <- cl$job$options
  list(key = cl$load$key, seed = cl$run$seed, options = o[c("retries", "on_error", "timeout", "output", "threads", "trace")],
       session = options()[intersect(carried_options, names(options()))], packages = attached_packages(),
       common = if (agent$here) cluster_common(cl), rank0 = agent$rank0)
}

carried_options <- c("warn", "digits", "scipen", "OutDec", "contrasts", "na.action", "stringsAsFactors", "sharedmem.trace_events")

attached_packages <- function() sub("^package:", "", grep("^package:", search(), value = TRUE))

# Locks and the order of items, which daemons of this machine share.
cluster_common <- function(cl) {
  if (is.null(cl$common)) {
    # a segment of its own, which others map directly
    cl$common <- full(max(2^16, .Call(ffi_remote_common_nbytes, cl$job$n)), as.raw(0), "raw")
    cl$memory <- .Call(ffi_array_pointer, cl$common)
    .Call(ffi_remote_common, cl$memory, cl$job$n)
  }
  cl$common
}

# ---- what daemons tell ----

take_event <- function(cl, agent, event) {
  if (!is.null(cl$failure)) return()
  map <- cl$run$map
  switch(event$type,
    results = {
      if (isTRUE(event$moved)) event$value <- if (event$one) unmove(event$value) else lapply(event$value, unmove)
      if (event$handles) attach_arrays(event$value)
      .Call(ffi_remote_results, map, cl$job$reduce, event$first, event$count, event$one, event$value)
    },
    output = {
      cl$run$progress$hide()
      cat(event$text, file = if (event$stream == 2L) stderr() else "")
    },
    take_frame(cl, agent, event))
  if (cl$held > 0) cl$held <- cl$run$events(list(type = "release", value = NULL), .Call(ffi_remote_done, map)[2L])
}

# A frame of a worker's there, as the owner of a map gets it (R/events.R).
take_frame <- function(cl, agent, frame) {
  map <- cl$run$map
  frame$rank <- frame$rank + agent$rank0
  frame$host <- agent$host
  out <- cl$run$events(frame, .Call(ffi_remote_done, map)[2L])
  if (frame$type == "condition") cl$held <- out
  else if (inherits(out, "sharedmem_collected")) .Call(ffi_remote_item, map, frame$item, out[[1L]])
  else cl$failure <- out
}

unmove <- function(value) if (inherits(value, "sharedmem_moved")) value[[1L]][] else value

# Arrays in a result are held by their daemon until the answer to it.
attach_arrays <- function(x) {
  if (is_shared_array(x)) tryCatch(.Call(ffi_array_touch, x), error = function(e) NULL)
  else if (is.list(x)) for (y in unclass(x)) attach_arrays(y)
}

finish_chunk <- function(cl, agent, finished) {
  chunk <- agent$chunk
  agent$chunk <- NULL
  n <- chunk[2L] - chunk[1L] + 1
  agent$rate <- n / max(finished$elapsed, 1e-4)
  cl$suppressed <- cl$suppressed + finished$suppressed
  if (!is.null(finished$trace)) cl$traces[[length(cl$traces) + 1L]] <- list(agent = agent, lo = chunk[1L], trace = finished$trace)
  if (isTRUE(finished$stopped)) cl$stopped <- TRUE
  if (cl$stopped) .Call(ffi_remote_pass, cl$memory, chunk[1L], chunk[2L])
  left <- .Call(ffi_remote_left, cl$run$map, chunk[1L], chunk[2L])
  if (length(left) && !cl$stopped && is.null(cl$failure))
    cl$failure <- cluster_condition(sprintf("the daemon on %s has not told of item %.0f", agent$host, left[1L]), host = agent$host)
}

# ---- the end ----

# However the map ended: nobody works for it any more, and the daemons are as they were. They leave before the socket is closed, and have
# had all answers when they leave: nng waits for ever for a connection that it closes between the two halves of a message that arrives.
cluster_close <- function(cl) suspendInterrupts({
  idle <- names(Filter(function(a) is.null(a$chunk), cl$agents))
  for (task in cl$tasks[!names(cl$tasks) %in% idle]) mirai::stop_mirai(task)
  say_goodbye(cl)
  late <- Filter(nanonext::unresolved, cl$tasks)
  for (task in late) mirai::stop_mirai(task)
  if (length(late)) say_goodbye(cl)
  nanonext::reap(cl$sock)
  if (is.na(cl$executing)) return()
  until <- elapsed_now() + 2 # an interrupted daemon ends its workers first
  while (elapsed_now() < until && isTRUE(cluster_info(cl)[["executing"]] > cl$executing)) nanonext::msleep(5)
})

# Each daemon asks once a second at least, and is told to leave. One that does not within two seconds is held up, or lost.
say_goodbye <- function(cl) {
  until <- elapsed_now() + 2
  for (p in cl$parked) answer(cl, p$ctx, kind = "bye")
  cl$agents <- cl$parked <- list()
  repeat {
    while (!is.null(q <- take_question(cl))) answer(cl, q$ctx, kind = "bye")
    here <- isTRUE(nanonext::stat(cl$sock, "pipes") > 0) || any(vapply(cl$tasks, nanonext::unresolved, NA))
    if (!here || elapsed_now() > until) return()
    nanonext::until(cl$cv, 5)
  }
}
