import assert from 'node:assert/strict'
import type { Page } from 'playwright-core'

/**
 * Checks a page as it is: it has one h1 and its landmarks, nothing is wider than the page, and no target is smaller
 * than a finger or pointer needs (44 px on a phone, else 24). Line numbers may be as high as their lines, and links in
 * a text as high as the text.
 */
export async function isWellMade(page: Page, what: string): Promise<void> {
  const { width } = page.viewportSize()!
  const found = await page.evaluate(`(${wellMade})(${width < 640 ? 44 : 24})`)
  assert.deepEqual(found, [], `${what}, ${width} wide`)
}

/** Runs in the page, which has other types than this program. */
const wellMade = `(least) => {
  const found = []
  const count = (selector) => document.querySelectorAll(selector).length
  if (count('h1') !== 1) found.push(count('h1') + ' h1')
  if (count('main') !== 1) found.push(count('main') + ' main')
  if (count('nav[aria-label="Errand"]') !== 1) found.push('no side bar')
  const { scrollWidth, clientWidth } = document.documentElement
  if (scrollWidth > clientWidth) found.push('it is ' + scrollWidth + ' px wide')
  const targets = 'a[href], button, input, select, textarea, summary, [role="tab"], [role="option"]'
  for (const target of document.querySelectorAll(targets)) {
    if (!target.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    if (target.closest('[data-line], [aria-hidden="true"], [inert]') !== null) continue
    const { display, position } = getComputedStyle(target)
    const inText = target.parentElement.textContent.length > target.textContent.length
    if (target.tagName === 'A' && display === 'inline' && position === 'static' && inText) continue
    target.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' })
    // A box to tick is as large as the label around it.
    const box = (target.closest('label') ?? target).getBoundingClientRect()
    const [x, y, reach] = [box.left + box.width / 2, box.top + box.height / 2, least / 2 - 1]
    const hits = (atX, atY) => {
      const hit = document.elementFromPoint(atX, atY)
      return hit !== null && (target.contains(hit) || hit.closest('label')?.control === target)
    }
    if (!hits(x, y)) continue
    const isHigh = box.height >= least - 0.5 || (hits(x, y - reach) && hits(x, y + reach))
    const isWide = box.width >= least - 0.5 || (hits(x - reach, y) && hits(x + reach, y))
    const name = target.getAttribute('aria-label') ?? target.textContent
    if (!isHigh || !isWide)
      found.push(Math.round(box.width) + ' x ' + Math.round(box.height) + ': ' + target.tagName + ' ' + name.trim().slice(0, 40))
  }
  return [...new Set(found)]
}`
