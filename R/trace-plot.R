#' Draw the time line of a map
#'
#' Draws one lane a worker against time: items in colour (by their place in the sequence), waits hatched, idle time empty.
#'
#' Items and waits too narrow for the device are drawn together, column by column: the filled height is the share of that
#' moment spent in items, the hatched height on top of it the share spent waiting, what stays empty was idle. A dark
#' line along the bottom of a lane is time inside a critical or ordered section, a red one garbage collection. The text beside a lane is
#' the worker's busy time as a share of the map's. Where events found no room in the trace (see [sharedmem_trace]), the lane is dotted grey
#' from there on.
#'
#' @param x A trace, of class `sharedmem_trace`: `pool$trace`.
#' @param main Character: title. `NULL`: made from the trace.
#' @param legend `TRUE` or `FALSE`: draw a legend.
#' @param xlim Numeric, two values in seconds: part of the map to draw. `NULL`: all of it.
#' @param ... Further graphical parameters, for [graphics::plot.window()].
#' @return `x`, invisibly. An error of class `sharedmem_argument_error` for a bad argument.
#' @source No counterpart in the Python package.
#' @seealso [sharedmem_trace], [write_trace()]
#' @examples
#' pool <- MapReduce(np = 2, trace = TRUE)
#' r <- pool$map(function(i) { Sys.sleep(0.01); pool$critical(Sys.sleep(0.01)) }, 1:8)
#' plot(pool$trace)
#' @export
plot.sharedmem_trace <- function(x, main = NULL, legend = TRUE, xlim = NULL, ...) {
  check_plot_arguments(main, legend, xlim)
  s <- summary(x)
  if (is.null(xlim)) xlim <- c(0, max(x$elapsed, 1e-9))
  long <- x$np > 24L
  old <- graphics::par(mar = c(0, 0, 0, 0), mgp = c(2.1, 0.6, 0), las = 1)
  on.exit(graphics::par(old))
  graphics::plot.new() # widths of text are known from here on
  left <- if (is.null(x$hosts)) 4.2 else 6
  keys <- if (legend) legend_lines(legend_entries(x), left)
  graphics::par(mar = c(3.4 + 0.95 * length(keys) + 0.3 * legend, left, 3.2, if (long) 3.4 else 3.8), new = TRUE)
  tryCatch(graphics::plot.new(), error = function(e) abort_small(legend, e))
  graphics::plot.window(xlim, c(x$np - 0.5, -0.5), xaxs = "i", yaxs = "i", ...)
  px <- column_width(xlim)
  lanes <- seq_len(x$np) - 1L
  half <- if (long) 0.45 else 0.4
  graphics::rect(xlim[1L], lanes - half, xlim[2L], lanes + half, col = trace_colours$idle, border = NA)
  for (r in lanes) draw_lane(x, r, half, xlim, px)
  draw_unknown(x, half, xlim)
  draw_axes(x, s, xlim, long)
  draw_titles(x, s, main)
  place_legend(keys, xlim)
  invisible(x)
}

abort_small <- function(legend, e)
  abort_class("sharedmem_misuse_error", sprintf("the device is too small for the time line (%s): make it larger%s", conditionMessage(e),
                                                if (legend) ", or call plot(x, legend = FALSE)" else ""))

check_plot_arguments <- function(main, legend, xlim) {
  if (!is.null(main) && (!is.character(main) || length(main) != 1L)) abort_argument("main", describe_value(main), "a title or NULL")
  if (!isTRUE(legend) && !isFALSE(legend)) abort_argument("legend", describe_value(legend), "TRUE or FALSE")
  if (!is.null(xlim) && (!is.numeric(xlim) || length(xlim) != 2L || !all(is.finite(xlim)) || xlim[2L] <= xlim[1L]))
    abort_argument("xlim", describe_value(xlim), "NULL or two rising numbers of seconds")
}

# Colours that lie side by side differ by 11 in CIELAB at least, and by 20 for the two common kinds of colour blindness.
trace_colours <- list(idle = "#F4F4F2", critical = "#E66100", ordered = "#5D3A9B", overhead = "#8A8A86", ring = "#1A85FF",
                      section = "#1C1C1A", gc = "#D41159", lost = "#1C1C1A", unknown = "#B9B9B4")

