# A daemon's part of a map over a cluster: what runs in the daemon.
#
# The agent asks the session by one socket: it says what has happened since its last question and whether it wants work, and is told to go
# on, to wait, to run a chunk, or to leave. Questions arrive in their order; a few may be out, and while so many are, results gather for the
# next. An answer says that what came with its question has arrived.

# Called by the mirai that the session has sent. A list: state, host.
cluster_agent <- function(spec) {
  host <- Sys.info()[["nodename"]]
  if (!identical(spec$version, package_version_text())) return(list(state = "version", host = host, version = package_version_text()))
  link <- NULL
  on.exit(if (!is.null(link)) agent_close(link))
  link <- agent_dial(spec)
  if (is.null(link)) return(list(state = "unreachable", host = host, url = spec$url))
  tryCatch(agent_serve(link, host), sharedmem_session_lost = function(e) list(state = "left", host = host),
           error = function(e) list(state = "failed", host = host, reason = simpleError(message_of(e))))
}

agent_serve <- function(link, host) {
  reply <- agent_ask(link, "hello", host = host, pid = Sys.getpid(), machine = machine_id(), cores = cpu_count(),
                     processors = processor_count())
  if (reply$kind != "welcome") return(list(state = "left", host = host))
  header <- reply$header
  link$here <- !is.null(header$common)
  load <- agent_load(link, header)
  gc(verbose = FALSE) # what mirai and the agent of an earlier map have left: see collect_old()
  finished <- NULL
  repeat {
    reply <- agent_ask(link, "work", events = agent_events(link), finished = finished, wants = TRUE)
    finished <- NULL
    if (reply$kind == "bye") return(list(state = "left", host = host))
    if (reply$kind == "chunk") finished <- run_chunk(link, load, header, reply)
  }
}

processor_count <- function() {
  n <- parallel::detectCores()
  if (is.na(n)) cpu_count() else n
}

# What two processes have in common that see each other's memory.
machine_id <- function() {
  paste(c(Sys.info()[["nodename"]], Sys.info()[["effective_user"]], read_file("/proc/sys/kernel/random/boot_id"),
          Sys.readlink("/proc/self/ns/pid")), collapse = " ")
}

# ---- the connection ----

# The connection to the session: an environment, or NULL where none of its addresses answers. heard: when the session was last known
# to live.
agent_dial <- function(spec) {
  for (url in spec$url) {
    sock <- nanonext::socket("req")
    nanonext::opt(sock, "req:resend-time") <- 0L
    if (!agent_connect(sock, url, spec, 10000)) next
    link <- new.env(parent = emptyenv())
    link$spec <- spec
    link$url <- url
    link$sock <- sock
    link$contexts <- link$out <- list()
    link$cv <- nanonext::cv()
    link$old <- list()
    link$old_bytes <- Inf # before the first chunk what mirai has left is collected
    link$events <- list()
    link$waiting <- 0
    link$heard <- link$probed <- elapsed_now()
    link$stop <- FALSE
    return(link)
  }
  NULL
}

# Tries once, and closes the socket where nobody answers. Where that is refused there is nobody; nng would go on trying.
agent_connect <- function(sock, url, spec, timeout_ms) {
  found <- FALSE
  on.exit(if (!found) nanonext::reap(sock))
  tls <- if (!is.null(spec$cert)) nanonext::tls_config(client = spec$cert)
  connected <- nanonext::cv()
  nanonext::pipe_notify(sock, connected, add = TRUE)
  local <- grepl("^(abstract|ipc):", url)
  rc <- nanonext::dial(sock, url, tls = tls, autostart = if (local) NA else TRUE, fail = "none")
  if (rc != 0L) return(FALSE)
  dialer <- attr(sock, "dialer")[[1L]]
  until <- elapsed_now() + timeout_ms / 1000
  while (!found && elapsed_now() < until && !isTRUE(nanonext::stat(dialer, "refused") > 0)) found <- nanonext::until_(connected, 50)
  found
}

# One question, after the answers to all before it.
agent_ask <- function(link, kind, ...) {
  agent_await(link)
  agent_send(link, kind, ...)
  agent_await(link)
}

agent_send <- function(link, kind, ...) {
  question <- list(id = link$spec$id, token = link$spec$token, kind = kind, clock = as.numeric(Sys.time()), ...)
  n <- length(link$contexts)
  ctx <- if (n) link$contexts[[n]] else nanonext::context(link$sock)
  if (n) link$contexts[[n]] <- NULL
  suspendInterrupts({
    aio <- nanonext::request(ctx, question, send_mode = "serial", recv_mode = "serial", cv = link$cv)
    link$out[[length(link$out) + 1L]] <- list(ctx = ctx, aio = aio, pointer = get0("aio", envir = aio, inherits = FALSE))
  })
  link$asked <- elapsed_now()
}

