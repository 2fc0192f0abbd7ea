"use strict";
// moves the budget along each front, and shows the best network within it
for (const front of document.querySelectorAll("[data-front]")) {
  const given = (name) => Number(front.dataset[name]);
  const rows = Array.from(front.querySelectorAll("tr[data-ms]"));
  const points = Array.from(front.querySelectorAll("svg .point"));
  const line = front.querySelector("svg .budget");
  const slider = front.querySelector("input");
  const output = front.querySelector("output");
  const box = front.querySelector(".tall");
  const words = (ms) => ms.toPrecision(4) + " ms";
  const show = (budget, follow) => {
    const share = (budget - given("low")) / (given("high") - given("low") || 1);
    const at = given("left") + share * (given("right") - given("left"));
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    let best = -1;
    rows.forEach((row, index) => { if (Number(row.dataset.ms) <= budget) best = index; });
    rows.forEach((row, index) => row.classList.toggle("best", index === best));
    points.forEach((point, index) => point.classList.toggle("best", index === best));
    slider.setAttribute("aria-valuetext", words(budget));
    if (best < 0) {
      output.textContent = "within " + words(budget) + ": no network";
      return;
    }
    output.textContent = "within " + words(budget) + ": " + rows[best].dataset.words;
    // the table moves inside its box only, never the page
    if (follow) box.scrollTop = rows[best].offsetTop - box.clientHeight / 2;
  };
  slider.addEventListener("input", () => {
    show(given("low") + (given("high") - given("low")) * Number(slider.value) / 1000, true);
  });
  slider.value = 1000 * (given("budget") - given("low")) / (given("high") - given("low") || 1);
  front.querySelector(".slider").hidden = false;
  show(given("budget"), true);
}
