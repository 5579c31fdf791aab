# Which daemon gets which items of a map over a cluster, and what becomes of those of a daemon that is lost.

# Work for those who wait, or word that there is none yet, so that they know of the session.
serve_parked <- function(cl) {
  now <- elapsed_now()
  for (id in names(cl$parked)) {
    agent <- cl$agents[[id]]
    ctx <- cl$parked[[id]]$ctx
    if (is.null(agent)) answer(cl, ctx, kind = "bye")
    else if (length(cl$todo) && !cl$stopped) give_chunk(cl, agent, ctx)
    else if (now - cl$parked[[id]]$since > 1) answer(cl, ctx, kind = "wait")
    else next
    cl$parked[[id]] <- NULL
    if (!is.null(cl$failure)) return()
  }
}

give_chunk <- function(cl, agent, ctx) {
  np <- workers_of(cl, agent)
  range <- cl$todo[[1L]]
  n <- min(chunk_size(cl, agent, np), range[2L] - range[1L] + 1)
  lo <- range[1L]
  hi <- lo + n - 1
  items <- items_between(cl$job$sequence, lo, hi)
  before <- the$cache$travelled
  items <- list(serialize(items, NULL, xdr = FALSE))
  if (the$cache$travelled > before && !agent$here) {
    cl$failure <- cluster_condition(sprintf(paste0("items %.0f to %.0f hold shared arrays, which the daemon on %s cannot see: ",
                                                   "hand over their values, or use ProcessBackend"), lo, hi, agent$host), host = agent$host)
    return(answer(cl, ctx, kind = "bye"))
  }
  cl$item_bytes <- length(items[[1L]]) / n
  if (hi < range[2L]) cl$todo[[1L]][1L] <- hi + 1 else cl$todo[[1L]] <- NULL
  agent$chunk <- c(lo, hi)
  answer(cl, ctx, kind = "chunk", lo = lo, hi = hi, items = items, np = np)
}

# Workers of a daemon: the processors of its machine are shared by the daemons there.
workers_of <- function(cl, agent) {
  if (!is.null(cl$backend$np)) return(cl$backend$np)
  beside <- sum(vapply(cl$agents, function(a) identical(a$machine, agent$machine), NA))
  max(1L, min(agent$cores, agent$processors %/% beside))
}

# Guided: a share of what is left, by the speed of the daemon as far as that is known; the first ones smaller, since it is not. At most
# what takes ten seconds (but four items a worker), so that work is left for daemons that join; at least what takes a fifth of one, so
# that dispatch does not dominate.
chunk_size <- function(cl, agent, np) {
  left <- sum(vapply(cl$todo, function(r) r[2L] - r[1L] + 1, 0))
  weight <- vapply(cl$agents, function(a) if (is.na(a$rate)) NA_real_ else a$rate, 0)
  share <- if (is.na(agent$rate)) 1 / length(weight) else agent$rate / sum(ifelse(is.na(weight), mean(weight, na.rm = TRUE), weight))
  n <- left * share / if (is.na(agent$rate)) 8 else 2
  if (!is.na(agent$rate)) n <- max(min(n, max(10 * agent$rate, 4 * np)), 0.2 * agent$rate)
  if (cl$item_bytes > 0) n <- min(n, 64 * 2^20 / cl$item_bytes)
  max(ceiling(n), min(np, ceiling(left / max(1L, length(cl$agents)))), 1)
}

# Items without names. An error of `[[` is that of its item, there.
items_between <- function(sequence, lo, hi) {
  if (!is.object(sequence) && (is.atomic(sequence) || is.list(sequence)) && !is.pairlist(sequence)) {
    items <- sequence[lo:hi]
    attributes(items) <- NULL
    if (is.integer(items) && lo < hi && !anyNA(items) && all(diff(items) == 1L)) items <- items[1L]:items[length(items)] # goes as its ends
    return(items)
  }
  structure(lapply(lo:hi, function(i) tryCatch(list(sequence[[i]]), error = function(e) e)), told = TRUE)
}

# ---- losses ----

