import type { Page } from 'playwright-core'

/** Counts of the frames of a page with a log, as its browser is about to paint them. */
export interface LogFrames {
  frames: number
  /** Frames in which no line of the log has text in view. */
  blank: number
  /** The number of different lines that were the last one with text in view. */
  ends: number
  /** Frames after one in which the log was not at its end. */
  away: number
}

const watching = `(() => {
  const seen = { frames: 0, blank: 0, ends: 0, away: 0 }
  const ends = new Set()
  const look = () => {
    if (globalThis.logFrames !== seen) return
    const box = document.querySelector('section[aria-label^="Log of"]')
    const view = box?.getBoundingClientRect()
    let last
    for (const row of box?.querySelectorAll('[data-line]') ?? []) {
      const { top, bottom } = row.getBoundingClientRect()
      if (bottom > view.top + 1 && top < view.bottom - 1 && row.lastElementChild.textContent.trim() !== '')
        last = row.dataset.line
    }
    seen.frames++
    if (last === undefined) seen.blank++
    else ends.add(last)
    seen.ends = ends.size
    if (!box || box.scrollTop + box.clientHeight < box.scrollHeight - 2) seen.away++
    requestAnimationFrame(look)
  }
  globalThis.logFrames = seen
  requestAnimationFrame(look)
})()`

/** Counts frames from now on. */
export const watchLogFrames = (page: Page): Promise<unknown> => page.evaluate(watching)

export const logFrames = (page: Page): Promise<LogFrames> => page.evaluate('({ ...logFrames })')
