"use strict";
/* Draws the charts of a report from their descriptions, with Chart.js 3. A description has the id of its canvas,
   a kind (lines, points or intervals), two axes and series; the series' style is the number of the model, so that a
   model looks the same in every chart. Colours: Okabe and Ito's set, which colour-blind people can tell apart, each
   with a dash pattern and a marker of its own. */
(function () {
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"];
  const DASHES = [[], [7, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 4], [1, 3], [10, 2, 2, 2, 2, 2]];
  const MARKERS = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross", "circle"];
  const colour = (style) => COLOURS[style % COLOURS.length];
  const pale = (style, alpha) => colour(style) + Math.round(alpha * 255).toString(16).padStart(2, "0");
  const narrow = () => window.innerWidth < 640;

  /* A long name keeps its beginning and its end. */
  function shorten(text) {
    const most = narrow() ? 22 : 44;
    return text.length <= most ? text : text.slice(0, most / 2 - 1) + "\u2026" + text.slice(-most / 2);
  }

  function axis(description) {
    const scale = {
      type: "linear", min: description.min, max: description.max,
      title: { display: true, text: description.title, color: "#1a1a1a" },
      ticks: { color: "#1a1a1a", maxTicksLimit: narrow() ? 6 : 9, maxRotation: 0, includeBounds: false },
      grid: { color: "#e3e3e3", borderColor: "#595959" },
    };
    if (description.integer) scale.ticks.precision = 0;
    return scale;
  }

  /* Whiskers of a series: thin from low to high, thick from low2 to high2. */
  const whiskers = {
    id: "whiskers",
    beforeDatasetsDraw(chart) {
      const context = chart.ctx, area = chart.chartArea;
      context.save();
      context.beginPath();
      context.rect(area.left, area.top, area.right - area.left, area.bottom - area.top);
      context.clip();
      chart.data.datasets.forEach((set, number) => {
        if (!set.whiskers || !chart.isDatasetVisible(number)) return;
        set.whiskers.forEach((whisker, i) => {
          const point = set.data[i];
          if (!point) return;
          const across = set.whiskerAxis === "x";
          const place = (value) => chart.scales[across ? "x" : "y"].getPixelForValue(value);
          const other = chart.scales[across ? "y" : "x"].getPixelForValue(across ? point.y : point.x);
          const line = (low, high, width) => {
            if (low == null || high == null) return;
            context.lineWidth = width;
            context.strokeStyle = set.borderColor;
            context.beginPath();
            if (across) { context.moveTo(place(low), other); context.lineTo(place(high), other); }
            else { context.moveTo(other, place(low)); context.lineTo(other, place(high)); }
            context.stroke();
          };
          line(whisker[0], whisker[1], 1.75);
          line(whisker[2], whisker[3], 5);
        });
      });
      context.restore();
    },
  };

  /* Straight lines that are no data: [[x, y], [x, y]] each. */
  function guides(description) {
    return (description.guides || []).map((guide) => ({
      label: guide.name, data: guide.points.map(([x, y]) => ({ x, y })), type: "line", borderColor: "#7f7f7f",
      borderWidth: 1.25, borderDash: guide.dashed ? [4, 4] : [], pointRadius: 0, order: 10, guide: !guide.name,
    }));
  }

  /* A line, and when it has a band its two limits with the space between filled. */
  function lines(series) {
    const points = (values) => series.x.map((x, i) => ({ x, y: values[i] })).filter((point) => point.y != null);
    const style = series.style, sets = [];
    if (series.low) {
      const edge = { type: "line", borderWidth: 0, pointRadius: 0, band: true, order: 5 };
      sets.push({ ...edge, label: series.name, data: points(series.low), fill: false });
      sets.push({ ...edge, label: series.name, data: points(series.high), fill: "-1", backgroundColor: pale(style, 0.16) });
    }
    sets.push({
      type: "line", label: series.name, data: points(series.y), borderColor: colour(style), backgroundColor: colour(style),
      borderWidth: 2, borderDash: series.marked ? [] : DASHES[style % DASHES.length], fill: false, order: 1, tension: 0,
      pointStyle: MARKERS[style % MARKERS.length], pointRadius: series.marked ? 4 : 0, whiskerAxis: "y",
      whiskers: series.whiskers,
    });
    return sets;
  }

  function cloud(series) {
    return [{
      type: "scatter", label: series.name, data: series.x.map((x, i) => ({ x, y: series.y[i] })), order: 1,
      backgroundColor: pale(series.style, 0.45), borderColor: pale(series.style, 0.8),
      borderWidth: /star|cross/.test(MARKERS[series.style % MARKERS.length]) ? 1.5 : 0.5,
      pointStyle: MARKERS[series.style % MARKERS.length], pointRadius: narrow() ? 2.2 : 2.8,
    }];
  }

  /* Values with intervals, one a row; rows are numbered from the top. */
  function rows(series) {
    return [{
      type: "scatter", label: series.name, order: 1, whiskerAxis: "x",
      data: series.rows.map((row, i) => ({ x: series.values[i], y: row })), whiskers: series.whiskers,
      borderColor: colour(series.style), backgroundColor: series.hollow ? "#fff" : colour(series.style),
      borderWidth: 2, pointStyle: MARKERS[series.style % MARKERS.length], pointRadius: 5,
    }];
  }

  /* One bar a category; the bars of several series stand on each other. */
  function bars(series) {
    return [{
      type: "bar", label: series.name, data: series.y, backgroundColor: pale(series.style, 0.8), borderColor: colour(series.style),
      borderWidth: 1, barPercentage: 1, categoryPercentage: 0.92, pointStyle: "rect",
    }];
  }

  const KINDS = { lines, points: cloud, intervals: rows, bars };

  /* The legend has one entry a series: a line with its dashes, or its marker. */
  function entries(chart) {
    return Chart.defaults.plugins.legend.labels.generateLabels(chart).filter((item) => {
      const set = chart.data.datasets[item.datasetIndex];
      if (set.pointRadius === 0) {
        Object.assign(item, { pointStyle: "line", lineDash: set.borderDash, lineWidth: 2, strokeStyle: set.borderColor });
      }
      return !set.band && !set.guide;
    });
  }

  /* The limits of all values and whiskers, with a little room. */
  function extent(description) {
    const values = description.series.flatMap((series) => series.values.concat(series.whiskers.flat()))
      .filter((value) => value != null);
    const low = Math.min(...values, 0), high = Math.max(...values), room = (high - low) * 0.03 || 0.1;
    return { suggestedMin: low < 0 ? low - room : 0, suggestedMax: high + room };
  }

  function options(description) {
    const shown = description.series.filter((series) => series.name).length + (description.guides || []).filter((guide) => guide.name).length;
    const result = {
      animation: false, responsive: true, maintainAspectRatio: false, devicePixelRatio: sharpness(),
      interaction: { mode: "nearest", intersect: false }, layout: { padding: { right: 8, top: 4 } },
      scales: { x: axis(description.x), y: axis(description.y) },
      plugins: {
        legend: {
          display: shown > 1, position: "bottom", align: "start",
          labels: {
            color: "#1a1a1a", usePointStyle: true,
            boxWidth: 8, boxHeight: 8, padding: 10, generateLabels: entries,
            pointStyleWidth: description.kind === "lines" && !description.series.some((series) => series.marked) ? 34 : undefined,
          },
          onClick(event, item, legend) {
            const visible = !legend.chart.isDatasetVisible(item.datasetIndex);
            legend.chart.data.datasets.forEach((set, number) => {
              if (set.label === item.text) legend.chart.setDatasetVisibility(number, visible);
            });
            legend.chart.update();
          },
        },
        tooltip: { filter: (item) => !item.dataset.band && !item.dataset.guide },
        filler: { drawTime: "beforeDatasetDraw" },
      },
    };
    if (description.categories) {
      result.scales.x = { ...axis(description.x), type: "category", labels: description.categories, stacked: true };
      result.scales.y.stacked = true;
      result.scales.y.ticks.precision = 0;
    }
    if (description.labels) {
      Object.assign(result.scales.x, extent(description));
      result.scales.y = {
        type: "linear", reverse: true, min: -0.6, max: description.labels.length - 0.4,
        afterBuildTicks(scale) { scale.ticks = description.labels.map((_, value) => ({ value })); },
        ticks: { color: "#1a1a1a", autoSkip: false, callback: (value) => shorten(description.labels[value] || "") },
        grid: { color: "#efefef", borderColor: "#595959" },
      };
      result.plugins.tooltip.callbacks = {
        label: (item) => description.labels[Math.round(item.parsed.y)] + ": " + item.parsed.x.toFixed(3),
      };
    }
    return result;
  }

  function height(description, width) {
    if (description.labels) return 84 + 26 * description.labels.length;
    const legend = 24 * Math.ceil(description.series.length / (width < 420 ? 1 : 2));
    return Math.min(width * (description.square ? 0.95 : 0.72), 460) + legend;
  }

  function draw(description) {
    const canvas = document.getElementById(description.id), box = canvas.parentElement;
    const resize = () => { box.style.height = height(description, box.clientWidth) + "px"; };
    resize();
    window.addEventListener("resize", resize);
    const sets = description.series.flatMap(KINDS[description.kind]).concat(guides(description));
    const chart = new Chart(canvas, { data: { datasets: sets }, options: options(description), plugins: [whiskers] });
    /* On paper a chart is drawn anew for the width of its column, with more points an inch. */
    window.addEventListener("beforeprint", () => {
      const width = canvas.closest("figure").classList.contains("full") ? 690 : 335;
      const tall = height(description, width);
      box.style.height = tall + "px";
      Chart.defaults.font.size = 10;
      chart.options.devicePixelRatio = 4;
      chart.resize(width, tall);
      chart.update("none");
    });
    window.addEventListener("afterprint", () => {
      resize();
      Chart.defaults.font.size = fontSize();
      chart.options.devicePixelRatio = sharpness();
      chart.resize();
      chart.update("none");
    });
  }

  const fontSize = () => (narrow() ? 12 : 13);
  const sharpness = () => Math.max(2, window.devicePixelRatio || 1);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
  });
  document.documentElement.classList.add("charts");
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = fontSize();
  JSON.parse(document.getElementById("charts").textContent).forEach(draw);
})();
