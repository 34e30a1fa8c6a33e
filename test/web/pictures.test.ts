import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { sized } from '../support/size.ts'
import { isAccessible, openPage, skip, startBrowser } from '../support/web/browser.ts'
import { type FilledHub, fillHub } from '../support/web/filled-hub.ts'
import { isWellMade } from '../support/web/well-made.ts'

const root = join(import.meta.dirname, '../..')
const pictures = join(root, 'docs/pictures')
const MOST_BYTES = 150 * 1024

interface Shown {
  name: string
  path: (hub: FilledHub) => string
  /** Waits until everything is there. */
  there: (page: Page) => Promise<unknown>
  /** The picture of it in the docs. */
  picture?: { name: string; width: number; height: number; dark?: true }
}

const text = (words: string | RegExp) => (page: Page) => page.getByText(words).first().waitFor()
const heading = (name: string) => (page: Page) => page.getByRole('heading', { name }).first().waitFor()
/** Waits for a button that reacts: at first, buttons ignore presses and look like it. */
const answerable = (word: string) => (page: Page) =>
  page.locator('button:not(:disabled, [aria-disabled="true"])', { hasText: word }).first().waitFor()
/**
 * Waits for a question. The one with the shortest time is shown in any window, others only if the list of runs is
 * beside them.
 */
const needsYou = (words: string) => async (page: Page) => {
  await text(words)(page)
  await page.getByRole('region', { name: 'Needs you' }).waitFor()
  await answerable('Allow once')(page)
}
const wide = { width: 1200, height: 720 }
const phone = { width: 390, height: 844 }
const all: Shown[] = [
  {
    name: 'runs',
    path: () => '/runs',
    there: needsYou('In progress'),
    picture: { name: 'runs', ...wide },
  },
  {
    name: 'failed runs',
    path: () => '/runs?status=failed',
    there: needsYou('nightly-db'),
    picture: { name: 'runs-phone', ...phone },
  },
  { name: 'no match', path: () => '/runs?q=nowhere', there: text('No runs match') },
  {
    name: 'a failed run',
    path: ({ failed }) => `/runs/${failed}?view=graph`,
    there: text('search answered nothing'),
    picture: { name: 'run', ...wide },
  },
  {
    name: 'its list',
    path: ({ failed }) => `/runs/${failed}?view=list`,
    there: text('search answered nothing'),
  },
  {
    name: 'its comparison',
    path: ({ failed }) => `/runs/${failed}?compare=last-good`,
    there: text(/Compared with the last good run/),
  },
  {
    name: 'a timeline',
    path: ({ many }) => `/runs/${many}?view=timeline`,
    there: text('All 260 instances'),
    picture: { name: 'timeline', ...wide },
  },
  {
    name: 'many instances',
    path: ({ many }) => `/runs/${many}?view=list`,
    there: text('mapping of tenant-0041 is refused'),
  },
  { name: 'a run that waits for room', path: ({ queued }) => `/runs/${queued}`, there: text('gpu') },
  { name: 'a question', path: ({ waits }) => `/runs/${waits}`, there: text('Ship 2026.11.4') },
  {
    name: 'a session',
    path: ({ session }) => `/runs/${session}`,
    there: answerable('Allow once'),
    picture: { name: 'session', ...wide, dark: true },
  },
  { name: 'sessions', path: () => '/sessions', there: text('Fix the retry') },
  { name: 'tasks', path: () => '/tasks', there: text('Keep the cursor') },
  {
    name: 'a task',
    path: ({ task }) => `/tasks/${task}?file=src%2Fruns%2Flist.ts`,
    there: text('belongs to another filter'),
    picture: { name: 'task', ...wide },
  },
  { name: 'a new run', path: () => '/new', there: text('No mistakes') },
  { name: 'a new session', path: () => '/new?kind=agent', there: heading('New session') },
  { name: 'a new task', path: () => '/new?kind=task', there: heading('New task') },
  { name: 'runners', path: () => '/settings/runners', there: text('gpu-1') },
  { name: 'me', path: () => '/settings/me', there: text('Notification channels') },
  { name: 'tokens', path: () => '/settings/tokens', there: text('Create token') },
  { name: 'users', path: () => '/settings/users', there: text('chi') },
  { name: 'about', path: () => '/settings/about', there: text('errand login') },
]