item_palette <- function(n = 256L) grDevices::hcl.colors(n, "Viridis")[seq_len(n)]

# Neighbouring items differ in lightness, far ones in hue.
item_colours <- function(item, nitems) {
  pal <- grDevices::col2rgb(item_palette())
  at <- pmin(256, pmax(1, floor((item - 1) / max(1, nitems) * 230) + 24)) # an average over items may round to item 0
  at[is.na(at)] <- 128
  light <- ifelse(item %% 2 == 0, 0.28, 0.10)
  light[is.na(light)] <- 0.2
  rgb <- pal[, at, drop = FALSE]
  rgb <- rgb + (255 - rgb) * rep(light, each = 3L)
  grDevices::rgb(rgb[1L, ], rgb[2L, ], rgb[3L, ], maxColorValue = 255)
}

# Seconds a device pixel covers; a vector device counts as one of 150 dots an inch.
column_width <- function(xlim) {
  inches <- graphics::par("pin")[1L]
  dots <- grDevices::dev.size("px")[1L] / grDevices::dev.size("in")[1L]
  if (!(dots > 2)) dots <- 150 # a device without pixels
  diff(xlim) / max(1, floor(inches * min(max(dots, 72), 300)))
}

# ---- one lane ----

draw_lane <- function(x, rank, half, xlim, px) {
  e <- x$events[x$events$rank == rank & x$events$end > xlim[1L] & x$events$start < xlim[2L], ]
  e$start <- pmax(e$start, xlim[1L])
  e$end <- pmin(e$end, xlim[2L])
  wide <- e$end - e$start >= 2 * px
  top <- rank - half
  bottom <- rank + half
  items <- e$kind %in% "item"
  draw_narrow(e[!wide, ], e[wide & items, ], x$nitems, top, bottom, xlim, px)
  w <- e[wide & items, ]
  if (nrow(w)) {
    big <- w$end - w$start >= 5 * px
    graphics::rect(w$start, top, w$end, bottom, col = item_colours(w$item, x$nitems), border = ifelse(big, "white", NA), lwd = 0.6)
  }
  over <- e[wide & e$kind %in% c("startup", "serialize", "dispatch"), ]
  if (nrow(over)) graphics::rect(over$start, top, over$end, bottom, col = trace_colours$overhead, border = NA)
  for (kind in c("critical", "ordered", "ring")) {
    w <- e[wide & e$kind %in% paste0("wait_", kind), ]
    if (nrow(w)) draw_wait(w$start, top, w$end, bottom, kind)
  }
  lost <- e[wide & e$kind %in% "lost", ]
  if (nrow(lost)) {
    graphics::rect(lost$start, top, lost$end, bottom, col = "white", border = trace_colours$lost)
    graphics::segments(lost$start, c(top, bottom), lost$end, c(bottom, top), col = trace_colours$lost)
  }
  draw_strips(e, bottom, half, xlim, px)
}

draw_wait <- function(x0, top, x1, bottom, kind) {
  col <- trace_colours[[kind]]
  graphics::rect(x0, top, x1, bottom, col = tint(col), border = NA)
  graphics::rect(x0, top, x1, bottom, col = col, density = 22, angle = wait_angle(kind), border = NA, lwd = 0.8)
}

# The colour, thinned with white.
tint <- function(col) grDevices::rgb(t(255 - (255 - grDevices::col2rgb(col)) * 0.2), maxColorValue = 255)

wait_angle <- function(kind) c(critical = 45, ordered = 135, ring = 90)[[kind]]

# Thin lines along the bottom: inside of sections, collections. The shade is their share of each column.
draw_strips <- function(e, bottom, half, xlim, px) {
  if (2 * half / diff(graphics::par("usr")[4:3]) * graphics::par("pin")[2L] < 0.09) return()
  n <- max(1L, as.integer(round(diff(xlim) / px)))
  strip <- function(w, col, from, to) {
    wide <- w$end - w$start >= 2 * px
    share <- coverage(w[!wide, ], xlim[1L], px, n)
    on <- share > 0.01
    left <- xlim[1L] + (which(on) - 1) * px
    y0 <- bottom - 2 * half * from
    y1 <- bottom - 2 * half * to
    if (any(on)) graphics::rect(left, y0, left + px, y1, col = shades(col, share[on]), border = NA)
    if (any(wide)) graphics::rect(w$start[wide], y0, w$end[wide], y1, col = col, border = NA)
  }
  strip(e[e$kind %in% c("hold_critical", "hold_ordered"), ], trace_colours$section, 0.13, 0)
  strip(e[e$kind %in% "gc", ], trace_colours$gc, 0.24, 0.14)
}

