// Before the first paint: the theme that this browser chose, else the system's. A file of its own,
// since the page's policy allows no inline script.
;(function () {
  var chosen = null
  try {
    chosen = localStorage.getItem('mooring.theme')
  } catch (_) {
    // Storage can be forbidden; the system's theme is then right.
  }
  var dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
})()
