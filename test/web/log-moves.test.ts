import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { openPage, password, skip, startBrowser } from '../support/web/browser.ts'
import { logFrames, watchLogFrames } from '../support/web/log-frames.ts'
import { part } from '../support/web/tabs.ts'

const LINES = 1_000_000
/** Prints 250 lines, about twenty times a second. */
const FAST = 'n=0; while [ ! -e FILE ]; do seq -f "fast %.0f" $n $((n+249)); n=$((n+250)); sleep 0.05; done'
/** Waits for the next frame. */
const FRAME = 'new Promise(requestAnimationFrame)'

test('a log has text in view while it is scrolled or followed', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  const box = page.getByRole('region', { name: /^Log of/ })
  const open = async (cmd: string) => {
    const { run_id } = await programs.client.runs.create({ yaml: workflowText([{ name: 'print', cmd }]) })
    return run_id
  }
  const line = (number: number) => page.locator(`[data-line="${number}"]`)
  const following = page.getByRole('button', { name: /Following/ })

  await t.test('a million lines, by wheel, bar and keys', async () => {
    const id = await open(`seq -f "line %.0f of a long log" 1 ${LINES}`)
    await programs.ended(id)
    await page.goto(`${programs.url}/runs/${id}`)
    await line(LINES).getByText(`line ${LINES} of a long log`).waitFor()
    const ways = {
      wheel: async () => {
        await box.hover()
        for (let turn = 0; turn < 40; turn++) {
          await page.mouse.wheel(0, -1500)
          await page.evaluate(FRAME)
        }
      },
      bar: async () => {
        // Moves as a person who drags the thumb to places far from each other.
        await page.evaluate(`new Promise((done) => {
          const box = document.querySelector('section[aria-label^="Log of"]')
          let frame = 0
          const drag = () => {
            box.scrollTop = (box.scrollHeight - box.clientHeight) * ((frame * 37 % 101) / 101)
            if (++frame < 60) requestAnimationFrame(drag)
            else done()
          }
          requestAnimationFrame(drag)
        })`)
      },
      'Page Down': async () => {
        await page.evaluate(`document.querySelector('section[aria-label^="Log of"]').scrollTop = 3e6`)
        await box.focus()
        // The key is held.
        for (let press = 0; press < 60; press++) {
          await page.keyboard.down('PageDown')
          await page.evaluate(FRAME)
        }
        await page.keyboard.up('PageDown')
      },
    }
    for (const [way, scroll] of Object.entries(ways)) {
      await watchLogFrames(page)
      await scroll()
      await eventually('100 frames', async () => (await logFrames(page)).frames >= 100)
      const seen = await logFrames(page)
      assert.ok(seen.blank * 20 <= seen.frames && seen.ends > 5, `${way}: ${JSON.stringify(seen)}`)
    }
  })

  await t.test('5,000 lines a second, followed', async () => {
    const over = join(programs.home, 'over')
    const id = await open(FAST.replace('FILE', over))
    await page.goto(`${programs.url}/runs/${id}`)
    await following.waitFor()
    await page.getByText(/^\d+,\d{3} lines$/).waitFor()
    await watchLogFrames(page)
    const seen = await eventually('100 frames and 20 ends', async () => {
      const counted = await logFrames(page)
      return counted.frames >= 100 && counted.ends >= 20 && counted
    })
    writeFileSync(over, '')
    await programs.ended(id)
    assert.equal(seen.blank, 0, JSON.stringify(seen))
  })

  await t.test(
    'a log that grows stays at the line being read, even if a pixel of its bar is several lines',
    async () => {
      const [more, over] = ['more', 'over-then'].map((name) => join(programs.home, name)) as [string, string]
      const id = await open(`seq 1 450000; ${part('then', more)}; seq 450002 900001; ${part('end', over)}`)
      await page.goto(`${programs.url}/runs/${id}`)
      await line(450_001).getByText('then').waitFor()
      await box.hover()
      await page.mouse.wheel(0, -400_000)
      await page.getByText(/^Paused at line/).waitFor()
      const firstInView = () =>
        page.evaluate(`(() => {
        const box = document.querySelector('section[aria-label^="Log of"]')
        const top = box.getBoundingClientRect().top
        const rows = [...box.querySelectorAll('[data-line]')]
        return Number(rows.find((row) => row.getBoundingClientRect().bottom > top + 1).dataset.line)
      })()`) as Promise<number>
      await page.evaluate(FRAME)
      const before = await firstInView()
      await line(before).locator('span').getByText(String(before)).waitFor()
      writeFileSync(more, '')
      await page.getByText('900,002 lines').waitFor()
      await page.evaluate(FRAME)
      const after = await firstInView()
      assert.ok(Math.abs(after - before) <= 1, `line ${before}, then ${after}`)
      writeFileSync(over, '')
      await programs.ended(id)
    },
  )
})