watch_agents <- function(cl) {
  for (id in names(cl$tasks)) if (!nanonext::unresolved(cl$tasks[[id]])) {
    value <- cl$tasks[[id]]$data
    cl$tasks[[id]] <- NULL
    agent_ended(cl, id, value)
    if (!is.null(cl$failure)) return()
  }
  now <- elapsed_now()
  for (agent in cl$agents) if (now - agent$heard > cl$backend$lost_after && is.null(cl$parked[[agent$id]])) {
    mirai::stop_mirai(cl$tasks[[agent$id]])
    cl$tasks[[agent$id]] <- NULL
    agent_lost(cl, agent, sprintf("nothing was heard of it for %s seconds", format(cl$backend$lost_after)))
  }
  if (length(cl$agents)) cl$joined_at <- now
  else if (length(cl$gone) && now - cl$joined_at > min(5, cl$backend$lost_after) && cluster_info(cl)[["connections"]] == 0L)
    cl$failure <- cl$gone[[length(cl$gone)]]
}

# A daemon has left the map, by its own word or by mirai's.
agent_ended <- function(cl, id, value) {
  agent <- cl$agents[[id]]
  state <- if (is.list(value)) value$state else "lost"
  host <- if (is.list(value)) value$host else if (!is.null(agent)) agent$host else "?"
  text <- switch(state,
    missing = sprintf("package sharedmem is not installed for the daemon on %s: install it there, or set R_LIBS for its R", host),
    version = sprintf("the daemon on %s has sharedmem %s, and this session has %s: install the same version", host, value$version,
                      package_version_text()),
    endian = sprintf("the machine of the daemon on %s has the other byte order", host),
    unreachable = sprintf(paste0("the daemon on %s does not reach this session at %s: ",
                                 "give ClusterBackend(url = ) an address and port that it ",
                                 "reaches (through an SSH tunnel, a second forwarded port)"), host, paste(value$url, collapse = ", ")),
    failed = sprintf("the daemon on %s cannot run this map: %s", host, message_of(value$reason)))
  if (!is.null(text)) cl$failure <- cluster_condition(text, host = host, reason = if (is.list(value)) value$reason)
  else if (!is.null(agent)) agent_lost(cl, agent, if (mirai::is_error_value(value)) loss_text(value) else "it left the map")
  else if (state == "lost") recruit(cl) # a daemon died before it took part
}

loss_text <- function(value) {
  if (mirai::is_mirai_interrupt(value)) "it was interrupted"
  else if (mirai::is_mirai_error(value)) paste("it failed:", conditionMessage(value))
  else paste0("its process or its connection is gone (", nanonext::nng_error(as.integer(value)), ")")
}

# What it had not finished goes to others, or fails.
agent_lost <- function(cl, agent, why) {
  cl$agents[[agent$id]] <- NULL
  cl$parked[[agent$id]] <- NULL
  left <- if (!is.null(agent$chunk)) .Call(ffi_remote_left, cl$run$map, agent$chunk[1L], agent$chunk[2L])
  item <- if (length(left)) left[1L] else NA_real_
  e <- daemon_death(agent, why, left)
  cl$gone[[length(cl$gone) + 1L]] <- e
  if (cl$stopped || !length(left)) return()
  if (.Call(ffi_remote_is_ordered, cl$memory)) {
    cl$failure <- e
    return()
  }
  if (is.null(cl$attempts)) cl$attempts <- integer(cl$job$n)
  for (k in seq(1, length(left), by = 2)) {
    at <- left[k]:left[k + 1]
    cl$attempts[at] <- cl$attempts[at] + 1L
    over <- at[cl$attempts[at] > cl$job$options$retries]
    if (length(over) && !cl$run$collect) {
      cl$failure <- e
      return()
    }
    for (i in over) .Call(ffi_remote_item, cl$run$map, i, daemon_death(agent, why, c(i, i)))
    if (length(over) < length(at)) put_back(cl, setdiff(at, over))
  }
}

# Ranges of items for others, lowest first.
put_back <- function(cl, items) {
  breaks <- c(0, which(diff(items) != 1), length(items))
  ranges <- lapply(seq_len(length(breaks) - 1L), function(k) c(items[breaks[k] + 1L], items[breaks[k + 1L]]))
  todo <- c(ranges, cl$todo)
  cl$todo <- todo[order(vapply(todo, `[`, 0, 1L))]
}

daemon_death <- function(agent, why, left) {
  text <- sprintf("the daemon on %s (pid %d) was lost: %s", agent$host, agent$pid, why)
  if (length(left)) {
    last <- left[length(left)]
    which <- if (left[1L] == last) sprintf("item %.0f", last) else sprintf("items of %.0f to %.0f", left[1L], last)
    text <- sprintf("%s; %s had not finished. MapReduce(retries = 1) runs what is left elsewhere", text, which)
  }
  e <- WorkerException(simpleError(text), character(), if (length(left)) left[1L] else NA_real_, agent$rank0, agent$pid, message = text)
  e$host <- agent$host
  e
}