shades <- function(col, share) {
  v <- grDevices::col2rgb(col)
  grDevices::rgb(v[1L], v[2L], v[3L], round(255 * pmin(1, 0.15 + 0.85 * share)), maxColorValue = 255)
}

# ---- what is narrower than two pixels: shares of a column ----

draw_narrow <- function(e, wide_items, nitems, top, bottom, xlim, px) {
  if (!nrow(e)) return()
  n <- max(1L, as.integer(round(diff(xlim) / px)))
  cover <- function(kinds) coverage(e[e$kind %in% kinds, ], xlim[1L], px, n)
  items <- e[e$kind %in% c("item", "lost"), ]
  share <- coverage(items, xlim[1L], px, n)
  inside <- pmin(1, share + coverage(wide_items, xlim[1L], px, n))
  waits <- list(critical = cover("wait_critical"), ordered = cover("wait_ordered"), ring = cover("wait_ring"))
  overhead <- pmax(cover(c("startup", "serialize", "dispatch")) - waits$ring, 0)
  used <- pmin(inside, waits$critical + waits$ordered)
  left <- xlim[1L] + (seq_len(n) - 1) * px
  y <- function(h) bottom - (bottom - top) * pmin(h, 1)
  on <- share > 0
  if (any(on)) {
    colour <- item_colours(2 * round(column_items(items, xlim[1L], px, n)[on] / 2), nitems)
    graphics::rect(left[on], bottom, left[on] + 1.4 * px, y((inside - used)[on]), col = colour, border = NA)
  }
  level <- inside - used
  for (kind in names(waits)) {
    draw_steps(left, px, y(level), y(level + waits[[kind]]), waits[[kind]] > 0, kind)
    level <- level + waits[[kind]]
  }
  over <- overhead > 0
  if (any(over))
    graphics::rect(left[over], y(level[over]), left[over] + px, y((level + overhead)[over]), col = trace_colours$overhead, border = NA)
}

# Share of each column that the intervals cover.
coverage <- function(e, x0, px, n) {
  out <- numeric(n)
  if (!nrow(e)) return(out)
  a <- (e$start - x0) / px
  b <- (e$end - x0) / px
  # the covered length up to column edges, by linear interpolation of what starts and ends
  edge <- function(v) {
    at <- pmin(n - 1, pmax(0, floor(v)))
    f <- v - at
    list(at = at + 1, f = f)
  }
  s <- edge(a)
  t <- edge(b)
  length_in <- numeric(n + 1L)
  add <- function(at, v) {
    i <- unique(at)
    length_in[i] <<- length_in[i] + rowsum(v, at, reorder = FALSE)[, 1L]
  }
  # full columns from start to end, minus the part before the start, plus the part up to the end
  add(s$at, rep(1, length(a)))
  add(t$at, rep(-1, length(b)))
  out <- cumsum(length_in)[seq_len(n)]
  length_in <- numeric(n + 1L)
  add(s$at, -s$f)
  add(t$at, t$f)
  pmin(1, pmax(0, out + length_in[seq_len(n)]))
}

# Mean item of each column; NA where none starts.
column_items <- function(e, x0, px, n) {
  at <- pmin(n, pmax(1, floor((e$start - x0) / px) + 1))
  sums <- rowsum(cbind(e$item, 1), at, reorder = FALSE)
  out <- rep(NA_real_, n)
  out[unique(at)] <- sums[, 1L] / sums[, 2L]
  known <- which(!is.na(out))
  if (length(known)) out[is.na(out)] <- out[known[pmax(1L, findInterval(which(is.na(out)), known))]]
  out
}