# However the daemon leaves, nothing is on its way to it then: see cluster_close().
agent_close <- function(link) suspendInterrupts({
  until <- elapsed_now() + 2
  waits <- function() any(vapply(link$out, function(asked) nanonext::unresolved(asked$aio), NA))
  while (waits() && isTRUE(nanonext::stat(link$sock, "pipes") > 0) && elapsed_now() < until) nanonext::until(link$cv, 20)
  nanonext::reap(link$sock)
})

# The answer to the last question that is out, NULL where none is.
agent_await <- function(link) {
  reply <- agent_take(link)
  while (length(link$out)) {
    nanonext::until_(link$cv, 200)
    agent_check(link)
    reply <- agent_take(link)
  }
  reply
}

# The last of the answers that have come, which come in the order of the questions.
agent_take <- function(link) {
  reply <- NULL
  while (length(link$out) && !nanonext::unresolved(link$out[[1L]]$aio)) {
    reply <- link$out[[1L]]$aio$data
    link$old[[length(link$old) + 1L]] <- link$out[[1L]]$pointer # which `aio` lets go of when it is looked at
    link$old_bytes <- link$old_bytes + if (is.list(reply) && !is.null(reply$items)) length(reply$items[[1L]]) else 1000
    link$contexts[[length(link$contexts) + 1L]] <- link$out[[1L]]$ctx
    link$out[[1L]] <- NULL
    if (nanonext::is_error_value(reply)) session_lost("the connection to the session is gone")
    link$heard <- elapsed_now()
    if (isTRUE(reply$stop)) link$stop <- TRUE
    if (!length(link$out)) link$kept <- NULL
  }
  reply
}

session_lost <- function(text) abort_class("sharedmem_session_lost", text)

# A session that computes does not answer, but its end of the connection takes calls. Where it does not either for so long that the session
# will soon give this daemon up, this daemon gives up first.
agent_check <- function(link) {
  now <- elapsed_now()
  limit <- link$spec$lost_after
  if (now - max(link$heard, link$probed) < limit / 4) return()
  sock <- nanonext::socket("req")
  link$old[[length(link$old) + 1L]] <- sock
  if (agent_connect(sock, link$url, link$spec, 500)) {
    nanonext::reap(sock)
    link$probed <- elapsed_now()
  } else if (now - max(link$heard, link$probed) > limit * 2 / 3) session_lost("nothing is heard of the session")
}

# ---- what there is to tell ----

agent_tell <- function(link, event) {
  link$events[[length(link$events) + 1L]] <- event
  link$waiting <- link$waiting + if (is.null(event$value)) 100 else as.numeric(utils::object.size(event$value))
}

agent_events <- function(link) {
  agent_output(link)
  events <- link$events
  link$events <- list()
  link$waiting <- 0
  events
}

# Tell it now, unless many questions are out: then it gathers. What has been handed to the system arrives, also if this process is killed.
agent_pump <- function(link, beat = FALSE) {
  if (identical(agent_take(link)$kind, "bye")) session_lost("the session has ended the map")
  if (length(link$out) >= most_questions) {
    if (link$waiting < 2^25) return(agent_check(link))
    agent_await(link) # much is waiting: the workers wait too
  }
  if (length(link$events) || beat) agent_send(link, "work", events = agent_events(link), finished = NULL, wants = FALSE)
}

most_questions <- 8L

# Results of one frame. Arrays among them live here until the session has attached to them: until the answer.
agent_results <- function(link, lo, first, count, one, value) {
  moved <- link$here && holds_moved(value, one)
  handles <- moved || may_hold_arrays(value)
  agent_tell(link, list(type = "results", first = first + lo - 1, count = count, one = one, value = value,
                        handles = handles, moved = moved))
  if (handles) link$kept <- c(utils::tail(link$kept, 1000L), list(value))
  agent_pump(link)
}

# Called from C in a worker: a long vector goes to a session on this machine through shared memory, which costs less than a socket.
moved_result <- function(x)
  if (is.null(attributes(x))) tryCatch(structure(list(as_shared(x)), class = "sharedmem_moved"), error = function(e) x) else x

holds_moved <- function(value, one)
  if (one) inherits(value, "sharedmem_moved") else is.list(value) && any(vapply(value, inherits, NA, "sharedmem_moved"))

may_hold_arrays <- function(x) is_shared_array(x) || is.list(x) && any(vapply(unclass(x), may_hold_arrays, NA))

# ---- the load ----

# Kept for the next map that needs the same.
agent_load <- function(link, header) {
  known <- the$cache$load
  if (identical(known$key, header$key)) return(known$load)
  the$cache$load <- known <- NULL
  sent <- agent_ask(link, "fetch")$load
  load <- unserialize(if (is_shared_array(sent)) shared_view(sent) else sent)
  load$func <- compiled(load$func, TRUE)
  for (name in names(load$globals)) if (is.function(load$globals[[name]])) load$globals[[name]] <- compiled(load$globals[[name]], TRUE)
  the$cache$load <- list(key = header$key, load = load)
  load
}

# ---- a chunk ----