test('every page is well made and accessible, in both themes and widths, enlarged, and by keyboard', {
  skip,
}, async (t) => {
  const hub = await fillHub(t)
  const { url } = hub.programs
  const page = await openPage(t, await startBrowser(t), hub.programs)
  const open = async ({ path, there }: Shown, width: number, height: number) => {
    await page.setViewportSize({ width, height })
    await page.goto(`${url}${path(hub)}`)
    await there(page)
  }
  const isWritten = process.env.ERRAND_TEST_PICTURES === '1'

  for (const shown of all.slice(0, isWritten ? all.length : sized('pages', 3, 22)))
    await t.test(shown.name, async () => {
      const { picture } = shown
      if (isWritten) {
        if (picture === undefined) return
        await page.emulateMedia({ reducedMotion: 'reduce', colorScheme: picture.dark ? 'dark' : 'light' })
        await open(shown, picture.width, picture.height)
        await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor({ state: 'attached' })
        await page.evaluate('document.fonts.ready')
        await page.screenshot({ path: join(pictures, `${picture.name}.png`) })
        assert.doesNotMatch(await page.locator('body').innerText(), /127\.0\.0\.1|\/tmp\/|\/home\//)
        return
      }
      for (const [width, height] of [
        [1440, 900],
        [390, 844],
      ] as const) {
        await open(shown, width, height)
        await isWellMade(page, shown.name)
        await isAccessible(page, `${shown.name}, ${width} wide`)
      }
      // A window of 1440 pixels at 200 % has this size.
      await page.setViewportSize({ width: 720, height: 450 })
      await shown.there(page)
      const { clientWidth, scrollWidth } = (await page.evaluate(
        '({ clientWidth: document.documentElement.clientWidth, scrollWidth: document.documentElement.scrollWidth })',
      )) as Record<string, number>
      assert.ok(scrollWidth! <= clientWidth!, `${shown.name} is ${scrollWidth} px wide at 200 %`)
    })
  assert.equal(all.length, 22, 'the full size is the number of pages')
  if (isWritten) return

  await t.test('on paper a page is light, whole and without the parts that only a screen needs', async () => {
    await open(all[0]!, 1440, 400)
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
    const shown = await page.evaluate(`({
      screenOnly: [...document.querySelectorAll('nav[aria-label^="Errand"], .button')].filter((one) => one.checkVisibility()).length,
      ground: getComputedStyle(document.querySelector('#content')).backgroundColor,
      scrolled: [...document.querySelectorAll('main')].some((one) => one.scrollHeight > one.clientHeight),
      rows: [...document.querySelectorAll('[data-run]')].filter((one) => one.checkVisibility()).length,
    })`)
    const { rows, ...rest } = shown as { rows: number }
    assert.deepEqual(rest, { screenOnly: 0, ground: 'rgb(255, 255, 255)', scrolled: false })
    assert.ok(rows > 0)
    await page.emulateMedia({ media: 'screen', colorScheme: 'light' })
  })

  await t.test('the first Tab skips the side bar, and a dialog returns the focus', async () => {
    await open(all[0]!, 1440, 900)
    await page.keyboard.press('Tab')
    const skipLink = page.getByRole('link', { name: 'Skip to content' })
    await skipLink.and(page.locator(':focus')).waitFor()
    await page.keyboard.press('Enter')
    await page.locator('#content:focus').waitFor()
    const opener = page.getByRole('button', { name: 'Search or do' })
    await opener.focus()
    await page.keyboard.press('Enter')
    await page.locator('dialog[open]').waitFor()
    await page.keyboard.press('Escape')
    await page.locator('dialog').waitFor({ state: 'detached' })
    await opener.and(page.locator(':focus')).waitFor()
  })

  await t.test('with reduced motion nothing turns, and with forced colors icons stay', async () => {
    await page.emulateMedia({ reducedMotion: 'reduce' })
    await open(all[0]!, 1440, 900)
    await page.locator('.arc').first().waitFor()
    const turning = 'document.getAnimations().filter(({ playState }) => playState === "running").length'
    assert.equal(await page.evaluate(turning), 0)
    await page.emulateMedia({ forcedColors: 'active' })
    const unseen =
      await page.evaluate(`[...document.querySelectorAll('main svg :is(path, circle, rect, line)')]
      .filter((shape) => shape.checkVisibility())
      .filter((shape) => {
        const { fill, stroke, opacity } = getComputedStyle(shape)
        return opacity === '0' || [fill, stroke].every((colour) => colour === 'none' || colour === 'transparent')
      }).map((shape) => shape.outerHTML)`)
    assert.deepEqual(unseen, [])
    // An outline marks what is chosen, and elements that consist only of a background keep it.
    await open(all.find(({ name }) => name === 'a timeline')!, 1440, 900)
    const outline = `(({ outlineStyle, outlineWidth }) => outlineStyle + ' ' + outlineWidth)(
      getComputedStyle(document.querySelector('nav[aria-label="Errand"] a[aria-current]')))`
    assert.equal(await page.evaluate(outline), 'solid 2px')
    const bars = (await page.evaluate(
      `[...document.querySelectorAll('main :is(span, div).bg-bad:empty')].map((bar) => getComputedStyle(bar).backgroundColor)`,
    )) as string[]
    assert.ok(bars.length > 0)
    assert.ok(
      // The colours of the light and the dark theme.
      bars.every((colour) => ['rgb(194, 38, 31)', 'rgb(255, 122, 112)'].includes(colour)),
      bars.join(', '),
    )
    await page.emulateMedia({ forcedColors: 'none' })
  })
})

test('pictures in the documentation exist and are small, and each picture is used', () => {
  const shown = new Set<string>()
  for (const file of ['README.md', ...globSync('docs/*.md', { cwd: root })]) {
    const words = readFileSync(join(root, file), 'utf8')
    for (const [, path] of words.matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)) {
      if (/^https:/.test(path!)) continue
      const picture = join(dirname(join(root, file)), path!)
      assert.ok(existsSync(picture), `${file} shows ${path}, which does not exist: npm run pictures`)
      shown.add(picture)
    }
  }
  for (const name of globSync('*.png', { cwd: pictures })) {
    const bytes = statSync(join(pictures, name)).size
    assert.ok(bytes <= MOST_BYTES, `${name} has ${bytes} bytes`)
    assert.ok(shown.has(join(pictures, name)), `nothing shows docs/pictures/${name}`)
  }
  assert.ok(shown.size > 0)
})