# One hatched shape for each run of neighbouring columns.
draw_steps <- function(left, px, low, high, on, kind) {
  if (!any(on)) return()
  runs <- rle(on)
  end <- cumsum(runs$lengths)[runs$values]
  start <- end - runs$lengths[runs$values] + 1L
  shape <- lapply(seq_along(start), function(k) {
    i <- start[k]:end[k]
    x <- c(rbind(left[i], left[i] + px))
    list(x = c(x, rev(x), NA), y = c(rep(high[i], each = 2L), rev(rep(low[i], each = 2L)), NA))
  })
  xs <- unlist(lapply(shape, `[[`, "x"))
  ys <- unlist(lapply(shape, `[[`, "y"))
  col <- trace_colours[[kind]]
  graphics::polygon(xs, ys, col = tint(col), border = NA)
  graphics::polygon(xs, ys, col = col, density = 22, angle = wait_angle(kind), border = NA, lwd = 0.8)
}

# ---- around the lanes ----

# From the last single event on, what a worker did is known in sum only.
draw_unknown <- function(x, half, xlim) {
  full <- which(rowSums(x$dropped$n) > 0)
  for (r in full - 1L) {
    from <- max(xlim[1L], x$events$end[x$events$rank == r])
    to <- min(xlim[2L], max(x$dropped$last[r + 1L, ], na.rm = TRUE))
    if (to > from) graphics::rect(from, r - half, to, r + half, col = trace_colours$unknown, density = 12, angle = 0,
                                  border = trace_colours$unknown, lty = "dotted")
  }
}

time_unit <- function(elapsed) {
  if (elapsed >= 600) c(unit = "min", per = 60) else if (elapsed >= 1) c(unit = "s", per = 1)
  else if (elapsed >= 1e-3) c(unit = "ms", per = 1e-3) else c(unit = "microseconds", per = 1e-6)
}

# Ranks, of a map over several hosts with the beginning of their host's name.
lane_labels <- function(x, ranks) {
  if (is.null(x$hosts)) ranks else paste(substr(sub("[.].*$", "", x$hosts[ranks + 1L]), 1L, 8L), ranks)
}

draw_axes <- function(x, s, xlim, long) {
  unit <- time_unit(diff(xlim))
  per <- as.numeric(unit[["per"]])
  at <- pretty(xlim / per, 7)
  at <- at[at * per >= xlim[1L] - 1e-12 & at * per <= xlim[2L] * (1 + 1e-9)]
  graphics::axis(1, at * per, format(at), col = NA, col.ticks = "grey40")
  graphics::title(xlab = sprintf("time since the start of the map (%s)", unit[["unit"]]),
                  ylab = if (is.null(x$hosts)) "worker (rank)" else "")
  step <- max(1L, ceiling(x$np * 1.25 * graphics::par("cin")[2L] * 0.8 / graphics::par("pin")[2L]))
  shown <- seq(0, x$np - 1, by = step)
  cex <- if (long) 0.75 else 0.9
  graphics::axis(2, shown, lane_labels(x, shown), col = NA, col.ticks = if (long) NA else "grey40", cex.axis = cex)
  graphics::mtext(format_percent(s$workers$busy[shown + 1L] / x$elapsed), side = 4, at = shown, line = 0.3,
                  cex = 0.8 * cex * graphics::par("cex"), col = "grey30")
  graphics::mtext(" busy", side = 1, at = graphics::par("usr")[2L], adj = 0, line = 0.1, cex = 0.8 * cex * graphics::par("cex"),
                  col = "grey30")
}

# Both in the middle of the figure, smaller where they would be wider.
draw_titles <- function(x, s, main) {
  text <- if (is.null(main)) sprintf("%s: %s, busy %s", trace_title(x), format_seconds(x$elapsed), format_percent(s$busy)) else main
  reason <- paste0("limited by ", s$reason, if (s$dropped) sprintf("; %s known only in sum", count_of(s$dropped, "event")))
  line <- function(text, line, cex, font, col) {
    wide <- graphics::strwidth(text, units = "inches", cex = cex, font = font)
    cex <- cex * min(1, graphics::par("fin")[1L] * 0.96 / wide)
    middle <- graphics::grconvertX(0.5, "nfc", "user")
    graphics::mtext(text, side = 3, line = line, at = middle, cex = cex * graphics::par("cex"), font = font, col = col)
  }
  line(text, 1.6, 1.05, 2, "black")
  line(reason, 0.4, 0.8, 1, "grey25")
}

