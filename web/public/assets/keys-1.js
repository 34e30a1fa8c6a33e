// Holds keys that are pressed before the page's code has come, for web/parts/held-keys.ts, which says later when to hold them again. A
// file that changes gets another number: it is kept for good.
;(() => {
  const MOST_KEYS = 64
  const held = { keys: [], isHolding: true }
  globalThis.errandHeldKeys = held
  const press = (event) => {
    const { key, altKey, isComposing, repeat, timeStamp } = event
    // Those that are not trusted are the held ones as they are carried out.
    if (!held.isHolding || !event.isTrusted || altKey || isComposing) return
    const mod = event.ctrlKey || event.metaKey
    if (mod ? key.toLowerCase() !== 'k' : key.length !== 1 && !/^(Tab|Enter|Backspace)$/.test(key)) return
    event.preventDefault()
    event.stopImmediatePropagation()
    if (!repeat && held.keys.length < MOST_KEYS) held.keys.push({ key, mod, timeStamp })
  }
  addEventListener('keydown', press, true)
})()
