// Offer the browser's zone to somebody who chose none; nothing changes unless they say so.
const offer = document.querySelector("[data-zone-offer]");
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
if (offer && timeZone && timeZone !== "UTC" && timeZone !== "Etc/UTC") {
  offer.querySelector("[data-zone]").textContent = timeZone;
  offer.querySelector("[name=zone]").value = timeZone;
  offer.hidden = false;
}
