// The headings of an article, as links in its margin: what pkgdown's own script asks of bootstrap-toc.
window.Toc = {
  init: function (options) {
    var toc = options.$nav[0];
    if (!toc) return;
    var list = document.createElement("ul");
    list.className = "nav navbar-nav flex-column";
    document.querySelectorAll("main h2, main h3").forEach(function (heading) {
      var id = heading.id || (heading.parentElement && heading.parentElement.id);
      if (!id || heading.closest("aside")) return;
      var item = document.createElement("li"), link = document.createElement("a");
      link.className = "nav-link" + (heading.tagName === "H3" ? " ms-3" : "");
      link.href = "#" + id;
      link.textContent = heading.textContent.trim();
      item.appendChild(link);
      list.appendChild(item);
    });
    toc.appendChild(list);
  }
};
