// Sets the theme before the first paint, and when the system's changes; the menu of the person changes it. A file that changes gets
// another number: it is kept for good.
;(() => {
  const system = matchMedia('(prefers-color-scheme: dark)')
  const set = () => {
    let chosen = null
    try {
      chosen = localStorage.getItem('errand.theme')
    } catch {}
    const dark = chosen === 'dark' || (chosen !== 'light' && system.matches)
    document.documentElement.classList.toggle('dark', dark)
  }
  set()
  system.addEventListener('change', set)
})()