# Objects of nanonext that are garbage at a fork hang or abort a child that collects them: their finalizers need threads that it does not
# have. A collection for each chunk would cost more than its forks, so the agent keeps what a chunk leaves and lets go of it together.
collect_old <- function(link) {
  if (link$old_bytes < 2^25) return()
  link$old <- list()
  link$old_bytes <- 0
  gc(verbose = FALSE)
}

# Runs items lo ... hi in workers of this daemon, and tells of them as they come. Gives what there is to tell at the end.
run_chunk <- function(link, load, header, chunk) {
  began <- elapsed_now()
  collect_old(link)
  suppressed <- c(0, 0)
  link$stop <- FALSE
  lo <- chunk$lo
  state <- load$state
  events <- function(frame, below) {
    if (frame$type == "progress") return(chunk_beat(link, state))
    if (frame$type == "release") return(0)
    if (frame$type == "end") {
      suppressed <<- frame$value
      return(0)
    }
    if (!is.null(frame$item)) frame$item <- frame$item + lo - 1
    agent_tell(link, frame)
    agent_pump(link)
    if (frame$type == "condition") 0
    else if (header$options$on_error == "collect" && !is.na(frame$item)) structure(list(NULL), class = "sharedmem_collected")
    else cluster_condition("a chunk has failed, which has been told")
  }
  options <- c(header$options, list(seed = TRUE, progress = TRUE))
  receive <- structure(class = "sharedmem_receiver",
                       function(first, count, one, value) agent_results(link, lo, first, count, one, value))
  job <- list(func = load$func, each = function(func) bind_arguments(func, load$star, load$more), sequence = chunk_items(chunk),
              n = chunk$hi - lo + 1, names = NULL, reduce = receive, here = FALSE, options = options, state = state,
              ready = TRUE, globals = load$globals,
              seed = .Call(ffi_rng_shift, header$seed, lo - 1), events = events,
              part = list(common = if (link$here) .Call(ffi_array_pointer, header$common), first = lo, rank0 = header$rank0))
  result <- with_session_settings(header, link, tryCatch(
    run_map(ProcessBackend, list(np = chunk$np), job),
    sharedmem_cluster_error = function(e) NULL))
  list(elapsed = elapsed_now() - began, suppressed = suppressed, stopped = isTRUE(attr(result, "stopped")),
       trace = if (header$options$trace) state$trace)
}

# Ten times a second while workers run: what they print, word of life once a second, and the session's word to stop.
chunk_beat <- function(link, state) {
  agent_output(link)
  agent_pump(link, beat = elapsed_now() - link$asked > 1)
  if (link$stop) .Call(ffi_remote_stop, state$map)
  0
}

# The items as something with length() and `[[`.
chunk_items <- function(chunk) {
  items <- unserialize(chunk$items[[1L]])
  if (is.list(items) && isTRUE(attr(items, "told"))) structure(items, class = "sharedmem_items") else items
}

#' @export
`[[.sharedmem_items` <- function(x, i) {
  item <- unclass(x)[[i]]
  if (inherits(item, "condition")) stop(item)
  item[[1L]]
}

# expr with the session's options and attached packages; what is printed meanwhile is told to the session.
# An interrupt comes to expr alone, so that nothing of this stays in the daemon.
with_session_settings <- function(header, link, expr) suspendInterrupts(within_settings(header, link, allowInterrupts(expr)))

within_settings <- function(header, link, expr) {
  old <- options(header$session)
  on.exit(options(old))
  if (is.null(header$common)) {
    values <- options(sharedmem.serialize = "values") # another machine: an array in a result goes as its values
    on.exit(options(values), add = TRUE)
  }
  added <- attach_packages(header$packages)
  on.exit(for (name in added) detach(name, character.only = TRUE), add = TRUE)
  agent_capture(link)
  on.exit(agent_release(link), add = TRUE, after = FALSE)
  expr
}

# In the session's order; those that are not installed here are passed over.
attach_packages <- function(packages) {
  added <- character()
  for (name in rev(setdiff(packages, attached_packages()))) {
    ok <- suppressWarnings(suppressMessages(require(name, character.only = TRUE, quietly = TRUE, warn.conflicts = FALSE)))
    if (ok) added <- c(added, paste0("package:", name))
  }
  added
}

# ---- what is printed ----

agent_capture <- function(link) {
  link$message_to <- sink.number(type = "message")
  link$files <- list(file("", "w+b"), file("", "w+b"))
  sink(link$files[[1L]])
  sink(link$files[[2L]], type = "message")
}

agent_output <- function(link) {
  for (stream in seq_along(link$files)) repeat {
    text <- readChar(link$files[[stream]], 65536L, useBytes = TRUE)
    if (!length(text) || !nzchar(text)) break
    agent_tell(link, list(type = "output", stream = stream, text = text))
  }
}

agent_release <- function(link) {
  sink(type = "message")
  if (link$message_to != 2L) sink(getConnection(link$message_to), type = "message")
  sink()
  agent_output(link)
  for (con in link$files) close(con)
  link$files <- NULL
}
