// Sets the theme before the first paint; the menu of the person changes it. A file that changes gets another number: it is kept for good.
;(() => {
  let chosen = null
  try {
    chosen = localStorage.getItem('errand.theme')
  } catch {}
  const dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
})()
