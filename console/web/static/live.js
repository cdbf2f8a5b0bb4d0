// Refreshes the parts of a page that say data-live="SECONDS", and leaves alone what a person is busy with.
(() => {
  "use strict";
  const live = document.querySelector("[data-live]");
  if (!live) return;

  const every = Number(live.dataset.live) * 1000;
  const button = document.querySelector("[data-live-switch]");
  let isOn = true;
  let timer = 0;

  const isBusy = () => {
    const chosen = document.getSelection();
    const inside = live.contains(document.activeElement) && document.activeElement !== document.body;
    return document.hidden || inside || (chosen && !chosen.isCollapsed);
  };

  const refresh = async () => {
    if (!isBusy()) {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-live]");
        if (!fresh) { location.reload(); return; } // nothing changes any more: show how it ended
        const opened = [...live.querySelectorAll("details[open][id]")].map((one) => one.id);
        live.replaceChildren(...fresh.childNodes);
        opened.forEach((id) => { const one = document.getElementById(id); if (one) one.open = true; });
        live.classList.remove("stale");
      } else {
        live.classList.add("stale");
      }
    }
  };

  const turn = async () => {
    try { await refresh(); } catch { live.classList.add("stale"); }
    if (isOn) timer = setTimeout(turn, every);
  };

  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      isOn = !isOn;
      button.setAttribute("aria-pressed", String(!isOn));
      clearTimeout(timer);
      if (isOn) turn();
    });
  }
  timer = setTimeout(turn, every);
})();