legend_entries <- function(x) {
  kinds <- unique(as.character(x$events$kind))
  gone <- colnames(x$dropped$n)[colSums(x$dropped$n) > 0]
  has <- function(...) any(c(...) %in% c(kinds, gone))
  entry <- function(label, fill, density = -1, angle = 0) list(label = label, fill = fill, density = density, angle = angle)
  all <- list(
    item = entry("items, first to last", NA),
    if (has("wait_critical")) entry("waits for critical", trace_colours$critical, 30, 45),
    if (has("wait_ordered")) entry("waits for ordered", trace_colours$ordered, 30, 135),
    if (has("wait_ring")) entry("waits for the session", trace_colours$ring, 30, 90),
    if (has("hold_critical", "hold_ordered")) entry("in a section", trace_colours$section),
    if (has("gc")) entry("garbage collection", trace_colours$gc),
    if (has("startup", "serialize", "dispatch")) entry("overhead", trace_colours$overhead),
    if (has("lost")) entry("lost item", "white", 0),
    entry("idle", trace_colours$idle))
  all[!vapply(all, is.null, NA)]
}

# As many lines under the axis title as the entries need. left: the margin there, in lines.
legend_lines <- function(all, left) {
  width <- function(k) graphics::strwidth(k$label, units = "inches", cex = legend_cex) + 0.42
  widths <- vapply(all, width, 0)
  room <- graphics::par("fin")[1L] - left * graphics::par("csi") - 0.2
  line <- cumsum_lines(widths, room)
  lapply(unique(line), function(l) list(entries = all[line == l], at = c(0, cumsum(widths[line == l])[-sum(line == l)])))
}

legend_cex <- 0.8

# Where line l of the legend stands.
legend_y <- function(l) graphics::par("usr")[3L] + (3.75 + (l - 1) * 0.95) * graphics::par("csi") * y_per_inch()

y_per_inch <- function() abs(diff(graphics::par("usr")[3:4])) / graphics::par("pin")[2L]

place_legend <- function(lines, xlim) {
  per_inch <- diff(xlim) / graphics::par("pin")[1L]
  old <- graphics::par(xpd = NA)
  on.exit(graphics::par(old))
  h <- 0.055 * y_per_inch()
  for (l in seq_along(lines)) {
    k <- lines[[l]]
    x <- xlim[1L] + (k$at - 0.1) * per_inch
    y <- legend_y(l)
    for (i in seq_along(x)) draw_key(k$entries[[i]], x[i], x[i] + 0.22 * per_inch, y - h, y + h)
    graphics::text(x + 0.27 * per_inch, y, vapply(k$entries, `[[`, "", "label"), adj = c(0, 0.5), cex = legend_cex)
  }
}

cumsum_lines <- function(widths, room) {
  line <- integer(length(widths))
  now <- 1L
  used <- 0
  for (i in seq_along(widths)) {
    if (used > 0 && used + widths[i] > room) {
      now <- now + 1L
      used <- 0
    }
    used <- used + widths[i]
    line[i] <- now
  }
  line
}

draw_key <- function(key, x0, x1, y0, y1) {
  if (is.na(key$fill)) {
    cols <- item_colours(seq(1, 255, by = 2), 256)
    edge <- seq(x0, x1, length.out = length(cols) + 1L)
    graphics::rect(edge[-length(edge)], y0, edge[-1L], y1, col = cols, border = NA)
  } else if (key$density > 0) {
    graphics::rect(x0, y0, x1, y1, col = tint(key$fill), border = NA)
    graphics::rect(x0, y0, x1, y1, col = key$fill, density = key$density, angle = key$angle, border = NA)
  } else {
    graphics::rect(x0, y0, x1, y1, col = key$fill, border = NA)
  }
  if (key$density == 0) graphics::segments(c(x0, x0), c(y0, y1), c(x1, x1), c(y1, y0), col = trace_colours$lost, lwd = 0.7)
  graphics::rect(x0, y0, x1, y1, border = "grey60", lwd = 0.5)
}
