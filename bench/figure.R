# One plot a theme: a row for each piece of work, a mark for each contender where its time lies relative to ours.

contender_marks <- function(who) {
  colours <- rep_len(c("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C564B"), length(who))
  shapes <- rep_len(c(15, 17, 18, 16, 4, 2, 6, 0, 5, 1, 3, 8, 7), length(who))
  colours[is_limit(who)] <- "black"
  shapes[is_limit(who)] <- 124                 # a bar
  list(colour = stats::setNames(colours, who), shape = stats::setNames(shapes, who))
}

# `rows`: data frames of compare(); the first row of each is ours.
draw_theme <- function(rows, title, file) {
  rows <- Filter(function(r) sum(!is.na(r$median)) > 1L && !is.na(r$median[1L]), rows)
  if (!length(rows) || !isTRUE(capabilities("png"))) return(invisible(FALSE))
  all <- do.call(rbind, lapply(rows, function(r) r[-1L, ]))
  all$who[is_limit(all$who)] <- "limit"
  all <- all[!is.na(all$ratio) & all$ratio > 0, ]
  if (!nrow(all)) return(invisible(FALSE))
  who <- unique(all$who)
  who <- c(setdiff(who, "limit"), intersect(who, "limit"))
  marks <- contender_marks(who)
  titles <- vapply(rows, function(r) sprintf("%s: %s", r$work[1L], time_text(r$median[1L])), "")
  n <- length(rows)
  legend_rows <- ceiling((length(who) + 1L) / 4)
  grDevices::png(file, 1000, 110 + 22 * n + 20 * legend_rows, res = 96, type = if (capabilities("cairo")) "cairo" else "Xlib")
  on.exit(grDevices::dev.off())
  old <- graphics::par(mar = c(3.2, 1, 1.6 + 1.25 * legend_rows, 1), cex = 0.75, mgp = c(1.9, 0.5, 0))
  on.exit(graphics::par(old), add = TRUE, after = FALSE)
  graphics::par(mai = graphics::par("mai") + c(0, max(graphics::strwidth(titles, "inches")) * 0.97, 0, 0))
  range <- range(all$ratio, 1)
  graphics::plot(NULL, xlim = range * c(0.9, 1.1), ylim = c(n + 0.6, 0.4), log = "x", yaxs = "i", axes = FALSE,
                 xlab = "time relative to ours (log scale); left of the line is faster", ylab = "")
  ticks <- grDevices::axisTicks(log10(range * c(0.9, 1.1)), log = TRUE, nint = 8)
  graphics::axis(1, ticks, format(ticks, drop0trailing = TRUE, scientific = FALSE, trim = TRUE))
  graphics::abline(v = ticks, col = "grey90")
  graphics::segments(1e-9, seq_len(n), 1e9, seq_len(n), col = "grey90")
  graphics::abline(v = 1, lwd = 2, col = "#C00000")
  graphics::mtext(titles, 2, at = seq_len(n), las = 1, cex = 0.7, line = 0.3)
  graphics::points(all$ratio, match(all$work, vapply(rows, function(r) r$work[1L], "")), col = marks$colour[all$who],
                   pch = marks$shape[all$who], cex = 1.3)
  graphics::mtext(title, 3, line = 0.3 + 1.25 * legend_rows, adj = 0, font = 2, cex = 0.85)
  graphics::legend("bottomleft", c(paste("ours:", rows[[1L]]$who[1L]), who), col = c("#C00000", marks$colour), pch = c(124, marks$shape),
                   ncol = 4, bty = "n", inset = c(0, 1), xpd = NA, cex = 0.9)
  invisible(TRUE)
}
