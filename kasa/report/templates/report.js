(function () {
  "use strict";
  var figures = JSON.parse(document.getElementById("figures").textContent);
  var options = { displayModeBar: false, responsive: true };

  function draw(box) {
    if (box.dataset.drawn) { return; }
    box.dataset.drawn = "yes";
    var figure = figures[box.dataset.figure];
    Plotly.newPlot(box, figure.data, figure.layout, options);
  }

  document.querySelectorAll(".charts").forEach(function (group) {
    var parts = group.querySelectorAll("figure");
    var choice = group.querySelector("select");
    function show(place) {
      parts.forEach(function (part, index) { part.hidden = index !== place; });
      draw(parts[place].querySelector(".chart"));
    }
    if (choice) {
      choice.addEventListener("change", function () { show(Number(choice.value)); });
    }
    show(choice ? Number(choice.value) : 0);
  });

  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("figure:not([hidden]) .chart").forEach(function (box) {
      Plotly.Plots.resize(box);
    });
  });
}());