test('only a person ends following, and a followed log stays at its end', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  const files = ['one', 'two', 'three'].map((name) => join(programs.home, name))
  const [one, two, three] = files as [string, string, string]
  // Enough lines to scroll the rows by a scale, and one that is wrapped.
  const long = `head -c 3000 /dev/zero | tr '\\0' x; echo`
  const cmd = `seq 1 450000; ${long}; ${part('first', one)}; ${part('second', two)}; ${part('third', three)}`
  // The page reads its run again when one of the others ends.
  const [asideNow, asideOver] = [join(programs.home, 'aside'), join(programs.home, 'over')]
  const others = [asideNow, asideOver].map((file, at) => ({
    name: `other-${at}`,
    needs: [],
    cmd: part('', file),
  }))
  const steps = [{ name: 'print', needs: [], cmd }, ...others]
  const { run_id } = await programs.client.runs.create({ yaml: workflowText(steps) })
  await page.goto(`${programs.url}/runs/${run_id}?step=print`)
  const isAt = async (text: string, what: string) => {
    const last = page.locator('[data-line]').getByText(text, { exact: true })
    const atEnd = `(({ scrollTop, clientHeight, scrollHeight }) => scrollTop + clientHeight >= scrollHeight - 1)(
      document.querySelector('section[aria-label^="Log of"]'))`
    await last.waitFor()
    // The effect of a change may come with a later frame.
    for (let frame = 0; frame < 10; frame++) await page.evaluate(FRAME)
    assert.equal(await page.getByRole('button', { name: /Following/ }).count(), 1, what)
    assert.equal(await page.evaluate(atEnd), true, what)
    await eventually(`the last line in view: ${what}`, async () => {
      const [row, box] = [
        await last.boundingBox(),
        await page.getByRole('region', { name: /^Log of/ }).boundingBox(),
      ]
      return row!.y >= box!.y && row!.y + row!.height <= box!.y + box!.height
    })
  }
  await isAt('first', 'opened')

  for (const wraps of [false, true]) {
    const of = wraps ? ', wrapped' : ''
    for (const [width, height] of [
      [1280, 500],
      [1280, 1000],
      [700, 1000],
      [1440, 620],
      [1280, 800],
    ] as const) {
      await page.setViewportSize({ width, height })
      await isAt('first', `${width} x ${height}${of}`)
    }
    for (const what of ['full screen', 'no full screen', 'full screen again', 'no full screen again']) {
      const full = what.startsWith('full')
      await page.keyboard.press('z')
      await page
        .getByRole('button', { name: 'Full screen (z)', exact: true, includeHidden: true })
        .waitFor({ state: full ? 'detached' : 'attached' })
      await eventually(what, () => page.evaluate(`(document.fullscreenElement !== null) === ${full}`))
      await isAt('first', what + of)
    }
    await page.keyboard.press('w')
    await isAt('first', `w${of}`)
  }

  // The run is set aside, and resumed.
  const ofRun = ({ pathname }: URL) => pathname === `/api/runs/${run_id}`
  const notice = page.getByRole('alert').filter({ hasText: 'Set aside' })
  await page.route(ofRun, async (route) => {
    const response = await route.fetch()
    const set_aside = {
      since: new Date().toISOString(),
      why: 'Its log does not take what came next. '.repeat(12),
    }
    await route.fulfill({ response, json: { ...(await response.json()), set_aside } })
  })
  writeFileSync(asideNow, '')
  await notice.waitFor()
  await isAt('first', 'set aside')
  await page.unroute(ofRun)
  writeFileSync(asideOver, '')
  await notice.waitFor({ state: 'detached' })
  await isAt('first', 'resumed')
  writeFileSync(one, '')
  await isAt('second', 'one more line')

  // The hub is away long enough for the page to say so.
  await programs.kill('hub')
  const away = page.getByRole('alert').filter({ hasText: "The hub isn't responding" })
  await away.waitFor()
  await isAt('second', 'without its hub')
  writeFileSync(two, '')
  await programs.startHub()
  await away.waitFor({ state: 'detached' })
  await isAt('third', 'with its hub again')
  writeFileSync(three, '')
  assert.equal((await programs.ended(run_id)).status, 'success')
})
